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
#[tracing::instrument(name = "http.session.get", skip_all, fields(tenant.id, session.id))]
pub(crate) async fn get(
    caller: Caller,
    SessionPath { tenant, session }: SessionPath,
    wait: Preference,
) -> Result<impl IntoResponse, Problem> {
    let Caller { app, actor, .. } = &caller;
    let waiting = wait.0.map(|time| session::wait(app, actor, &tenant, session, time));
    let now = session::get(app, actor, &tenant, session);
    let view = Box::pin(caller.wait_or(waiting, now)).await?;
    Ok((wait, Json(SessionBody::from(view))))
}
