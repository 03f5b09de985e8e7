use crate::{
    caller::Caller,
    problem::{Problem, UPLOAD_OFFSET},
};
use application::{
    App,
    blobs::Piece,
    run::{self, Progress},
};
use axum::{
    body::Body,
    extract::{Path, State},
    http::{
        HeaderMap, HeaderName, StatusCode,
        header::{CACHE_CONTROL, CONTENT_LENGTH},
    },
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use domain::Digest;

/// Whether an upload is or will be whole, as a boolean of RFC 9651: draft-ietf-httpbis-resumable-upload.
const UPLOAD_COMPLETE: &str = "upload-complete";
const UPLOAD_LENGTH: &str = "upload-length";

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
    let digest = digest(&headers)?;
    let size = number(&headers, CONTENT_LENGTH.as_str());
    run::put_artifact(&app, &caller, &path, &digest, size, body.into_data_stream()).await?;
    Ok(StatusCode::CREATED)
}

/// How far an artifact is there that is sent in pieces.
pub(super) async fn progress(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let progress = run::artifact_offset(&app, &caller, &path, &digest(&headers)?).await?;
    Ok(answer(StatusCode::NO_CONTENT, progress))
}

/// A piece of an artifact.
pub(super) async fn append(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let needed = |name| {
        let missing = || Problem::invalid(format!("the header {name} is a number"));
        number(&headers, name).ok_or_else(missing)
    };
    let (offset, length) = (needed(UPLOAD_OFFSET.as_str())?, needed(UPLOAD_LENGTH)?);
    let is_last = match header(&headers, UPLOAD_COMPLETE) {
        Some("?1") => true,
        Some("?0") => false,
        _ => return Err(Problem::invalid("the header Upload-Complete is ?0 or ?1")),
    };
    let digest = digest(&headers)?;
    let piece = Piece { digest: &digest, offset, most: length, is_last };
    let bytes = body.into_data_stream();
    let progress = run::append_artifact(&app, &caller, &path, length, piece, bytes).await?;
    let is_complete = progress.is_complete;
    let status = if is_complete { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
    Ok(answer(status, progress))
}

fn answer(status: StatusCode, Progress { offset, is_complete }: Progress) -> Response {
    let headers = [
        (UPLOAD_OFFSET, offset.to_string()),
        (
            HeaderName::from_static(UPLOAD_COMPLETE),
            if is_complete { "?1" } else { "?0" }.to_owned(),
        ),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    (status, headers).into_response()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    header(headers, name)?.parse().ok()
}

/// The digest that a whole artifact has to have.
fn digest(headers: &HeaderMap) -> Result<Digest, Problem> {
    let digest = header(headers, "x-content-sha256");
    digest.and_then(|hex| format!("sha256:{hex}").parse().ok()).ok_or_else(|| {
        Problem::invalid("the header X-Content-Sha256 has 64 lower-case hexadecimal digits")
    })
}
