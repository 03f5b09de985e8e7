use super::parse;
use crate::{caller::Caller, problem::Problem};
use application::{App, run};
use axum::{Json, extract::State, http::StatusCode};
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
    let stop = run::heartbeat(&app, &caller, parse(&body)?).await?;
    Ok(Json(Heartbeat { stop }))
}

pub(super) async fn logs(
    State(app): State<App>,
    Caller(caller): Caller,
    body: Bytes,
) -> Result<Json<Next>, Problem> {
    let next = run::append_log(&app, &caller, &body).await?;
    Ok(Json(Next { next }))
}

pub(super) async fn exited(
    State(app): State<App>,
    Caller(caller): Caller,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    let Exited { code, signal, was_terminated, out_of_memory, last_line, usage } = parse(&body)?;
    let report = run::Report {
        exit: Exit { code, signal },
        was_terminated,
        is_out_of_memory: out_of_memory,
        last_line,
        usage,
    };
    run::exited(&app, &caller, report).await?;
    Ok(StatusCode::NO_CONTENT)
}
