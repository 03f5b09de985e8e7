//! Sessions of a tenant.

use crate::{Portal, extract::TenantPath, refusal::Refusal};
use application::{
    error::{FindError, Noun},
    tenant::TenantRef,
};
use axum::{
    Router,
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
    routing::{get, post},
};
use domain::SessionId;

mod ansi;
mod change;
mod events;
mod file;
mod form;
mod list;
mod live;
mod log;
mod new;
mod outcome;
mod refused;
mod rerun;
mod show;
mod spec;
mod summary;
mod timeline;
mod twin;

/// A session of a tenant, by the path; a text that names none is one that is not there.
#[derive(Debug, Clone)]
struct SessionPath {
    tenant: TenantRef,
    session: SessionId,
}

/// The path of a file that a session left, with its slashes.
#[derive(Debug)]
struct FilePath(String);

pub(crate) fn routes() -> Router<Portal> {
    const LIST: &str = "/tenants/{tenant}/sessions";
    const ONE: &str = "/tenants/{tenant}/sessions/{session}";
    let below = |path: &str| format!("{ONE}/{path}");
    Router::new()
        .route(LIST, get(list::show).post(new::create))
        .route(&format!("{LIST}/new"), get(new::show))
        .route(&format!("{LIST}/stop"), post(list::stop))
        .route(ONE, get(show::show))
        .route(&below("stop"), post(change::stop))
        .route(&below("rerun"), post(change::rerun))
        .route(&below("events"), get(events::events))
        .route(&below("log"), get(log::show))
        .route(&below("log.txt"), get(log::raw))
        .route(&below("result.json"), get(file::result))
        .route(&below("artifacts/{*path}"), get(file::artifact))
}

impl<S: Send + Sync> FromRequestParts<S> for SessionPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let TenantPath(tenant) = TenantPath::from_request_parts(parts, state).await?;
        let session = parameter(parts, state, "session").await;
        let session = session.and_then(|text| text.parse().ok());
        let session = session.ok_or(FindError::Missing(Noun::Session))?;
        Ok(Self { tenant, session })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for FilePath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = parameter(parts, state, "path").await;
        Ok(Self(path.ok_or(FindError::Missing(Noun::Artifact))?))
    }
}

async fn parameter<S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> Option<String> {
    let parameters = RawPathParams::from_request_parts(parts, state).await.ok()?;
    parameters.iter().find(|(key, _)| *key == name).map(|(_, text)| text.to_owned())
}
