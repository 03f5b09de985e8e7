//! `GET /api/v1/tenants/{tenant}/sessions/{session}`

use super::SessionBody;
use crate::{
    caller::Caller,
    extract::{Preference, SessionPath},
    problem::Problem,
};
use application::session;
use axum::{Json, response::IntoResponse};

/// One session.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant}/sessions/{session}", tag = "sessions", operation_id = "getSession",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("session" = String, Path, description = "Its id"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: answer when it is over, at most after N seconds"),
    ),
    responses((status = OK, description = "The session", body = SessionBody)),
)]
#[tracing::instrument(name = "http.session.get", skip_all)]
pub(crate) async fn get(
    Caller { app, actor, .. }: Caller,
    SessionPath { tenant, session }: SessionPath,
    wait: Preference,
) -> Result<impl IntoResponse, Problem> {
    let view = match wait.0 {
        Some(time) => session::wait(&app, &actor, &tenant, session, time).await?,
        None => session::get(&app, &actor, &tenant, session).await?,
    };
    Ok((wait, Json(SessionBody::from(view))))
}
