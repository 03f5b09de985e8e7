//! Changes of plan of many tenants.

use crate::{
    caller::Caller,
    extract::{Fields, Record},
    openapi::words,
    operation::OperationProblemBody,
    plan_change::{CapacityBody, PreviewBody, SubscriptionBody},
    problem::Problem,
};
use application::plan_batch::{
    BatchError, NewPlanBatch, PlanBatchPreview, PlanBatchPreviewLine, PlanBatchView,
};
use axum::{Json, http::StatusCode};
use domain::{
    PlanBatch, PlanBatchCounts, PlanBatchLine, PlanBatchLineState, PlanBatchState,
    SessionsDuringMove,
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
pub(crate) mod retry;

/// Which tenants are to pay for what, and in which order of things. `tenants`, `selector` or both are needed.
#[derive(Debug, Default, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct CreatePlanChangeBatch {
    /// What it is for; people read it in lists.
    #[schema(min_length = 1, max_length = 100, examples("spring prices"))]
    name: Option<String>,
    /// Tenants by id or name, each once; at most 500 with those that are selected. They begin in this order.
    #[schema(examples(json!(["acme", "globex"])))]
    tenants: Option<Vec<String>>,
    selector: Option<Selector>,
    #[schema(schema_with = words::plan)]
    plan: String,
    /// How many nodes of its own each gets, on a plan that has such; 1 if absent.
    #[schema(minimum = 1, maximum = 100)]
    nodes: Option<u32>,
    /// What becomes of sessions that run where a tenant moves away from: `own` (the default: each says itself), `wait` or
    /// `stop`.
    #[schema(examples("own"))]
    sessions: Option<String>,
    /// How many changes may be under way at the same time.
    #[schema(minimum = 1, maximum = 20, default = 2)]
    max_parallel: Option<u32>,
    /// Whether the first failure keeps those from beginning that wait.
    #[schema(default = true)]
    stop_on_failure: Option<bool>,
    /// When the first one begins: a time to come, within a year; at once if absent.
    #[schema(format = DateTime)]
    start_at: Option<String>,
}

/// All tenants that have something in common when the batch is made, and would move.
#[derive(Debug, Default, ToSchema)]
#[schema(as = CreatePlanChangeBatchSelector)]
pub(crate) struct Selector {
    #[schema(schema_with = words::plan)]
    plan: String,
}

/// A batch of changes of plan.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PlanChangeBatch)]
pub(crate) struct PlanBatchBody {
    #[schema(examples("batch_01893f2ec3a77d6ab54bd0a2d0c1c1f5"))]
    id: String,
    name: Option<String>,
    #[schema(schema_with = words::plan_batch_state)]
    state: PlanBatchState,
    /// The same in a sentence.
    message: String,
    to: SubscriptionBody,
    #[schema(schema_with = words::sessions_during_move)]
    sessions: SessionsDuringMove,
    max_parallel: u32,
    stop_on_failure: bool,
    /// When the first change begins; null if at once.
    start_at: Option<Timestamp>,
    created_at: Timestamp,
    paused_at: Option<Timestamp>,
    cancelled_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    counts: CountsBody,
    /// Its tenants, in the order in which they begin; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<Vec<LineBody>>,
}

/// How many tenants are in which state.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlanChangeBatchCounts)]
struct CountsBody {
    waiting: u32,
    running: u32,
    succeeded: u32,
    failed: u32,
    skipped: u32,
    cancelled: u32,
}

/// One tenant of a batch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PlanChangeBatchLine)]
struct LineBody {
    /// The tenant's id.
    tenant: String,
    name: String,
    #[schema(schema_with = words::plan_batch_line_state)]
    state: PlanBatchLineState,
    /// The id of the change, which is that of its operation; null before it has begun.
    operation: Option<String>,
    /// Why it failed, was skipped, or cannot begin yet.
    problem: Option<OperationProblemBody>,
    /// When it is given up if it still cannot begin then.
    busy_until: Option<Timestamp>,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
}

/// What a batch would do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlanChangeBatchPreview)]
pub(crate) struct BatchPreviewBody {
    sums: SumsBody,
    lines: Vec<PreviewLineBody>,
}

/// What a batch would do in sum; price, machines and room are of those that nothing is in the way of.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PlanChangeBatchSums)]
struct SumsBody {
    tenants: u32,
    /// What a month costs more, in hundredths of the installation's currency; negative if it costs less.
    price_delta: i64,
    machines_made: u32,
    machines_freed: u32,
    /// How much room there is for all of them at the same time; too little of it is in nobody's way, as what one gives
    /// back others may have.
    capacity: CapacityBody,
    /// How many could not begin now.
    blocked: u32,
    /// What is in the way.
    blockers: Vec<BlockerCountBody>,
}

/// Of how many tenants something is in the way.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BlockerCount)]
struct BlockerCountBody {
    code: String,
    count: u32,
}

/// What a batch would do to one tenant: a preview, or a problem.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlanChangeBatchPreviewLine)]
struct PreviewLineBody {
    /// The tenant's id.
    tenant: String,
    name: String,
    preview: Option<PreviewBody>,
    /// Why its change could not begin now.
    problem: Option<OperationProblemBody>,
}

/// The answer to whoever did something about a batch.
type Accepted = Result<(StatusCode, Json<PlanBatchBody>), Problem>;

fn accepted(view: Result<PlanBatchView, BatchError>) -> Accepted {
    Ok((StatusCode::ACCEPTED, Json(PlanBatchBody::of_view(view?))))
}

/// Halts a batch, or lets it go on.
async fn halt(caller: &Caller, id: domain::PlanBatchId, is_paused: bool) -> Accepted {
    let Caller { app, actor, .. } = caller;
    accepted(application::plan_batch::pause(app, actor, id, is_paused).await)
}

fn message(batch: &PlanBatch) -> String {
    use PlanBatchState as S;
    let PlanBatchCounts { waiting, running, succeeded, failed, skipped, cancelled } = batch.counts;
    let all = batch.counts.all();
    match batch.state() {
        S::Waiting => match batch.start_at {
            Some(at) => format!("{all} begin from {at:.0} on"),
            None => format!("{all} are about to begin"),
        },
        S::Running => format!(
            "{running} are under way, {waiting} wait, {} of {all} are over",
            all - running - waiting
        ),
        S::Paused => format!("halted: {waiting} wait, {running} go on to their ends"),
        S::Cancelling => format!(
            "given up: {cancelled} will not begin, {running} go on to their ends; each of those can be taken back as a change of its tenant"
        ),
        S::Succeeded if skipped > 0 => {
            format!("{succeeded} succeeded, {skipped} had nothing to do")
        }
        S::Succeeded => format!("{succeeded} succeeded"),
        S::Failed => format!(
            "{failed} failed, {succeeded} succeeded, {skipped} were skipped; retry tries those again that did not succeed"
        ),
        S::Cancelled => format!("given up: {cancelled} did not begin, {succeeded} succeeded"),
    }
}

impl PlanBatchBody {
    fn new(batch: PlanBatch, lines: Option<Vec<LineBody>>) -> Self {
        let PlanBatchCounts { waiting, running, succeeded, failed, skipped, cancelled } =
            batch.counts;
        Self {
            id: batch.id.to_string(),
            state: batch.state(),
            message: message(&batch),
            name: batch.name,
            to: batch.to.into(),
            sessions: batch.sessions,
            max_parallel: batch.max_parallel,
            stop_on_failure: batch.stop_on_failure,
            start_at: batch.start_at,
            created_at: batch.created_at,
            paused_at: batch.paused_at,
            cancelled_at: batch.cancelled_at,
            finished_at: batch.finished_at,
            counts: CountsBody { waiting, running, succeeded, failed, skipped, cancelled },
            lines,
        }
    }

    pub(crate) fn of_view(PlanBatchView { batch, lines }: PlanBatchView) -> Self {
        Self::new(batch, Some(lines.into_iter().map(LineBody::from).collect()))
    }
}

impl From<PlanBatchLine> for LineBody {
    fn from(line: PlanBatchLine) -> Self {
        Self {
            tenant: line.tenant.to_string(),
            name: line.name.to_string(),
            state: line.state,
            operation: line.started_at.map(|_| line.operation.to_string()),
            problem: line.problem.map(OperationProblemBody::from),
            busy_until: line.busy_until.filter(|_| line.state == PlanBatchLineState::Waiting),
            started_at: line.started_at,
            finished_at: line.finished_at,
        }
    }
}

impl From<PlanBatchPreview> for BatchPreviewBody {
    fn from(PlanBatchPreview { lines, sums }: PlanBatchPreview) -> Self {
        let blockers = sums.blockers.into_iter();
        Self {
            sums: SumsBody {
                tenants: sums.tenants,
                price_delta: sums.price_delta,
                machines_made: sums.machines_made,
                machines_freed: sums.machines_freed,
                capacity: sums.capacity.into(),
                blocked: sums.blocked,
                blockers: blockers.map(|(code, count)| BlockerCountBody { code, count }).collect(),
            },
            lines: lines.into_iter().map(PreviewLineBody::from).collect(),
        }
    }
}

impl From<PlanBatchPreviewLine> for PreviewLineBody {
    fn from(PlanBatchPreviewLine { tenant, name, outcome }: PlanBatchPreviewLine) -> Self {
        let (preview, problem) = match outcome {
            Ok(preview) => (Some(preview.into()), None),
            Err(problem) => (None, Some(problem.into())),
        };
        Self { tenant: tenant.to_string(), name: name.to_string(), preview, problem }
    }
}

impl Record for CreatePlanChangeBatch {
    fn take(fields: &mut Fields<'_>) -> Self {
        Self {
            name: fields.optional("name"),
            tenants: fields.optional("tenants"),
            selector: fields.optional("selector"),
            plan: fields.required("plan"),
            nodes: fields.optional("nodes"),
            sessions: fields.optional("sessions"),
            max_parallel: fields.optional("maxParallel"),
            stop_on_failure: fields.optional("stopOnFailure"),
            start_at: fields.optional("startAt"),
        }
    }
}

impl Record for Selector {
    fn take(fields: &mut Fields<'_>) -> Self {
        Self { plan: fields.required("plan") }
    }
}

impl From<CreatePlanChangeBatch> for NewPlanBatch {
    fn from(new: CreatePlanChangeBatch) -> Self {
        Self {
            name: new.name,
            tenants: new.tenants,
            selected_plan: new.selector.map(|selector| selector.plan),
            plan: new.plan,
            nodes: new.nodes,
            sessions: new.sessions,
            max_parallel: new.max_parallel,
            stop_on_failure: new.stop_on_failure,
            start_at: new.start_at,
        }
    }
}
