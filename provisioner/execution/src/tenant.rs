//! Makes the world match the record, one tenant at a time.

mod account;
pub(crate) mod apply;
mod baseline;
mod blocked;
mod explain;
mod nodes;
pub(crate) mod observe;
pub(crate) mod project;
mod readiness;
mod removal;
mod report;

pub(crate) use blocked::reconcile_blocked;
pub use explain::{ExplainError, explain};
pub(crate) use readiness::is_answering;

use crate::{
    Context, KeysError,
    api_server::{ApiError, ApiServer, Place},
    desired,
    hint::{Hints, Seen},
    places::Places,
};
use apply::{Applied, apply};
use clusters::ReachError;
use domain::{ConditionKind, ConditionStatus, Generation, Tenant, TenantId};
use jiff::{SignedDuration, Timestamp};
use nodes::Nodes;
use observe::Objects;
use planning::{Change, Key, Kind, Observed, Rendered, diff, part_damage};
use report::Findings;
use std::{collections::BTreeMap, ops::ControlFlow, time::Duration};
use store::StoreError;

/// When to look again, if nothing happens before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// All is as it should be: at the next full look.
    Settled,
    /// Something is on its way that no watch tells about.
    After(Duration),
    /// It waits for its turn: when somebody else is done.
    Turn,
    /// The tenant is no more.
    Gone,
}

/// What is remembered of a tenant between two looks. Losing it costs a full look, nothing else.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) seen: Seen,
    /// The generation that the host's objects were last fully made for.
    host: Option<Generation>,
    /// The generation that the objects inside the tenant were last fully made for.
    baseline: Option<Generation>,
    is_answering: bool,
    is_resolving: bool,
    /// The control plane's container, by its start: another one means that everything inside has to
    /// be looked at again.
    control_plane: Option<String>,
    starting_since: Option<Timestamp>,
    /// What holds the control plane up, and when that was asked.
    story: Option<String>,
    story_at: Option<Timestamp>,
    removal: removal::Progress,
    /// Whether it no longer is on its way to being ready for the first time, or has been for so long
    /// that nobody should wait for it.
    is_past_start: bool,
}

/// Why a tenant is not made on a host whose nodes cannot keep what its plan promises, and the way out.
const NO_USER_NAMESPACES: &str = "promises each pod a user namespace of its own, and this host cluster is set up \
    without them: run nodes that can (containerd 2, runc 1.2, file systems with id-mapped mounts) and set \
    host_cluster.user_namespaces to \"forced\", or delete the tenant";

/// How long a tenant may hold a place among those that are starting.
const LONGEST_START: SignedDuration = SignedDuration::from_mins(10);

impl Memory {
    pub(crate) fn is_place_free(&self) -> bool {
        self.is_past_start
    }
}

/// Why a look at a tenant did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    #[error("read or write the record")]
    Store(#[source] StoreError),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Reach(ReachError),
    #[error("damaged: {0}")]
    Damage(String),
    #[error("{0} is being deleted by somebody; it is made anew when it is gone")]
    Terminating(Key),
}

impl ReconcileError {
    /// Why the tenant could not be reached. What the host said is told as of every other request to it.
    fn of_reach(record: &Tenant, error: ReachError) -> Self {
        match error {
            ReachError::Host(source) => {
                let namespace = record.cluster.host_namespace();
                let service = Key::namespaced(Kind::Service, &namespace, record.cluster.as_str());
                ApiError::of_client("get", &service, Place::Host, *source).into()
            }
            ReachError::Unknown
            | ReachError::Source(_)
            | ReachError::NoService
            | ReachError::Credential(_)
            | ReachError::Client(_) => Self::Reach(error),
        }
    }

    /// When the other side wants to be asked again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Api(error) => error.retry_after(),
            Self::Store(_)
            | Self::Keys(_)
            | Self::Reach(_)
            | Self::Damage(_)
            | Self::Terminating(_) => None,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Store(_) => "RecordUnavailable",
            Self::Keys(_) => "NoKeys",
            Self::Api(error) => error.reason(),
            Self::Reach(_) => "Unreachable",
            Self::Damage(_) => "Damaged",
            Self::Terminating(_) => "Terminating",
        }
    }

    /// Whether it says nothing about the tenant, only that nobody could look.
    fn is_blind(&self) -> bool {
        match self {
            Self::Api(error) => error.refusal().is_none(),
            Self::Store(_) => true,
            Self::Keys(_) | Self::Reach(_) | Self::Damage(_) | Self::Terminating(_) => false,
        }
    }
}

/// Makes one attempt to bring `tenant` to its desired state; safe to repeat.
///
/// # Errors
/// What kept it from coming to its end; it is in the tenant's conditions already.
#[tracing::instrument(name = "reconcile.tenant", skip_all, fields(tenant.id = %tenant))]
pub(crate) async fn reconcile(
    cx: &Context,
    places: &Places,
    tenant: TenantId,
    memory: &mut Memory,
    hints: &Hints,
) -> Result<Next, ReconcileError> {
    let record = match wanted(cx, tenant, memory).await? {
        ControlFlow::Continue(record) => record,
        ControlFlow::Break(next) => return Ok(next),
    };
    let now = cx.clock.now();
    let mut findings = Findings::new(&record, now);
    if !record.was_ready && cx.settings.now().lacks_user_namespaces(&desired::spec(&record).plan) {
        // It takes nobody's turn.
        memory.is_past_start = true;
        let message = format!("plan {} {NO_USER_NAMESPACES}", record.plan);
        let (kind, status) = (ConditionKind::NamespaceReady, ConditionStatus::False);
        findings.set(kind, status, report::UNDER_PLAN, message);
        report::send(cx, &record, findings).await?;
        return Ok(Next::Turn);
    }
    memory.is_past_start |= record.was_ready
        || memory.starting_since.is_some_and(|at| now.duration_since(at) > LONGEST_START);
    if !memory.is_past_start
        && let Err(before) = places.enter(tenant)
    {
        findings.set(
            ConditionKind::NamespaceReady,
            ConditionStatus::False,
            "Waiting",
            format!("it waits for its turn: {before} before this one"),
        );
        report::send(cx, &record, findings).await?;
        return Ok(Next::Turn);
    }
    memory.starting_since.get_or_insert(now);
    let result = advance(cx, &record, memory, hints, &mut findings).await;
    if let Err(error) = &result {
        findings.fail(error.reason(), &error.to_string(), error.is_blind());
    }
    findings.observed = result.is_ok();
    report::send(cx, &record, findings).await?;
    if result.as_ref().is_ok_and(|next| *next == Next::Settled) {
        memory.is_past_start = true;
        memory.starting_since = None;
    }
    result
}

/// The record of a tenant that is to be there. One on its way out is taken a step further instead.
async fn wanted(
    cx: &Context,
    tenant: TenantId,
    memory: &mut Memory,
) -> Result<ControlFlow<Next, Tenant>, ReconcileError> {
    let Some(record) = cx.store.tenant_get(tenant).await.map_err(ReconcileError::Store)? else {
        cx.tenants.forget(tenant);
        return Ok(ControlFlow::Break(Next::Gone));
    };
    if record.deletion_requested_at.is_none() {
        return Ok(ControlFlow::Continue(record));
    }
    memory.is_past_start = true;
    removal::proceed(cx, &record, memory).await.map(ControlFlow::Break)
}

/// Takes the phases one after the other, as far as they go.
async fn advance(
    cx: &Context,
    record: &Tenant,
    memory: &mut Memory,
    hints: &Hints,
    findings: &mut Findings,
) -> Result<Next, ReconcileError> {
    findings.phase(ConditionKind::NamespaceReady);
    if !host_objects(cx, record, memory, hints, findings).await? {
        return Ok(Next::After(Duration::ZERO));
    }
    findings.hold("Applied", "everything on the host is as it should be");

    findings.phase(ConditionKind::ControlPlaneReady);
    let was_answering = memory.is_answering;
    if hints.is_everything || hints.is_status || !memory.is_answering {
        readiness::control_plane(cx, record, memory, hints.is_status).await?;
    }
    if !memory.is_answering {
        let story = memory.story.clone().unwrap_or_else(|| "it is starting".to_owned());
        findings.set(ConditionKind::ControlPlaneReady, ConditionStatus::False, "Starting", story);
        findings.set_behind("Starting", "waits for the control plane");
        return Ok(Next::After(readiness::patience(cx, memory)));
    }
    findings.hold("Answers", "the API server answers to Warren's credential");

    findings.phase(ConditionKind::BaselineReady);
    let is_fresh = hints.is_everything || !was_answering;
    let is_open = is_fresh || memory.baseline != Some(record.generation);
    if is_open && !baseline::ensure(cx, record, memory).await? {
        return Ok(Next::After(Duration::ZERO));
    }
    findings.hold("Applied", "everything inside the tenant is as it should be");

    findings.phase(ConditionKind::NodesReady);
    let nodes = nodes::ensure(cx, record, findings).await?;
    if let Nodes::Waiting(again) = nodes
        && !record.was_ready
    {
        // Its DNS server has nowhere to run.
        findings.set_behind_nodes();
        return Ok(again);
    }

    findings.phase(ConditionKind::DnsReady);
    if is_fresh || hints.is_status || !memory.is_resolving {
        readiness::dns(cx, record, memory, findings).await?;
    }
    if !memory.is_resolving {
        return Ok(Next::After(readiness::patience(cx, memory)));
    }
    match nodes {
        Nodes::Ready => Ok(Next::Settled),
        Nodes::Waiting(again) => Ok(again),
    }
}

/// Makes the objects on the host. Whether it is done: if not, it has to be looked at again.
async fn host_objects(
    cx: &Context,
    record: &Tenant,
    memory: &mut Memory,
    hints: &Hints,
    findings: &mut Findings,
) -> Result<bool, ReconcileError> {
    let is_everything = hints.is_everything || memory.host != Some(record.generation);
    if !is_everything && hints.objects.is_empty() {
        return Ok(true);
    }
    let host = ApiServer::host(cx.host.client());
    let desired = desired::host(cx, record).await?;
    let observed = if is_everything {
        let wanted = desired.iter().map(|object| object.key.clone());
        let namespace = record.cluster.host_namespace();
        observe::everything(&host, &namespace, record.cluster.as_str(), wanted).await?
    } else {
        let is_wanted = |key: &&Key| desired.iter().any(|object| object.key == **key);
        // An object that is not wanted is judged by a full look, with everything around it.
        if hints.objects.keys().any(|key| !is_wanted(&key)) {
            let wanted = desired.iter().map(|object| object.key.clone());
            let namespace = record.cluster.host_namespace();
            observe::everything(&host, &namespace, record.cluster.as_str(), wanted).await?
        } else {
            observe::keys(&host, hints.objects.keys().cloned().collect()).await?
        }
    };
    note(&mut memory.seen, &observed);
    findings.usage(record, &observed);
    // From here on versions count as seen: if this look does not come to its end, nobody tells of them again.
    memory.host = None;
    let applied = close_gap(&host, &desired, &observed).await;
    for (key, object) in &applied.done {
        memory.seen.note(key, object.as_ref().and_then(observe::version));
    }
    // The pod may be all that still holds what is damaged.
    if applied.damage.is_empty() {
        account::renew_token(&host, record, &observed, &applied).await?;
    }
    let is_done = settle(applied, &desired, &observed)?;
    memory.host = is_done.then_some(record.generation);
    Ok(is_done)
}

/// Finds out what to change and changes it, as far as nothing damaged stands in the way.
async fn close_gap(server: &ApiServer, desired: &[Rendered], observed: &Objects) -> Applied {
    let (changes, damage) = part_damage(diff(desired, observed));
    let line = |change: &Change| format!("{} {}", change.key, change.why.join("; "));
    let damage: Vec<String> = damage.iter().map(line).collect();
    Applied { damage, ..apply(server, changes).await }
}

/// Whether everything was sent and nothing has to be made anew.
fn settle(
    mut applied: Applied,
    desired: &[Rendered],
    observed: &Objects,
) -> Result<bool, ReconcileError> {
    if !applied.damage.is_empty() {
        return Err(ReconcileError::Damage(applied.damage.join(". ")));
    }
    if let Some(error) = applied.failed.pop() {
        return Err(error.into());
    }
    let is_going = |object: &&Rendered| match observed.get(&object.key) {
        Some(Observed::Known(known)) => observe::is_terminating(known),
        Some(Observed::Absent | Observed::Unknown) | None => false,
    };
    match desired.iter().find(is_going) {
        Some(going) => Err(ReconcileError::Terminating(going.key.clone())),
        None => Ok(!applied.has_deleted),
    }
}

fn note(seen: &mut Seen, observed: &BTreeMap<Key, Observed>) {
    for (key, object) in observed {
        match object {
            Observed::Known(object) => seen.note(key, observe::version(object)),
            Observed::Absent => seen.note(key, None),
            Observed::Unknown => {}
        }
    }
}
