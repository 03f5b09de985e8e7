use crate::{
    Capacity, Isolation, Measured, Needs, NodeShape, OnDrain, OperationId, Plan, PlanName, Problem,
    Quota, Requests, RunId, SessionId, SessionState, TenantId, Usage, capacity::NO_CAPACITY,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a tenant pays for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// Its plan.
    pub plan: PlanName,
    /// How many nodes of its own; none on a shared plan.
    pub nodes: u32,
}

/// The change of plan that a tenant is in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shift {
    /// What it will pay for.
    pub to: Subscription,
    /// Whether new pods go where they will be after the change.
    pub is_placed: bool,
}

/// What becomes of sessions that run where the tenant moves away from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionsDuringMove {
    /// The change waits for their ends; new ones start at the new place.
    Wait,
    /// They are stopped as their users would stop them.
    Stop,
    /// Each says itself what may be done with it, in its `onDrain`.
    #[default]
    Own,
}

/// What becomes of volumes on the disks of nodes that the tenant moves away from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumesDuringMove {
    /// They are in the way: nothing is begun while there are any.
    #[default]
    Stop,
    /// They are copied to the new place; what uses them is down meanwhile.
    Copy,
}

/// A change of a tenant's plan, on its way or over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanChange {
    /// The operation that does it.
    pub operation: OperationId,
    /// Whose.
    pub tenant: TenantId,
    /// What the tenant paid for.
    pub from: Subscription,
    /// What it is to pay for.
    pub to: Subscription,
    /// What becomes of its sessions.
    pub sessions: SessionsDuringMove,
    /// What was foreseen when it was asked for.
    pub preview: PlanPreview,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was halted between two waves; nothing if it goes on.
    pub paused_at: Option<Timestamp>,
    /// When there was no way back any more.
    pub committed_at: Option<Timestamp>,
    /// How long the tenant's API server did not answer, in milliseconds; nothing if it was not restarted, or nobody
    /// could measure it.
    pub api_away_ms: Option<u32>,
}

/// What a change of plan would do, before it does it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanPreview {
    /// What the tenant pays for.
    pub from: Subscription,
    /// What it would pay for.
    pub to: Subscription,
    /// What a month would cost more, in hundredths of the installation's currency; less than nothing if it costs less.
    pub price_delta: i64,
    /// Machines that would be made.
    pub machines_made: u32,
    /// Machines that would be destroyed.
    pub machines_freed: u32,
    /// Whether the tenant's control plane restarts once.
    pub restarts: bool,
    /// How long tenants' API servers were away in the changes before this one.
    pub api_away: Option<Measured>,
    /// What becomes of volumes that would be left behind.
    #[serde(default)]
    pub volumes: VolumesDuringMove,
    /// What is where now, and what would move.
    pub survey: Survey,
    /// Sessions that run now where the tenant would move away from.
    pub sessions: Vec<SessionId>,
    /// What becomes of each of them.
    #[serde(default)]
    pub moved_sessions: Vec<MovedSession>,
    /// How much room there is for it.
    #[serde(default)]
    pub capacity: Capacity,
    /// What is in the way; nothing is begun while there is any.
    pub blockers: Vec<Problem>,
}

/// A session in the way of a change, and what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MovedSession {
    /// Which one.
    pub session: SessionId,
    /// How far it is.
    pub state: SessionState,
    /// What it says itself.
    pub on_drain: OnDrain,
    /// What is done.
    pub outcome: OnDrain,
}

/// What of a tenant is not where it is to be. Objects are told as `namespace/name` inside the tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Survey {
    /// Pods that move, wave by wave: of each controller at most one in a wave.
    pub waves: Vec<Vec<String>>,
    /// Pods that nothing would make anew elsewhere.
    pub unmanaged: Vec<String>,
    /// Pods of running sessions; what becomes of them is the sessions' matter.
    pub sessions: Vec<String>,
    /// The runs that these are of, and the node of each.
    #[serde(default)]
    pub runs: BTreeMap<RunId, String>,
    /// Claims whose volume is bound to a node that would be left.
    pub volumes: Vec<String>,
    /// What those that move request of the nodes that everybody uses, if that is where they go.
    #[serde(default)]
    pub requests: Requests,
    /// How much each of these volumes may hold, in bytes.
    #[serde(default)]
    pub sizes: BTreeMap<String, u64>,
    /// Those of them that cannot be copied, and why.
    #[serde(default)]
    pub uncopied: BTreeMap<String, String>,
}

/// What is in the way of a change, of what is known of the tenant: nothing may be lost by it.
#[must_use]
pub fn blockers(
    to: Subscription,
    usage: Option<&Usage>,
    survey: &Survey,
    volumes: VolumesDuringMove,
) -> Vec<Problem> {
    let mut blockers = Vec::new();
    blockers.extend(usage.and_then(|usage| too_small(to, usage)));
    if volumes == VolumesDuringMove::Copy {
        blockers.extend(survey.uncopied.iter().map(|(claim, why)| Problem {
            code: "volume-cannot-be-copied".to_owned(),
            detail: format!("the volume of claim {claim} lies on a node that would be left: {why}"),
            hint: "copy what is needed to a volume that is not bound to a node and delete the claim".to_owned(),
        }));
    } else if let [first, ..] = &survey.volumes[..] {
        blockers.push(Problem {
            code: "volumes-in-the-way".to_owned(),
            detail: format!(
                "{} volumes lie on the disks of nodes that would be left, among them that of claim {first}",
                survey.volumes.len()
            ),
            hint: "ask for them to be copied, with what uses them down meanwhile: volumes: copy (warren plan change \
                   --volumes copy); or delete the claims"
                .to_owned(),
        });
    }
    if let [first, ..] = &survey.unmanaged[..] {
        blockers.push(Problem {
            code: "pods-without-controller".to_owned(),
            detail: format!(
                "{} pods belong to no controller that would make them anew elsewhere, among them {first}",
                survey.unmanaged.len()
            ),
            hint: "let a Deployment or a Job make them, or delete them".to_owned(),
        });
    }
    blockers
}

/// What the tenant uses beyond what it would pay for.
fn too_small(to: Subscription, usage: &Usage) -> Option<Problem> {
    let limit = to.plan().quota;
    let lines = [
        (usage.cpu.yours > limit.cpu).then(|| format!("cpu {} of {}", usage.cpu.yours, limit.cpu)),
        (usage.memory.yours > limit.memory)
            .then(|| format!("memory {} of {}", usage.memory.yours, limit.memory)),
        (usage.storage.yours > limit.storage)
            .then(|| format!("storage {} of {}", usage.storage.yours, limit.storage)),
        (usage.pods.yours > limit.pods)
            .then(|| format!("pods {} of {}", usage.pods.yours, limit.pods)),
    ];
    let lines: Vec<String> = lines.into_iter().flatten().collect();
    (!lines.is_empty()).then(|| Problem {
        code: "does-not-fit".to_owned(),
        detail: format!(
            "the tenant's limits add up to more than plan {} has: {}",
            to.plan,
            lines.join(", ")
        ),
        hint: "choose a larger plan or more nodes, or delete what is not needed".to_owned(),
    })
}

impl Subscription {
    /// What it promises.
    #[must_use]
    pub const fn plan(self) -> Plan {
        Plan::with_nodes(self.plan, self.nodes)
    }

    /// Where workloads run.
    #[must_use]
    pub const fn isolation(self) -> Isolation {
        self.plan().isolation
    }

    /// How many nodes of a shape it pays for.
    #[must_use]
    pub fn nodes_of(self, shape: NodeShape) -> u32 {
        if self.plan.node_shape() == Some(shape) { self.nodes } else { 0 }
    }
}

impl Quota {
    /// The larger of two, number by number.
    #[must_use]
    pub fn or_more(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.max(other.cpu),
            memory: self.memory.max(other.memory),
            storage: self.storage.max(other.storage),
            pods: self.pods.max(other.pods),
        }
    }
}

impl PlanPreview {
    /// What it needs that there is only so much of.
    #[must_use]
    pub fn needs(&self) -> Needs {
        Needs { machines: self.machines_made.into(), requests: self.survey.requests }
    }

    /// What whoever saw it may rely on: the price, the machines, the restart, what is copied, what is in the way. Pods come
    /// and go, so which ones move may differ, and so may how much room there is, as long as there is enough.
    #[must_use]
    pub fn promise(&self) -> impl Serialize + '_ {
        let Self { from, to, price_delta, machines_made, machines_freed, restarts, .. } = self;
        let told = |problem: &Problem| problem.code != NO_CAPACITY;
        let blockers: Vec<_> =
            self.blockers.iter().map(|one| (&one.code, told(one).then_some(one))).collect();
        // What is copied is down for as long as that takes.
        let copied = (self.volumes == VolumesDuringMove::Copy).then_some(&self.survey.sizes);
        (from, to, price_delta, machines_made, machines_freed, restarts, blockers, copied)
    }
}

impl VolumesDuringMove {
    /// Every choice.
    pub const ALL: [Self; 2] = [Self::Stop, Self::Copy];

    /// The word as users write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Copy => "copy",
        }
    }
}

impl SessionsDuringMove {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Wait, Self::Stop, Self::Own];

    /// The word as users write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Stop => "stop",
            Self::Own => "own",
        }
    }

    /// What is done with a session that says `own` itself.
    #[must_use]
    pub const fn of(self, own: OnDrain) -> OnDrain {
        match self {
            Self::Wait => OnDrain::Wait,
            Self::Stop => OnDrain::Stop,
            Self::Own => own,
        }
    }
}
