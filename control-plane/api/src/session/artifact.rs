//! `GET /api/v1/tenants/{tenant}/sessions/{session}/artifacts/{*path}`

use crate::{
    caller::Caller,
    extract::{ArtifactPath, SessionPath},
    problem::Problem,
};
use application::{
    Artifact,
    attachment::disposition,
    session::{self, Part},
};
use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::Digest;

const DIGEST: HeaderName = HeaderName::from_static("x-content-sha256");

/// One file that a session left. Whatever it is, browsers save it and do not run it.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant}/sessions/{session}/artifacts/{*path}", tag = "sessions", operation_id = "getArtifact",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("session" = String, Path, description = "Its id"),
        ("path" = String, Path, description = "Its path, with slashes"),
        ("Range" = Option<String>, Header, description = "One range of bytes, as in `bytes=100-199`; anything else gets the whole file"),
        ("If-Range" = Option<String>, Header, description = "The `ETag` of an earlier answer: if the file is another one, the whole of it is sent"),
    ),
    responses(
        (status = OK, description = "Its bytes", content_type = "application/octet-stream", body = String),
        (status = PARTIAL_CONTENT, description = "The bytes in the range", content_type = "application/octet-stream", body = String),
    ),
)]
#[tracing::instrument(name = "http.session.artifact", skip_all, fields(tenant.id, session.id))]
pub(crate) async fn artifact(
    Caller { app, actor, .. }: Caller,
    SessionPath { tenant, session }: SessionPath,
    ArtifactPath(path): ArtifactPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wanted = |artifact: &Artifact| {
        let known = header_text(&headers, header::IF_RANGE);
        let is_same = known.is_none_or(|known| known == etag(&artifact.digest));
        header_text(&headers, header::RANGE).filter(|_| is_same).and_then(part)
    };
    let found = session::artifact(&app, &actor, &tenant, session, &path, wanted);
    let (artifact, range, reading) = found.await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, reading.size.to_string()),
        (header::CONTENT_DISPOSITION, disposition(&artifact.path)),
        (header::CONTENT_SECURITY_POLICY, "sandbox".to_owned()),
        (DIGEST, artifact.digest.digits().to_owned()),
        (header::ETAG, etag(&artifact.digest)),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
    ];
    let body = Body::from_stream(reading.bytes);
    Ok(match range {
        None => (headers, body).into_response(),
        Some(range) => {
            let range = format!("bytes {}-{}/{}", range.start, range.end - 1, artifact.size);
            let range = [(header::CONTENT_RANGE, range)];
            (StatusCode::PARTIAL_CONTENT, headers, range, body).into_response()
        }
    })
}

fn header_text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn etag(digest: &Digest) -> String {
    format!("\"{}\"", digest.digits())
}

/// One range of bytes; nothing for several, and for what is none: RFC 9110 lets both be passed over.
fn part(text: &str) -> Option<Part> {
    let (first, last) = text.strip_prefix("bytes=")?.trim().split_once('-')?;
    let number = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
    };
    match (first, last) {
        ("", last) => Some(Part::Last(number(last)?)),
        (first, "") => Some(Part::From(number(first)?)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Part::Between(first, last))
        }
    }
}
