use super::{Next, ReconcileError, report::Findings};
use crate::Context;
use domain::{
    ConditionKind, ConditionStatus, Node, NodeShape, NodeState, Operation, OperationKind,
    OperationState, StepState, Tenant,
};
use jiff::SignedDuration;
use std::time::Duration;

/// How long nothing new is tried after an attempt to make a node failed.
const REST: SignedDuration = SignedDuration::from_mins(2);
/// When to look again, though every change of a node wakes.
const LOOK: Duration = Duration::from_secs(30);
/// The most nodes that are made for one tenant at the same time.
const AT_ONCE: usize = 8;
/// How many operations are looked through for a failed attempt.
const LATEST: u64 = 20;

/// How far a tenant's own nodes are.
pub(super) enum Nodes {
    /// All that it pays for are proven, or it pays for none.
    Ready,
    /// Some are on their way.
    Waiting(Next),
}

/// Sees to it that a tenant has as many nodes of its own as it pays for. What is done about each of them is an
/// operation of its own.
pub(super) async fn ensure(
    cx: &Context,
    record: &Tenant,
    findings: &mut Findings,
) -> Result<Nodes, ReconcileError> {
    let nodes = cx.store.node_of_tenant(record.id).await.map_err(ReconcileError::Store)?;
    let staying = || nodes.iter().filter(|node| node.release_requested_at.is_none());
    let has = |shape| staying().filter(|node| node.shape == shape).count();
    let wanted = |shape| usize::try_from(record.nodes_of(shape)).unwrap_or(usize::MAX);
    if NodeShape::ALL.into_iter().any(|shape| has(shape) > wanted(shape)) {
        cx.store.node_release_surplus(record.id).await.map_err(ReconcileError::Store)?;
    }
    let missing = |shape| wanted(shape).saturating_sub(has(shape));
    let is_missing = NodeShape::ALL.into_iter().any(|shape| missing(shape) > 0);
    let attaching = staying().filter(|node| node.state() == NodeState::Attaching).count();
    say_who_is_there(cx, record, findings);
    // During a change of plan, what is paid for already is what has to be there.
    let (paid, is_ready) = (record.nodes, |node: &&Node| node.state() == NodeState::Ready);
    let of_plan = |node: &&Node| Some(node.shape) == record.plan.node_shape();
    let ready = staying().filter(of_plan).filter(is_ready).count();
    let off: Vec<&Node> =
        staying().filter(of_plan).filter(|node| node.state().is_off_on_purpose()).collect();
    let kind = ConditionKind::NodesReady;
    let mut story = format!("{ready} of {paid} nodes are proven");
    for node in &off {
        // Nobody takes its place: somebody asked for that.
        story = format!("{story}; {} is {}, as somebody asked", node.name, node.state().as_str());
    }
    let has_paid = u32::try_from(ready + off.len()).unwrap_or(u32::MAX) >= paid;
    if has_paid {
        let reason = if off.is_empty() { "Ready" } else { "SwitchedOff" };
        findings.set(kind, ConditionStatus::True, reason, story.clone());
        if !is_missing {
            return Ok(Nodes::Ready);
        }
    }
    let mut again = LOOK;
    if is_missing {
        if cx.machines.is_none() {
            let message =
                format!("{story}; no more can be made: the configuration names no Proxmox VE");
            findings.set(kind, ConditionStatus::False, "NoMachines", message);
            return Ok(Nodes::Waiting(Next::Turn));
        }
        if let Some((since, failure)) = failed(cx, record).await? {
            let wait = REST.checked_sub(since).unwrap_or_default();
            story = format!("{story}; the last attempt failed: {failure}");
            again = Duration::try_from(wait).unwrap_or_default().max(Duration::from_secs(1));
        } else {
            let shapes = NodeShape::ALL.into_iter();
            let each = shapes.flat_map(|shape| std::iter::repeat_n(shape, missing(shape)));
            for shape in each.take(AT_ONCE.saturating_sub(attaching)) {
                cx.store.node_attach(record.id, shape).await.map_err(ReconcileError::Store)?;
            }
        }
    }
    if let Some(step) = under_way(cx, &nodes).await? {
        story = format!("{story}; {step}");
    }
    if !has_paid {
        findings.set(kind, ConditionStatus::False, "Attaching", story);
    }
    Ok(Nodes::Waiting(Next::After(again)))
}

/// Says what the last look found about who runs on the tenant's nodes.
fn say_who_is_there(cx: &Context, record: &Tenant, findings: &mut Findings) {
    let kind = ConditionKind::NodesExclusive;
    if record.shift.is_some() {
        return findings.forget(kind);
    }
    let found = cx.machines.as_ref().and_then(|machines| machines.exclusivity(record.id));
    let Some(found) = found else { return };
    if found.holds() {
        let message = "nobody else's pod runs on its nodes, and none of its own elsewhere";
        return findings.set(kind, ConditionStatus::True, "Exclusive", message);
    }
    let told = |what: &str, pods: &[String]| match pods {
        [] => None,
        [first, ..] => Some(format!("{} {what}, e.g. {first}", pods.len())),
    };
    let told = [
        told("pods of others run on its nodes", &found.foreign),
        told("pods of its own run elsewhere", &found.elsewhere),
    ];
    let message: Vec<String> = told.into_iter().flatten().collect();
    findings.set(kind, ConditionStatus::False, "NotExclusive", message.join("; "));
}

/// How long ago the newest attempt to make a node failed, and why; nothing if that is long ago or another one has
/// succeeded since.
async fn failed(
    cx: &Context,
    record: &Tenant,
) -> Result<Option<(SignedDuration, String)>, ReconcileError> {
    let latest = cx.store.operation_list(record.id, None, LATEST).await;
    let latest = latest.map_err(ReconcileError::Store)?;
    let is_attempt = |operation: &&Operation| {
        operation.kind == OperationKind::NodeAttach && operation.state.is_final()
    };
    // One that somebody took back says nothing about the next.
    let is_meant = |operation: &&Operation| operation.cancel_requested_at.is_none();
    let newest = latest
        .iter()
        .filter(is_attempt)
        .filter(is_meant)
        .max_by_key(|operation| operation.finished_at);
    let Some(newest) = newest.filter(|newest| newest.state == OperationState::Failed) else {
        return Ok(None);
    };
    let since = newest.finished_at.map_or(REST, |at| cx.clock.now().duration_since(at));
    let detail = newest.problem.as_ref().map(|problem| problem.detail.clone()).unwrap_or_default();
    Ok((since < REST).then_some((since, detail)))
}

/// What is being done about the first node that is on its way.
async fn under_way(cx: &Context, nodes: &[Node]) -> Result<Option<String>, ReconcileError> {
    let Some(first) = nodes.iter().find(|node| node.state() == NodeState::Attaching) else {
        return Ok(None);
    };
    let operation = cx.store.node_operation(first.id).await.map_err(ReconcileError::Store)?;
    let Some(operation) = operation else { return Ok(None) };
    let is_open = |state: StepState| !matches!(state, StepState::Done | StepState::Undone);
    let step = operation.steps.iter().find(|step| is_open(step.state));
    Ok(step.map(|step| format!("{}: {}", first.name, step.name)))
}
