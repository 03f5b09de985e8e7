//! Writes what was found to the record. Nothing is written while nothing differs.

use super::{ReconcileError, observe::Objects};
use crate::Context;
use domain::{
    ConditionKind, ConditionStatus, Conditions, OperationKind, Step, StepState, Tenant, Usage,
};
use jiff::Timestamp;
use planning::{Key, Kind, Observed};
use store::TenantReport;

/// The steps of the operation that makes a tenant, and the condition that each one is about.
const STEPS: [(&str, ConditionKind); 5] = [
    ("namespace", ConditionKind::NamespaceReady),
    ("control-plane", ConditionKind::ControlPlaneReady),
    ("baseline", ConditionKind::BaselineReady),
    ("nodes", ConditionKind::NodesReady),
    ("dns", ConditionKind::DnsReady),
];

/// The reason of a condition when the host gives less than the plan promises.
pub(super) const UNDER_PLAN: &str = "UserNamespacesUnavailable";

/// What one look has found out so far.
pub(super) struct Findings {
    conditions: Conditions,
    usage: Option<Usage>,
    phase: ConditionKind,
    /// Whether the tenant pays for nodes of its own.
    has_nodes: bool,
    now: Timestamp,
    /// Whether the look came to its end.
    pub(super) observed: bool,
}

impl Findings {
    pub(super) fn new(record: &Tenant, now: Timestamp) -> Self {
        Self {
            conditions: record.conditions.clone(),
            usage: None,
            phase: ConditionKind::NamespaceReady,
            has_nodes: record.nodes > 0,
            now,
            observed: false,
        }
    }

    /// What is looked at from here on.
    pub(super) fn phase(&mut self, phase: ConditionKind) {
        self.phase = phase;
    }

    pub(super) fn set(
        &mut self,
        kind: ConditionKind,
        status: ConditionStatus,
        reason: &str,
        message: impl Into<String>,
    ) {
        self.conditions.set(kind, status, reason, message, self.now);
    }

    /// Nothing is said about it.
    pub(super) fn forget(&mut self, kind: ConditionKind) {
        self.conditions.forget(kind);
    }

    /// The present phase's condition holds.
    pub(super) fn hold(&mut self, reason: &str, message: &str) {
        self.set(self.phase, ConditionStatus::True, reason, message);
    }

    /// The present phase failed, or nobody could look.
    pub(super) fn fail(&mut self, reason: &str, message: &str, is_blind: bool) {
        let status = if is_blind { ConditionStatus::Unknown } else { ConditionStatus::False };
        self.set(self.phase, status, reason, message);
    }

    /// The phases that build upon the present one cannot be looked at.
    pub(super) fn set_behind(&mut self, reason: &str, message: &str) {
        for kind in [ConditionKind::DnsReady, ConditionKind::BaselineReady] {
            let status = match self.conditions.get(kind).map(|condition| condition.status) {
                None | Some(ConditionStatus::False) => ConditionStatus::False,
                Some(ConditionStatus::True | ConditionStatus::Unknown) => ConditionStatus::Unknown,
            };
            self.set(kind, status, reason, message);
        }
    }

    /// The same for what runs on the tenant's own nodes.
    pub(super) fn set_behind_nodes(&mut self) {
        let kind = ConditionKind::DnsReady;
        self.set(kind, ConditionStatus::False, "Waiting", "waits for the first node");
    }

    pub(super) fn usage(&mut self, record: &Tenant, observed: &Objects) {
        let namespace = record.cluster.host_namespace();
        let key = Key::namespaced(Kind::ResourceQuota, &namespace, planning::quota::NAME);
        if let Some(Observed::Known(quota)) = observed.get(&key) {
            self.usage = planning::usage(quota, &record.plan()).or(self.usage);
        }
    }

    fn conclude(&mut self) {
        if !self.has_nodes {
            self.conditions.forget(ConditionKind::NodesReady);
            self.conditions.forget(ConditionKind::NodesExclusive);
        }
        let is_part = |kind: &ConditionKind| match kind {
            ConditionKind::Ready => false,
            ConditionKind::NodesReady => self.has_nodes,
            // Before the first look nobody knows, and nobody waits for it.
            ConditionKind::NodesExclusive => self.conditions.get(*kind).is_some(),
            ConditionKind::NamespaceReady
            | ConditionKind::ControlPlaneReady
            | ConditionKind::DnsReady
            | ConditionKind::BaselineReady => true,
        };
        let mut parts = ConditionKind::ALL.into_iter().filter(is_part);
        let open = parts.find(|kind| !self.conditions.is_true(*kind));
        let Some(open) = open else {
            let message = "everything is as it should be";
            self.set(ConditionKind::Ready, ConditionStatus::True, "Ready", message);
            return;
        };
        let (status, reason, message) = match self.conditions.get(open) {
            Some(condition) => {
                let message = format!("{open}: {}", condition.message);
                (condition.status, condition.reason.clone(), message)
            }
            None => (ConditionStatus::False, "Waiting".to_owned(), format!("{open}: not yet")),
        };
        self.set(ConditionKind::Ready, status, &reason, message);
    }
}

/// Brings the record up to date.
pub(super) async fn send(
    cx: &Context,
    record: &Tenant,
    mut findings: Findings,
) -> Result<(), ReconcileError> {
    findings.conclude();
    let Findings { conditions, usage, observed, now, phase: _, has_nodes: _ } = findings;
    let observed_generation = if observed { record.generation } else { record.observed_generation };
    let is_new_usage = usage.is_some() && usage != record.usage;
    if conditions == record.conditions
        && observed_generation == record.observed_generation
        && !is_new_usage
    {
        return Ok(());
    }
    let open = cx.store.operation_open(record.id).await.map_err(ReconcileError::Store)?;
    let steps = open
        .filter(|operation| operation.kind == OperationKind::TenantCreate)
        .map(|operation| (operation.id, steps(&operation.steps, &conditions, now)));
    let is_operation_running = steps.is_some();
    let report =
        TenantReport { observed_generation, conditions, usage, steps, is_operation_running };
    cx.store.tenant_report(record.id, report).await.map_err(ReconcileError::Store)
}

/// The conditions as steps: the first that does not hold is the one that is being worked on.
fn steps(known: &[Step], conditions: &Conditions, now: Timestamp) -> Vec<Step> {
    let mut is_before_open = true;
    let step = |(name, kind): (&str, ConditionKind)| {
        let mut step = known.iter().find(|step| step.name == name)?.clone();
        let message =
            conditions.get(kind).map(|condition| condition.message.clone()).unwrap_or_default();
        if conditions.is_true(kind) {
            step.advance(StepState::Done, message, now);
        } else if is_before_open {
            is_before_open = false;
            let state = match conditions.get(kind).map(|condition| condition.reason.as_str()) {
                Some("Waiting") => StepState::Waiting,
                Some(UNDER_PLAN) => StepState::Blocked,
                Some(_) | None => StepState::Running,
            };
            step.advance(state, message, now);
        }
        Some(step)
    };
    STEPS.into_iter().filter_map(step).collect()
}
