//! What a change of plan would do.

use super::SubscriptionBody;
use crate::{measured::MeasuredBody, openapi::words};
use application::plan_change::Approval;
use domain::{
    Bound, Capacity, MovedSession, OnDrain, PlanPreview, Problem as Blocker, Survey,
    VolumesDuringMove,
};
use serde::Serialize;
use utoipa::ToSchema;

/// What a change of plan would do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PlanPreview)]
pub(crate) struct PreviewBody {
    /// Names what it promises: price, machines, restart, what is in the way. Send it as `preview` to be sure of it.
    #[schema(pattern = "^sha256:[0-9a-f]{64}$")]
    id: String,
    from: SubscriptionBody,
    to: SubscriptionBody,
    /// What a month costs more, in hundredths of the installation's currency; negative if it costs less.
    price_delta: i64,
    /// Machines that are made.
    machines_made: u32,
    /// Machines that are destroyed.
    machines_freed: u32,
    /// Whether the tenant's control plane restarts, once.
    restarts: bool,
    /// How long tenants' API servers were away in earlier changes; null as long as there was none.
    api_away: Option<MeasuredBody>,
    /// Pods that move, as `namespace/name` in the tenant: of each controller at most one in a wave, and budgets count.
    waves: Vec<Vec<String>>,
    /// Sessions that run while it is asked for where the tenant would move away from.
    sessions: Vec<String>,
    /// What becomes of each of these.
    moved_sessions: Vec<MovedSessionBody>,
    /// Claims whose volume is bound to a node that is left.
    volumes: Vec<String>,
    /// What becomes of each of these.
    moved_volumes: Vec<MovedVolumeBody>,
    /// How much room there is for it: on Proxmox VE for machines that are made, on the host for pods that move to shared
    /// nodes.
    capacity: CapacityBody,
    /// Who may begin the change; only where one tenant's is foreseen.
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<ApprovalBody>,
    /// What has to go first; nothing is begun while there is any.
    blockers: Vec<BlockerBody>,
}

/// A session in the way of a change.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MovedSession)]
struct MovedSessionBody {
    /// Its id.
    session: String,
    #[schema(schema_with = words::session_state)]
    state: &'static str,
    /// What it says itself.
    #[schema(schema_with = words::on_drain)]
    on_drain: OnDrain,
    /// What is done.
    #[schema(schema_with = words::on_drain)]
    outcome: OnDrain,
}

/// A volume in the way of a change.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MovedVolume)]
struct MovedVolumeBody {
    /// Its claim, as `namespace/name` in the tenant.
    claim: String,
    /// How much it may hold, in bytes.
    size: u64,
    /// What is done: with `copy`, what uses it is down until its contents are at the new place.
    #[schema(schema_with = words::volumes_during_move)]
    outcome: VolumesDuringMove,
}

/// How much room there is; nothing is told if nothing is needed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Capacity)]
pub(crate) struct CapacityBody {
    /// The `resource` that leaves the least room, as far as that is known.
    #[schema(examples("memory"))]
    tightest: Option<&'static str>,
    bounds: Vec<BoundBody>,
}

/// Something that there is only so much of.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Bound)]
struct BoundBody {
    #[schema(examples("memory"))]
    resource: &'static str,
    /// What `needed` and `free` count: machines of the plan's shape, thousandths of a core, bytes, or pods.
    #[schema(examples("machines"))]
    unit: &'static str,
    needed: u64,
    /// How much is free if everybody uses all that is theirs; null if nobody may say.
    free: Option<u64>,
    /// `enough`; `doubtful`: it does as long as not everybody uses all that is theirs; `unknown`: nobody may say; `short`:
    /// it certainly does not do, and nothing is begun.
    #[schema(schema_with = words::verdict)]
    verdict: &'static str,
    /// The same in words, with where it was seen.
    detail: String,
}

/// Who may begin a change.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Approval)]
struct ApprovalBody {
    /// Roles.
    may_begin: Vec<&'static str>,
    /// Why whoever asks may not; null if they may.
    reason: Option<String>,
}

/// Something in the way of a change, and the way out.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Blocker)]
struct BlockerBody {
    code: String,
    detail: String,
    hint: String,
}

impl From<PlanPreview> for PreviewBody {
    fn from(preview: PlanPreview) -> Self {
        let id = application::plan_change::digest(&preview).to_string();
        let Survey { waves, volumes, sizes, .. } = preview.survey;
        let outcome = preview.volumes;
        let moved = |claim: &String| MovedVolumeBody {
            claim: claim.clone(),
            size: sizes.get(claim).copied().unwrap_or_default(),
            outcome,
        };
        Self {
            id,
            from: preview.from.into(),
            to: preview.to.into(),
            price_delta: preview.price_delta,
            machines_made: preview.machines_made,
            machines_freed: preview.machines_freed,
            restarts: preview.restarts,
            api_away: preview.api_away.map(MeasuredBody::from),
            waves,
            sessions: preview.sessions.iter().map(ToString::to_string).collect(),
            moved_sessions: preview
                .moved_sessions
                .into_iter()
                .map(MovedSessionBody::from)
                .collect(),
            moved_volumes: volumes.iter().map(moved).collect(),
            volumes,
            capacity: preview.capacity.into(),
            approval: None,
            blockers: preview.blockers.into_iter().map(BlockerBody::from).collect(),
        }
    }
}

impl From<MovedSession> for MovedSessionBody {
    fn from(MovedSession { session, state, on_drain, outcome }: MovedSession) -> Self {
        Self { session: session.to_string(), state: state.as_str(), on_drain, outcome }
    }
}

impl PreviewBody {
    /// With who may begin the change.
    pub(crate) fn foreseen((preview, approval): (PlanPreview, Approval)) -> Self {
        let may_begin = approval.may_begin.iter().map(|role| role.as_str()).collect();
        let approval = Some(ApprovalBody { may_begin, reason: approval.reason });
        Self { approval, ..Self::from(preview) }
    }
}

impl From<Capacity> for CapacityBody {
    fn from(capacity: Capacity) -> Self {
        Self {
            tightest: capacity.tightest().map(|bound| bound.resource.as_str()),
            bounds: capacity.bounds.iter().map(BoundBody::from).collect(),
        }
    }
}

impl From<&Bound> for BoundBody {
    fn from(bound: &Bound) -> Self {
        Self {
            resource: bound.resource.as_str(),
            unit: bound.unit.as_str(),
            needed: bound.needed,
            free: bound.free,
            verdict: bound.verdict().as_str(),
            detail: bound.to_string(),
        }
    }
}

impl From<Blocker> for BlockerBody {
    fn from(Blocker { code, detail, hint }: Blocker) -> Self {
        Self { code, detail, hint }
    }
}
