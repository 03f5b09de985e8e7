//! Changes of a tenant's plan.

use crate::{
    caller::Caller,
    extract::{Fields, PlanChangePath, Record},
    openapi::words,
    operation::OperationBody,
    problem::Problem,
};
use application::plan_change::{Approval, NewPlanChange};
use axum::{Json, http::StatusCode};
use domain::{
    Bound, Measured, Operation, PlanChange, PlanPreview, Problem as Blocker, SessionsDuringMove,
    Subscription, Survey,
};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) mod cancel;
pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod pause;
pub(crate) mod resume;

/// What a tenant is to pay for.
#[derive(Debug, Default, ToSchema)]
pub(crate) struct ChangePlan {
    #[schema(schema_with = words::plan)]
    plan: String,
    /// How many nodes of its own, on a plan that has such; 1 if absent.
    #[schema(minimum = 1, maximum = 100)]
    nodes: Option<u32>,
    /// What becomes of sessions that run where the tenant moves away from: `wait` (the default) lets them come to their
    /// ends, `stop` stops them with their grace period when everything else has moved.
    #[schema(examples("wait"))]
    sessions: Option<String>,
    /// The `id` of a preview that was seen: the change begins only if another look promises the same.
    preview: Option<String>,
}

/// A change of plan, on its way or over.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PlanChange)]
pub(crate) struct PlanChangeBody {
    /// The id of its operation, which has the steps.
    id: String,
    /// The tenant's id.
    tenant: String,
    from: SubscriptionBody,
    to: SubscriptionBody,
    #[schema(schema_with = words::sessions_during_move)]
    sessions: SessionsDuringMove,
    /// What was foreseen when it was asked for.
    preview: PreviewBody,
    created_at: Timestamp,
    /// When it was halted before its next wave.
    paused_at: Option<Timestamp>,
    /// When the tenant began to pay for the new plan; from then on there is no way back.
    committed_at: Option<Timestamp>,
    /// How long the tenant's API server did not answer while its control plane restarted.
    api_away_ms: Option<u32>,
    /// The operation as it is now; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<OperationBody>,
}

/// What a tenant pays for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Subscription)]
struct SubscriptionBody {
    #[schema(schema_with = words::plan)]
    plan: &'static str,
    /// How many nodes of its own; none on a shared plan.
    nodes: u32,
}

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
    /// Sessions that run while it is asked for; `sessions` says what becomes of those in the way.
    sessions: Vec<String>,
    /// Claims whose volume is bound to a node that is left.
    volumes: Vec<String>,
    /// How much room there is for it: on Proxmox VE for machines that are made, on the host for pods that move to shared
    /// nodes.
    capacity: Vec<BoundBody>,
    /// The `resource` in `capacity` that leaves the least room; null if nothing is needed of any.
    tightest: Option<&'static str>,
    /// Who may begin the change; only where it is foreseen.
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<ApprovalBody>,
    /// What has to go first; nothing is begun while there is any.
    blockers: Vec<BlockerBody>,
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
    /// How much the change needs; 0 if it is only told.
    needed: u64,
    free: u64,
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

/// How long something took.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Measured)]
struct MeasuredBody {
    median_ms: u32,
    longest_ms: u32,
    /// How often it was measured.
    count: u32,
}

/// Something in the way of a change, and the way out.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Blocker)]
struct BlockerBody {
    code: String,
    detail: String,
    hint: String,
}

impl PlanChangeBody {
    pub(crate) fn new(change: PlanChange, operation: Option<OperationBody>) -> Self {
        Self {
            id: change.operation.to_string(),
            tenant: change.tenant.to_string(),
            from: change.from.into(),
            to: change.to.into(),
            sessions: change.sessions,
            preview: change.preview.into(),
            created_at: change.created_at,
            paused_at: change.paused_at,
            committed_at: change.committed_at,
            api_away_ms: change.api_away_ms,
            operation,
        }
    }

    /// A change with its operation as it is now.
    pub(crate) fn whole((change, operation): (PlanChange, Operation), now: Timestamp) -> Self {
        Self::new(change, Some(OperationBody::new(operation, now)))
    }
}

/// The answer to whoever asked for something about a change that is under way.
type Accepted = Result<(StatusCode, Json<PlanChangeBody>), Problem>;

/// Halts a change, or lets it go on.
async fn halt(caller: &Caller, path: &PlanChangePath, is_paused: bool) -> Accepted {
    let Caller { app, actor, .. } = caller;
    let PlanChangePath { tenant, operation } = path;
    let found = application::plan_change::pause(app, actor, tenant, *operation, is_paused).await?;
    Ok((StatusCode::ACCEPTED, Json(PlanChangeBody::whole(found, app.clock.now()))))
}

impl Record for ChangePlan {
    fn take(fields: &mut Fields<'_>) -> Self {
        Self {
            plan: fields.required("plan"),
            nodes: fields.optional("nodes"),
            sessions: fields.optional("sessions"),
            preview: fields.optional("preview"),
        }
    }
}

impl From<ChangePlan> for NewPlanChange {
    fn from(ChangePlan { plan, nodes, sessions, preview }: ChangePlan) -> Self {
        Self { plan, nodes, sessions, preview }
    }
}

impl From<Subscription> for SubscriptionBody {
    fn from(Subscription { plan, nodes }: Subscription) -> Self {
        Self { plan: plan.as_str(), nodes }
    }
}

impl From<PlanPreview> for PreviewBody {
    fn from(preview: PlanPreview) -> Self {
        let id = application::plan_change::digest(&preview).to_string();
        let Survey { waves, volumes, unmanaged: _, sessions: _ } = preview.survey;
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
            volumes,
            tightest: preview.capacity.tightest().map(|bound| bound.resource.as_str()),
            capacity: preview.capacity.bounds.into_iter().map(BoundBody::from).collect(),
            approval: None,
            blockers: preview.blockers.into_iter().map(BlockerBody::from).collect(),
        }
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

impl From<Bound> for BoundBody {
    fn from(bound: Bound) -> Self {
        let Bound { resource, unit, needed, free, detail, hint: _ } = bound;
        Self { resource: resource.as_str(), unit: unit.as_str(), needed, free, detail }
    }
}

impl From<Measured> for MeasuredBody {
    fn from(Measured { median_ms, longest_ms, count }: Measured) -> Self {
        Self { median_ms, longest_ms, count }
    }
}

impl From<Blocker> for BlockerBody {
    fn from(Blocker { code, detail, hint }: Blocker) -> Self {
        Self { code, detail, hint }
    }
}
