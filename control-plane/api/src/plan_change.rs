//! Changes of a tenant's plan.

use crate::{
    caller::Caller,
    extract::{Fields, PlanChangePath, Record},
    openapi::words,
    operation::{OperationBody, OperationProblemBody},
    problem::Problem,
};
use application::{
    App,
    operation::typicals,
    plan_change::{NewPlanChange, PlanChangeView},
};
use axum::{Json, http::StatusCode};
use domain::{
    OperationKind, PlanBatch, PlanBatchLine, PlanBatchLineState, PlanChange, SessionsDuringMove,
    Subscription, Typicals, VolumesDuringMove,
};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) mod cancel;
pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod pause;
mod preview;
pub(crate) mod resume;

pub(crate) use preview::{CapacityBody, PreviewBody};

/// What a tenant is to pay for.
#[derive(Debug, Default, ToSchema)]
pub(crate) struct ChangePlan {
    #[schema(schema_with = words::plan)]
    plan: String,
    /// How many nodes of its own, on a plan that has such; 1 if absent.
    #[schema(minimum = 1, maximum = 100)]
    nodes: Option<u32>,
    /// What becomes of sessions that run where the tenant moves away from, when everything else has moved: `own` (the
    /// default) is what each says itself in its `onDrain`, `wait` lets all come to their ends, `stop` stops all with their
    /// grace period.
    #[schema(examples("own"))]
    sessions: Option<String>,
    /// What becomes of volumes on the disks of nodes that the tenant moves away from: `stop` (the default) begins nothing
    /// while there are any; `copy` copies them to the new place, one after the other, and what uses one is down while it
    /// is copied. Not for a change that is planned for later.
    #[schema(examples("stop"))]
    volumes: Option<String>,
    /// The `id` of a preview that was seen: the change begins only if another look promises the same.
    preview: Option<String>,
    /// When it begins: a time to come, within a year; at once if absent. A tenant waits for one change at a time.
    #[schema(rename = "startAt", format = DateTime)]
    start_at: Option<String>,
}

/// A change of plan: planned, on its way or over.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PlanChange)]
pub(crate) struct PlanChangeBody {
    /// The id of its operation, which has the steps; there is no such operation before it has begun.
    id: String,
    /// The tenant's id.
    tenant: String,
    from: SubscriptionBody,
    to: SubscriptionBody,
    #[schema(schema_with = words::sessions_during_move)]
    sessions: SessionsDuringMove,
    #[schema(schema_with = words::volumes_during_move)]
    volumes: VolumesDuringMove,
    /// What was foreseen when it began; null before.
    preview: Option<PreviewBody>,
    /// What it waits for, or why it did not begin; null once it has begun.
    planned: Option<PlannedBody>,
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

/// A change that waits for its time or its turn, or ended without having begun.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PlannedChange)]
struct PlannedBody {
    #[schema(schema_with = words::plan_batch_line_state)]
    state: PlanBatchLineState,
    /// When it begins; null if as soon as it is its turn.
    start_at: Option<Timestamp>,
    /// The batch of operators that it belongs to; null if it was planned for this tenant alone.
    batch: Option<String>,
    /// Why it did not begin, or not yet.
    problem: Option<OperationProblemBody>,
    /// When it ended without having begun.
    finished_at: Option<Timestamp>,
}

/// What a tenant pays for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Subscription)]
pub(crate) struct SubscriptionBody {
    #[schema(schema_with = words::plan)]
    plan: &'static str,
    /// How many nodes of its own; none on a shared plan.
    nodes: u32,
}

impl PlanChangeBody {
    fn begun(change: PlanChange, operation: Option<OperationBody>) -> Self {
        Self {
            id: change.operation.to_string(),
            tenant: change.tenant.to_string(),
            from: change.from.into(),
            to: change.to.into(),
            sessions: change.sessions,
            volumes: change.preview.volumes,
            preview: Some(change.preview.into()),
            planned: None,
            created_at: change.created_at,
            paused_at: change.paused_at,
            committed_at: change.committed_at,
            api_away_ms: change.api_away_ms,
            operation,
        }
    }

    fn planned(batch: &PlanBatch, line: PlanBatchLine, from: Subscription) -> Self {
        let planned = PlannedBody {
            state: line.state,
            start_at: batch.start_at,
            batch: batch.tenant.is_none().then(|| batch.id.to_string()),
            problem: line.problem.map(OperationProblemBody::from),
            finished_at: line.finished_at,
        };
        Self {
            id: line.operation.to_string(),
            tenant: line.tenant.to_string(),
            from: from.into(),
            to: batch.to.into(),
            sessions: batch.sessions,
            volumes: VolumesDuringMove::Stop,
            preview: None,
            planned: Some(planned),
            created_at: batch.created_at,
            paused_at: None,
            committed_at: None,
            api_away_ms: None,
            operation: None,
        }
    }

    /// Its address.
    fn location(&self) -> String {
        format!("/api/v1/tenants/{}/plan-changes/{}", self.tenant, self.id)
    }

    /// A change with its operation as it is now.
    pub(crate) fn new(view: PlanChangeView, typicals: &Typicals, now: Timestamp) -> Self {
        match view {
            PlanChangeView::Begun { change, operation } => {
                let body = |operation| OperationBody::new(operation, typicals, now);
                let operation = operation.map(|operation| body(*operation));
                Self::begun(*change, operation)
            }
            PlanChangeView::Planned { batch, line, from } => Self::planned(&batch, *line, from),
        }
    }
}

/// A change, and how long such changes take.
async fn told(app: &App, view: PlanChangeView) -> Result<PlanChangeBody, Problem> {
    let typicals = typicals(app, [OperationKind::PlanChange]).await?;
    Ok(PlanChangeBody::new(view, &typicals, app.clock.now()))
}

/// The answer to whoever asked for something about a change that is under way.
type Accepted = Result<(StatusCode, Json<PlanChangeBody>), Problem>;

/// Halts a change, or lets it go on.
async fn halt(caller: &Caller, path: &PlanChangePath, is_paused: bool) -> Accepted {
    let Caller { app, actor, .. } = caller;
    let PlanChangePath { tenant, operation } = path;
    let found = application::plan_change::pause(app, actor, tenant, *operation, is_paused).await?;
    Ok((StatusCode::ACCEPTED, Json(told(app, found).await?)))
}

impl Record for ChangePlan {
    fn take(fields: &mut Fields<'_>) -> Self {
        Self {
            plan: fields.required("plan"),
            nodes: fields.optional("nodes"),
            sessions: fields.optional("sessions"),
            volumes: fields.optional("volumes"),
            preview: fields.optional("preview"),
            start_at: fields.optional("startAt"),
        }
    }
}

impl From<ChangePlan> for NewPlanChange {
    fn from(ChangePlan { plan, nodes, sessions, volumes, preview, start_at }: ChangePlan) -> Self {
        Self { plan, nodes, sessions, volumes, preview, start_at }
    }
}

impl From<Subscription> for SubscriptionBody {
    fn from(Subscription { plan, nodes }: Subscription) -> Self {
        Self { plan: plan.as_str(), nodes }
    }
}
