use crate::{caller::Caller, problem::Problem};
use application::{App, run};
use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header::CONTENT_LENGTH},
};
use bytes::Bytes;
use domain::Digest;

pub(super) async fn result(
    State(app): State<App>,
    Caller(caller): Caller,
    json: Bytes,
) -> Result<StatusCode, Problem> {
    run::put_result(&app, &caller, json).await?;
    Ok(StatusCode::CREATED)
}

pub(super) async fn artifact(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let digest = header("x-content-sha256").and_then(|hex| format!("sha256:{hex}").parse().ok());
    let digest: Digest = digest.ok_or_else(|| {
        Problem::invalid("the header X-Content-Sha256 has 64 lower-case hexadecimal digits")
    })?;
    let size = header(CONTENT_LENGTH.as_str()).and_then(|size| size.parse::<u64>().ok());
    run::put_artifact(&app, &caller, &path, &digest, size, body.into_data_stream()).await?;
    Ok(StatusCode::CREATED)
}
