use super::parse;
use crate::{caller::Caller, problem::Problem};
use application::{
    App,
    run::{self, Words},
};
use axum::{
    Json,
    extract::{Query, State},
    http::StatusCode,
};
use bytes::Bytes;
use domain::{Exit, RunUsage};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize)]
pub(super) struct Heartbeat {
    stop: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Next {
    next: u64,
    /// Whether it is pointless to send more of the agent's lines.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    full: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogQuery {
    #[serde(default)]
    last_words: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alive {
    #[serde(flatten)]
    usage: RunUsage,
    #[serde(default)]
    missing_lines: u64,
}

#[derive(Debug, Deserialize)]
struct Started {
    pid: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Exited {
    code: Option<i32>,
    signal: Option<i32>,
    was_terminated: bool,
    #[serde(default)]
    out_of_memory: bool,
    last_line: u64,
    #[serde(default)]
    missing_lines: u64,
    #[serde(flatten)]
    usage: RunUsage,
}

pub(super) async fn started(
    State(app): State<App>,
    Caller(caller): Caller,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    let Started { pid } = parse(&body)?;
    tracing::debug!(run.id = %caller.run(), pid, "an agent was started");
    run::started(&app, &caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn heartbeat(
    State(app): State<App>,
    Caller(caller): Caller,
    body: Bytes,
) -> Result<Json<Heartbeat>, Problem> {
    let Alive { usage, missing_lines } = parse(&body)?;
    let stop = run::heartbeat(&app, &caller, usage, missing_lines).await?;
    Ok(Json(Heartbeat { stop }))
}

pub(super) async fn logs(
    State(app): State<App>,
    Caller(caller): Caller,
    Query(LogQuery { last_words }): Query<LogQuery>,
    body: Bytes,
) -> Result<Json<Next>, Problem> {
    let words = if last_words { Words::Last } else { Words::Agents };
    let run::Appended { next, is_full } = run::append_log(&app, &caller, &body, words).await?;
    Ok(Json(Next { next, full: is_full }))
}

pub(super) async fn exited(
    State(app): State<App>,
    Caller(caller): Caller,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    let exited: Exited = parse(&body)?;
    let report = run::Report {
        exit: Exit { code: exited.code, signal: exited.signal },
        was_terminated: exited.was_terminated,
        is_out_of_memory: exited.out_of_memory,
        last_line: exited.last_line,
        missing_lines: exited.missing_lines,
        usage: exited.usage,
    };
    run::exited(&app, &caller, report).await?;
    Ok(StatusCode::NO_CONTENT)
}
