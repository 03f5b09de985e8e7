//! What is being done, step by step.

use super::{Icon, Problem, Status};
use crate::{
    links::Url,
    time::{Took, When},
    words::{self, Tone},
};
use askama::{Template, filters::HtmlSafe};
use domain::{Operation, OperationState, Step, StepState, Typicals};
use jiff::Timestamp;

/// An operation as it is watched.
#[derive(Debug, Clone, Template)]
#[template(path = "part/operation.html")]
pub(crate) struct OperationPart {
    pub(crate) name: &'static str,
    url: String,
    pub(crate) status: Status,
    started: When,
    /// How long it takes or took.
    took: Took,
    /// How long the latest of its kind took.
    typical: Option<Took>,
    /// Whether its deadline is over, and it is not.
    is_late: bool,
    is_over: bool,
    steps: Vec<Line>,
    problem: Option<Problem>,
}

/// One step.
#[derive(Debug, Clone)]
struct Line {
    tone: Tone,
    icon: Icon,
    word: &'static str,
    name: String,
    message: String,
    took: Option<Took>,
    typical: Option<Took>,
}

impl HtmlSafe for OperationPart {}

impl OperationPart {
    pub(crate) fn new(operation: &Operation, typicals: &Typicals, now: Timestamp) -> Self {
        let is_over = operation.state.is_final();
        let line = |step: &Step| Line::new(step, operation, typicals, now);
        let problem = operation.problem.as_ref().map(|problem| Problem {
            code: problem.code.clone(),
            detail: problem.detail.clone(),
            hint: problem.hint.clone(),
        });
        let typical = typicals.whole(operation.kind);
        Self {
            name: words::operation_kind(operation.kind),
            url: Url::Operation(operation.id).to_string(),
            status: Status::of(words::operation(operation.state)),
            started: When::new(operation.created_at, now),
            took: Took::between(operation.created_at, operation.finished_at.unwrap_or(now)),
            typical: typical.map(|typical| Took::milliseconds(typical.median_ms)),
            is_late: !is_over && now > operation.deadline,
            is_over,
            steps: operation.steps.iter().map(line).collect(),
            problem,
        }
    }
}

impl Line {
    fn new(step: &Step, operation: &Operation, typicals: &Typicals, now: Timestamp) -> Self {
        let has_begun = matches!(step.state, StepState::Running | StepState::Blocked);
        // The step that an operation ended in is not being worked on any more.
        let (tone, word) = match operation.state {
            OperationState::Failed if has_begun => (Tone::Bad, "Failed"),
            OperationState::Failed
            | OperationState::Waiting
            | OperationState::Running
            | OperationState::Undoing
            | OperationState::Succeeded => words::step(step.state),
        };
        let end = step.finished_at.or(operation.finished_at).unwrap_or(now);
        let typical = typicals.step(operation.kind, &step.name);
        Self {
            tone,
            icon: Icon(tone),
            word,
            name: words::heading(&step.name),
            message: step.message.clone(),
            took: step.started_at.map(|start| Took::between(start, end)),
            typical: typical.map(|typical| Took::milliseconds(typical.median_ms)),
        }
    }
}
