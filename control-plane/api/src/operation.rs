//! Operations.

use crate::{measured::MeasuredBody, openapi::words};
use domain::{Operation, OperationKind, OperationState, Problem, Step, StepState, Typicals};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) mod get;

/// A change on its way, step by step.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Operation)]
pub(crate) struct OperationBody {
    id: String,
    #[schema(schema_with = words::operation_kind)]
    kind: OperationKind,
    /// The tenant's id.
    tenant: String,
    /// The id of the node that it is about; absent if it is about the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[schema(schema_with = words::operation_state)]
    state: OperationState,
    steps: Vec<StepBody>,
    /// How long the latest of its kind took that succeeded, of any tenant; null as long as there was none.
    typical: Option<MeasuredBody>,
    /// Why it failed.
    problem: Option<OperationProblemBody>,
    created_at: Timestamp,
    /// When it should be done.
    deadline: Timestamp,
    /// Whether the deadline passed and it still goes on.
    is_late: bool,
    /// When it was asked to undo what it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_requested_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
}

/// One part of an operation.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Step)]
struct StepBody {
    name: String,
    #[schema(schema_with = words::step_state)]
    state: StepState,
    /// What is going on, or what was proven.
    message: String,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    /// From its start to its end, or to now.
    duration_ms: Option<i64>,
    /// How long it took in the latest operations of this kind that succeeded; null as long as there was none.
    typical: Option<MeasuredBody>,
}

/// Why an operation failed, and the way out.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OperationProblem)]
pub(crate) struct OperationProblemBody {
    code: String,
    detail: String,
    hint: String,
}

impl OperationBody {
    pub(crate) fn new(operation: Operation, typicals: &Typicals, now: Timestamp) -> Self {
        let kind = operation.kind;
        let is_late = !operation.state.is_final() && now > operation.deadline;
        // A step that an operation ended in has no end of its own.
        let end = operation.finished_at.unwrap_or(now);
        let step = |step: Step| {
            let typical = typicals.step(kind, &step.name);
            StepBody { typical: typical.map(MeasuredBody::from), ..StepBody::new(step, end) }
        };
        Self {
            id: operation.id.to_string(),
            kind,
            tenant: operation.tenant.to_string(),
            node: operation.node.map(|node| node.to_string()),
            state: operation.state,
            steps: operation.steps.into_iter().map(step).collect(),
            typical: typicals.whole(kind).map(MeasuredBody::from),
            problem: operation.problem.map(OperationProblemBody::from),
            created_at: operation.created_at,
            deadline: operation.deadline,
            is_late,
            cancel_requested_at: operation.cancel_requested_at,
            finished_at: operation.finished_at,
        }
    }
}

impl StepBody {
    fn new(step: Step, end: Timestamp) -> Self {
        let Step { name, state, message, started_at, finished_at } = step;
        let duration_ms = started_at.map(|started_at| {
            finished_at.unwrap_or(end).as_millisecond() - started_at.as_millisecond()
        });
        Self { name, state, message, started_at, finished_at, duration_ms, typical: None }
    }
}

impl From<Problem> for OperationProblemBody {
    fn from(Problem { code, detail, hint }: Problem) -> Self {
        Self { code, detail, hint }
    }
}
