//! `GET …/sessions/{session}/artifacts/{path}` and `…/result.json`: whatever they are, browsers save them and do not
//! run them.

use super::{FilePath, SessionPath};
use crate::{person::Person, refusal::Refusal};
use application::{attachment::disposition, session};
use axum::{
    body::Body,
    http::header,
    response::{IntoResponse as _, Response},
};

pub(super) async fn artifact(
    Person { app, actor, .. }: Person,
    SessionPath { tenant, session }: SessionPath,
    FilePath(path): FilePath,
) -> Result<Response, Refusal> {
    let found = session::artifact(&app, &actor, &tenant, session, &path, |_| None).await?;
    let (artifact, _, reading) = found;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, reading.size.to_string()),
        (header::CONTENT_DISPOSITION, disposition(&artifact.path)),
    ];
    Ok((headers, Body::from_stream(reading.bytes)).into_response())
}

pub(super) async fn result(
    Person { app, actor, .. }: Person,
    SessionPath { tenant, session }: SessionPath,
) -> Result<Response, Refusal> {
    let bytes = session::result(&app, &actor, &tenant, session).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::CONTENT_DISPOSITION, disposition("result.json")),
    ];
    Ok((headers, bytes).into_response())
}
