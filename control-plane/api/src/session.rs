//! Sessions.

use crate::openapi::words;
use application::session::SessionView;
use cause::{CauseBody, ExitBody};
use domain::{
    Input, InputSource, Kept, OnDrain, Resources, RetryRule, Run, RunUsage, Session, SessionSpec,
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

pub(crate) mod artifact;
pub(crate) mod artifacts;
mod cause;
pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod rerun;
pub(crate) mod result;
pub(crate) mod runs;
pub(crate) mod stop;

/// One agent task of a tenant.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Session)]
pub(crate) struct SessionBody {
    #[schema(examples("ses_01893f2ec3a77d6ab54bd0a2d0c1c1f5"))]
    id: String,
    /// The tenant's id.
    tenant: String,
    project: String,
    #[schema(schema_with = words::session_state)]
    state: &'static str,
    /// Why it is in that state.
    cause: Option<CauseBody>,
    spec: SpecBody,
    /// Its newest run, once there is one.
    run: Option<RunBody>,
    created_at: Timestamp,
    /// When its Job was asked for.
    starting_at: Option<Timestamp>,
    /// When the agent's process started.
    running_at: Option<Timestamp>,
    /// When it reached its final state.
    finished_at: Option<Timestamp>,
    stop_requested_at: Option<Timestamp>,
    /// Lines of its log so far, of all its runs.
    log_lines: u64,
    /// When its next run may begin: the last one failed, and another follows.
    retry_at: Option<Timestamp>,
    /// Until when its log is kept, once it is over.
    log_kept_until: Option<Timestamp>,
    /// When its log was removed because its time was over.
    log_removed_at: Option<Timestamp>,
    /// Until when its result and its artifacts are kept, once it is over.
    files_kept_until: Option<Timestamp>,
    /// When its result and its artifacts were removed because their time was over.
    files_removed_at: Option<Timestamp>,
}

/// What a session is to do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SessionSpec)]
struct SpecBody {
    image: String,
    command: Vec<String>,
    args: Vec<String>,
    /// Its environment. The values, where passwords are put, are shown to those only who may start
    /// sessions of the tenant; others see the names, each with null.
    env: BTreeMap<String, Option<String>>,
    /// The names of what is secret of its environment, each with null.
    secrets: BTreeMap<String, Option<String>>,
    inputs: Vec<InputBody>,
    resources: ResourcesBody,
    run_as_user: u32,
    timeout_seconds: u32,
    grace_period_seconds: u32,
    labels: BTreeMap<String, String>,
    /// After which failures it is tried again, by the class of the failure.
    retry: BTreeMap<&'static str, RetryRuleBody>,
    /// What may be done with it when its node has to be emptied.
    #[schema(schema_with = words::on_drain)]
    on_drain: OnDrain,
    /// The JSON Schema that its result has to obey.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    result_schema: Option<Value>,
}

/// What follows a failure of one class.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RetryRule)]
struct RetryRuleBody {
    /// How many runs the session may have in all before such a failure is final.
    attempts: u32,
    /// The pause before the second run; it doubles with every further one, up to an hour.
    backoff_seconds: u32,
    /// How much memory the next run gets after one that had too little, in percent of what that one had.
    memory_percent: u32,
}

/// A file that the agent finds, with its text or the digest of its bytes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Input)]
struct InputBody {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

/// Kubernetes quantities.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Resources)]
struct ResourcesBody {
    #[schema(examples("250m"))]
    cpu: String,
    #[schema(examples("256Mi"))]
    memory: String,
}

/// One attempt at a session.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Run)]
pub(crate) struct RunBody {
    id: String,
    /// 1 for the first.
    attempt: u32,
    /// What it may use.
    resources: ResourcesBody,
    /// Why it ended.
    cause: Option<CauseBody>,
    exit: Option<ExitBody>,
    usage: Option<RunUsageBody>,
    started_at: Option<Timestamp>,
    /// When its runner told that the agent's process and everything that it left had ended.
    exited_at: Option<Timestamp>,
    /// When its runner was last heard of.
    heartbeat_at: Option<Timestamp>,
    created_at: Timestamp,
    /// When it was over: its token is dead from then on, and nothing that it sends counts.
    ended_at: Option<Timestamp>,
    /// When it was proven that nothing of it runs any more: its process has ended, and its Job is over or gone.
    settled_at: Option<Timestamp>,
    /// Lines of its own log so far.
    log_lines: u64,
    /// The number of its first line in the session's log.
    first_log_line: u64,
    /// When the session's log had no room for more of its lines; the plan says how much is kept.
    log_full_at: Option<Timestamp>,
    /// Lines of it that were not kept so far: for want of room, or because Warren was away for too long.
    log_missing_lines: u64,
    /// Whether its log has all that its agent wrote; null while that can still change. It has not if lines were
    /// given up, or if it ended without its runner's word: then what it wrote last may not have been sent.
    log_complete: Option<bool>,
}

/// What a run used.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RunUsage)]
struct RunUsageBody {
    cpu_ms: u64,
    peak_memory_bytes: u64,
    wall_ms: u64,
}

impl From<SessionView> for SessionBody {
    fn from(view: SessionView) -> Self {
        let SessionView { session, run, next_step, retention, is_env_shown } = view;
        let log_kept_until = session.kept_until(Kept::Log, retention);
        let files_kept_until = session.kept_until(Kept::Files, retention);
        let Session { spec, .. } = session;
        Self {
            id: session.id.to_string(),
            tenant: session.tenant.to_string(),
            project: spec.project.to_string(),
            state: session.state.as_str(),
            cause: session.cause.map(|cause| CauseBody::new(cause, next_step)),
            spec: SpecBody::new(spec, is_env_shown),
            log_lines: run.as_ref().map_or(0, Run::log_lines),
            run: run.map(RunBody::from),
            created_at: session.created_at,
            starting_at: session.starting_at,
            running_at: session.running_at,
            finished_at: session.finished_at,
            stop_requested_at: session.stop_requested_at,
            retry_at: session.retry_at,
            log_kept_until,
            log_removed_at: session.log_removed_at,
            files_kept_until,
            files_removed_at: session.files_removed_at,
        }
    }
}

impl SpecBody {
    fn new(spec: SessionSpec, is_env_shown: bool) -> Self {
        let env = spec.env.into_iter();
        let rules = spec.retry.0.into_iter();
        let rules = rules.map(|(class, rule)| (class.as_str(), RetryRuleBody::from(rule)));
        Self {
            image: spec.image,
            command: spec.command,
            args: spec.args,
            env: env.map(|(name, value)| (name, is_env_shown.then_some(value))).collect(),
            secrets: spec.secrets.into_keys().map(|name| (name, None)).collect(),
            inputs: spec.inputs.into_iter().map(InputBody::from).collect(),
            resources: ResourcesBody::from(spec.resources),
            run_as_user: spec.run_as_user,
            timeout_seconds: spec.timeout_seconds,
            grace_period_seconds: spec.grace_period_seconds,
            labels: spec.labels,
            retry: rules.collect(),
            on_drain: spec.on_drain,
            result_schema: spec.result_schema,
        }
    }
}

impl From<Resources> for ResourcesBody {
    fn from(Resources { cpu, memory }: Resources) -> Self {
        Self { cpu: cpu.to_string(), memory: memory.to_string() }
    }
}

impl From<RetryRule> for RetryRuleBody {
    fn from(rule: RetryRule) -> Self {
        let RetryRule { attempts, backoff_seconds, memory_percent } = rule;
        Self { attempts, backoff_seconds, memory_percent }
    }
}

impl From<Input> for InputBody {
    fn from(Input { name, source }: Input) -> Self {
        let (content, digest) = match source {
            InputSource::Inline(text) => (Some(text), None),
            InputSource::Blob(digest) => (None, Some(digest.to_string())),
        };
        Self { name, content, digest }
    }
}

impl From<Run> for RunBody {
    fn from(run: Run) -> Self {
        let log_complete = run.is_log_whole();
        Self {
            id: run.id.to_string(),
            attempt: run.attempt,
            resources: ResourcesBody::from(run.resources),
            cause: run.cause.map(CauseBody::of_run),
            exit: run.exit.map(ExitBody::from),
            usage: run.usage.map(|usage| {
                let RunUsage { cpu_ms, peak_memory_bytes, wall_ms } = usage;
                RunUsageBody { cpu_ms, peak_memory_bytes, wall_ms }
            }),
            started_at: run.started_at,
            exited_at: run.exited_at,
            heartbeat_at: run.heartbeat_at,
            created_at: run.created_at,
            ended_at: run.ended_at,
            settled_at: run.settled_at,
            log_lines: run.next_log_line.saturating_sub(1),
            first_log_line: run.lines_before + 1,
            log_full_at: run.log_full_at,
            log_missing_lines: run.log_missing_lines,
            log_complete,
        }
    }
}
