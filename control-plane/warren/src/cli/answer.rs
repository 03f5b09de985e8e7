//! What the API answers, as far as this program looks into it; unknown members are let pass.

use application::log::{LinePart, LogStream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::{fmt, time::Duration};

use super::{format::time, problem::Failure};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tenant {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) plan: String,
    pub(super) phase: String,
    pub(super) cluster: Option<String>,
    #[serde(default)]
    pub(super) generation: i64,
    #[serde(default)]
    pub(super) observed_generation: i64,
    #[serde(default)]
    pub(super) conditions: Vec<Condition>,
    pub(super) usage: Option<Usage>,
    pub(super) created_at: Option<Timestamp>,
    pub(super) deletion_requested_at: Option<Timestamp>,
    pub(super) operation: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) reason: String,
    #[serde(default)]
    pub(super) message: String,
    pub(super) since: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Usage {
    pub(super) cpu: Share,
    pub(super) memory: Share,
    pub(super) storage: Share,
    pub(super) pods: Share,
}

#[derive(Debug, Deserialize)]
pub(super) struct Share {
    pub(super) yours: Amount,
    pub(super) overhead: Amount,
    pub(super) limit: Amount,
}

/// A Kubernetes quantity, or a number of thousandths of a core, of bytes or of things.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Amount {
    Number(u64),
    Text(String),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Operation {
    pub(super) id: String,
    #[serde(default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) tenant: String,
    pub(super) state: String,
    #[serde(default)]
    pub(super) steps: Vec<Step>,
    pub(super) typical: Option<Measured>,
    pub(super) problem: Option<OperationProblem>,
    pub(super) created_at: Option<Timestamp>,
    pub(super) deadline: Option<Timestamp>,
    #[serde(default)]
    pub(super) is_late: bool,
    pub(super) finished_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) state: String,
    #[serde(default)]
    pub(super) message: String,
    pub(super) started_at: Option<Timestamp>,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) duration_ms: Option<i64>,
    pub(super) typical: Option<Measured>,
}

/// How long something took in the past.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Measured {
    median_ms: u64,
    longest_ms: u64,
    count: u32,
}

impl Measured {
    pub(super) const fn median(self) -> Duration {
        Duration::from_millis(self.median_ms)
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { longest_ms, count, .. } = self;
        let longest = time(Duration::from_millis(*longest_ms));
        write!(f, "{} in the median of {count}, {longest} at most", time(self.median()))
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct OperationProblem {
    pub(super) code: String,
    pub(super) detail: String,
    pub(super) hint: String,
}

/// A batch of changes of plan.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Batch {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) state: String,
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) max_parallel: u32,
    #[serde(default)]
    pub(super) stop_on_failure: bool,
    pub(super) start_at: Option<Timestamp>,
    pub(super) created_at: Option<Timestamp>,
    pub(super) finished_at: Option<Timestamp>,
    /// Not in lists.
    #[serde(default)]
    pub(super) lines: Vec<BatchLine>,
}

/// One tenant of a batch.
#[derive(Debug, Deserialize)]
pub(super) struct BatchLine {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) operation: Option<String>,
    pub(super) problem: Option<OperationProblem>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Session {
    pub(super) id: String,
    #[serde(default)]
    pub(super) project: String,
    pub(super) state: String,
    pub(super) cause: Option<Cause>,
    #[serde(default)]
    pub(super) spec: Spec,
    pub(super) run: Option<Run>,
    pub(super) created_at: Option<Timestamp>,
    pub(super) starting_at: Option<Timestamp>,
    pub(super) running_at: Option<Timestamp>,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) stop_requested_at: Option<Timestamp>,
    pub(super) retry_at: Option<Timestamp>,
    pub(super) log_kept_until: Option<Timestamp>,
    pub(super) log_removed_at: Option<Timestamp>,
    pub(super) files_kept_until: Option<Timestamp>,
    pub(super) files_removed_at: Option<Timestamp>,
    /// Of all its runs.
    #[serde(default)]
    pub(super) log_lines: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cause {
    pub(super) class: Option<String>,
    #[serde(default)]
    pub(super) reason: String,
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) evidence: Evidence,
    pub(super) next_step: Option<NextStep>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Evidence {
    pub(super) shortages: Vec<Shortage>,
    pub(super) last_lines: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Shortage {
    pub(super) resource: String,
    pub(super) requested: String,
    pub(super) used: String,
    pub(super) limit: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct NextStep {
    pub(super) advice: String,
    pub(super) rerun: Option<Rerun>,
}

/// What to change when a session is run again.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Rerun {
    #[serde(skip_serializing_if = "RerunResources::is_empty")]
    pub(super) resources: RerunResources,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timeout_seconds: Option<u64>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct RerunResources {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    pub(super) image: String,
    pub(super) command: Vec<String>,
    pub(super) args: Vec<String>,
    pub(super) run_as_user: u32,
    pub(super) timeout_seconds: u64,
    pub(super) grace_period_seconds: u64,
    pub(super) labels: Map<String, Value>,
    pub(super) on_drain: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Run {
    pub(super) id: String,
    #[serde(default)]
    pub(super) attempt: u32,
    #[serde(default)]
    pub(super) resources: Resources,
    pub(super) cause: Option<Cause>,
    pub(super) exited_at: Option<Timestamp>,
    pub(super) ended_at: Option<Timestamp>,
    pub(super) settled_at: Option<Timestamp>,
    pub(super) exit: Option<ProcessExit>,
    pub(super) usage: Option<RunUsage>,
    pub(super) heartbeat_at: Option<Timestamp>,
    pub(super) log_full_at: Option<Timestamp>,
    #[serde(default)]
    pub(super) log_missing_lines: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Resources {
    pub(super) memory: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct ProcessExit {
    pub(super) code: Option<i32>,
    pub(super) signal: Option<i32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunUsage {
    pub(super) cpu_ms: u64,
    pub(super) peak_memory_bytes: u64,
    pub(super) wall_ms: u64,
}

/// One line of a log.
#[derive(Debug, Deserialize)]
pub(super) struct LogLine {
    #[serde(rename = "n")]
    pub(super) number: u64,
    #[serde(rename = "s", default = "standard_output")]
    pub(super) stream: LogStream,
    #[serde(rename = "l", default)]
    pub(super) text: String,
    #[serde(rename = "p", default)]
    pub(super) part: LinePart,
}

#[derive(Debug, Deserialize)]
pub(super) struct Artifact {
    pub(super) path: String,
    #[serde(default)]
    pub(super) size: u64,
    #[serde(default)]
    pub(super) digest: String,
}

const fn standard_output() -> LogStream {
    LogStream::Out
}

impl Operation {
    pub(super) fn is_final(&self) -> bool {
        matches!(self.state.as_str(), "succeeded" | "failed")
    }
}

impl Session {
    pub(super) fn is_final(&self) -> bool {
        matches!(self.state.as_str(), "succeeded" | "failed" | "timed-out" | "stopped")
    }
}

impl RerunResources {
    fn is_empty(&self) -> bool {
        self.cpu.is_none() && self.memory.is_none()
    }
}

/// Reads an answer.
pub(super) fn decode<T: DeserializeOwned>(value: &Value) -> Result<T, Failure> {
    T::deserialize(value).map_err(|error| Failure::unexpected(error.to_string()))
}

/// The items of a list: the array itself, or the first of the named members that is one.
pub(super) fn items(value: Value, names: &[&str]) -> Result<Vec<Value>, Failure> {
    let member = |mut value: Value| names.iter().find_map(|name| Some(value.get_mut(name)?.take()));
    let list = if value.is_array() { Some(value) } else { member(value) };
    match list {
        Some(Value::Array(items)) => Ok(items),
        _ => Err(Failure::unexpected(format!("no list in the member {:?}", names[0]))),
    }
}
