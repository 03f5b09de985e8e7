use crate::{caller::Caller, problem::Problem};
use application::{App, run};
use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::header::{CONTENT_LENGTH, CONTENT_TYPE},
    response::IntoResponse,
};
use domain::{Digest, RunId, SessionId};
use serde::Serialize;

/// What an agent is to be given.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    run_id: RunId,
    session_id: SessionId,
    inputs: Vec<Input>,
    stop: bool,
    grace_period_seconds: u32,
}

#[derive(Debug, Serialize)]
struct Input {
    name: String,
    digest: Digest,
    size: u64,
}

pub(super) async fn manifest(
    State(app): State<App>,
    Caller(caller): Caller,
) -> Result<Json<Manifest>, Problem> {
    let run::Manifest { run, session, inputs, is_stopping, grace_period_seconds } =
        run::manifest(&app, &caller).await?;
    let inputs = inputs.into_iter().map(|run::ManifestInput { name, digest, size }| Input {
        name,
        digest,
        size,
    });
    Ok(Json(Manifest {
        run_id: run,
        session_id: session,
        inputs: inputs.collect(),
        stop: is_stopping,
        grace_period_seconds,
    }))
}

pub(super) async fn input(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(name): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let reading = run::input(&app, &caller, &name).await?;
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_LENGTH, reading.size.to_string()),
    ];
    Ok((headers, Body::from_stream(reading.bytes)))
}
