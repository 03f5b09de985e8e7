//! Why a session is in its state, or a run ended.

use super::rerun::Rerun;
use crate::openapi::words;
use domain::{Cause, Evidence, Exit, FailureClass, NextStep, Shortage};
use serde::Serialize;
use utoipa::ToSchema;

/// Why a session is in its state.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Cause)]
pub(super) struct CauseBody {
    /// Whom to blame; nothing for a success or a stop.
    #[schema(schema_with = words::failure_class)]
    class: Option<FailureClass>,
    /// One word for programs.
    reason: String,
    /// A sentence for people.
    message: String,
    /// What it was concluded from.
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<EvidenceBody>,
    /// What may help; nothing where nothing failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_step: Option<NextStepBody>,
}

/// What is known about a failure. Of most failures only some of it is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Evidence)]
struct EvidenceBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<ExitBody>,
    /// How much memory the run had.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_limit_bytes: Option<u64>,
    /// The most memory that was seen in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_memory_bytes: Option<u64>,
    /// The image that could not be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    /// The node that its pod was on.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// The operation that emptied that node.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    /// What a quota had too little of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shortages: Vec<ShortageBody>,
    /// What an API server, a kubelet or a registry said, in its own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<String>,
    /// The last lines of the run's log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    last_lines: Vec<String>,
}

/// A resource of which a quota has too little left. The amounts are Kubernetes quantities.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Shortage)]
struct ShortageBody {
    #[schema(examples("limits.memory"))]
    resource: String,
    requested: String,
    /// How much was in use.
    used: String,
    /// How much there may be in use.
    limit: String,
}

/// What may help after a failure.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NextStep)]
struct NextStepBody {
    /// A sentence for people.
    advice: String,
    /// What to post to the session's `rerun` for a run that may succeed; nothing while the session is not
    /// over, and where the same would fail the same way.
    #[serde(skip_serializing_if = "Option::is_none")]
    rerun: Option<Rerun>,
}

/// How the agent's process ended: by itself or by a signal.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Exit)]
pub(super) struct ExitBody {
    code: Option<i32>,
    signal: Option<i32>,
}

impl From<Exit> for ExitBody {
    fn from(Exit { code, signal }: Exit) -> Self {
        Self { code, signal }
    }
}

impl CauseBody {
    /// Why a run ended. Only its session can be run again, and says so itself.
    pub(super) fn of_run(cause: Cause) -> Self {
        let next_step = cause.next_step();
        let next_step = next_step.map(|step| NextStep { is_rerun_useful: false, ..step });
        Self::new(cause, next_step)
    }

    pub(super) fn new(cause: Cause, next_step: Option<NextStep>) -> Self {
        let next_step = next_step.map(|step| {
            let rerun = Rerun::proposed(&step);
            NextStepBody { advice: step.advice, rerun }
        });
        let Cause { class, reason, message, evidence } = cause;
        let evidence = (!evidence.is_empty()).then(|| EvidenceBody::from(*evidence));
        Self { class, reason, message, evidence, next_step }
    }
}

impl From<Evidence> for EvidenceBody {
    fn from(evidence: Evidence) -> Self {
        let Evidence { exit, memory_limit_bytes, peak_memory_bytes, image, node, .. } = evidence;
        let shortage = |Shortage { resource, requested, used, limit }| ShortageBody {
            resource,
            requested,
            used,
            limit,
        };
        Self {
            exit: exit.map(ExitBody::from),
            memory_limit_bytes,
            peak_memory_bytes,
            image,
            node,
            operation: evidence.operation,
            shortages: evidence.shortages.into_iter().map(shortage).collect(),
            words: evidence.words,
            last_lines: evidence.last_lines,
        }
    }
}
