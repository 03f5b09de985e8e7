//! Sessions.

use crate::openapi::words;
use application::session::SessionView;
use domain::{Cause, Exit, FailureClass, Input, InputSource, Run, RunUsage, Session, SessionSpec};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

pub(crate) mod artifact;
pub(crate) mod artifacts;
pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod result;
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
    /// Its run, once there is one.
    run: Option<RunBody>,
    created_at: Timestamp,
    /// When its Job was asked for.
    starting_at: Option<Timestamp>,
    /// When the agent's process started.
    running_at: Option<Timestamp>,
    /// When it reached its final state.
    finished_at: Option<Timestamp>,
    stop_requested_at: Option<Timestamp>,
}

/// Why a session is in its state.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cause)]
struct CauseBody {
    /// Whom to blame; nothing for a success or a stop.
    #[schema(schema_with = words::failure_class)]
    class: Option<FailureClass>,
    /// One word for programs.
    reason: String,
    /// A sentence for people.
    message: String,
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
    inputs: Vec<InputBody>,
    resources: ResourcesBody,
    timeout_seconds: u32,
    grace_period_seconds: u32,
    labels: BTreeMap<String, String>,
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
struct RunBody {
    id: String,
    /// 1 for the first.
    attempt: u32,
    exit: Option<ExitBody>,
    usage: Option<RunUsageBody>,
    started_at: Option<Timestamp>,
    exited_at: Option<Timestamp>,
    /// When its runner was last heard of.
    heartbeat_at: Option<Timestamp>,
    /// Lines of its log so far.
    log_lines: u64,
}

/// How the agent's process ended: by itself or by a signal.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Exit)]
struct ExitBody {
    code: Option<i32>,
    signal: Option<i32>,
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
    fn from(SessionView { session, run, is_env_shown }: SessionView) -> Self {
        let Session { spec, .. } = session;
        Self {
            id: session.id.to_string(),
            tenant: session.tenant.to_string(),
            project: spec.project.to_string(),
            state: session.state.as_str(),
            cause: session.cause.map(CauseBody::from),
            spec: SpecBody::new(spec, is_env_shown),
            run: run.map(RunBody::from),
            created_at: session.created_at,
            starting_at: session.starting_at,
            running_at: session.running_at,
            finished_at: session.finished_at,
            stop_requested_at: session.stop_requested_at,
        }
    }
}

impl From<Cause> for CauseBody {
    fn from(Cause { class, reason, message }: Cause) -> Self {
        Self { class, reason, message }
    }
}

impl SpecBody {
    fn new(spec: SessionSpec, is_env_shown: bool) -> Self {
        let env = spec.env.into_iter();
        Self {
            image: spec.image,
            command: spec.command,
            args: spec.args,
            env: env.map(|(name, value)| (name, is_env_shown.then_some(value))).collect(),
            inputs: spec.inputs.into_iter().map(InputBody::from).collect(),
            resources: ResourcesBody {
                cpu: spec.resources.cpu.to_string(),
                memory: spec.resources.memory.to_string(),
            },
            timeout_seconds: spec.timeout_seconds,
            grace_period_seconds: spec.grace_period_seconds,
            labels: spec.labels,
        }
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
        Self {
            id: run.id.to_string(),
            attempt: run.attempt,
            exit: run.exit.map(|Exit { code, signal }| ExitBody { code, signal }),
            usage: run.usage.map(|usage| {
                let RunUsage { cpu_ms, peak_memory_bytes, wall_ms } = usage;
                RunUsageBody { cpu_ms, peak_memory_bytes, wall_ms }
            }),
            started_at: run.started_at,
            exited_at: run.exited_at,
            heartbeat_at: run.heartbeat_at,
            log_lines: run.next_log_line.saturating_sub(1),
        }
    }
}
