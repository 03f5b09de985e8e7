//! `POST /api/v1/tenants/{tenant}/sessions/{session}/stop`

use super::SessionBody;
use crate::{caller::Caller, extract::SessionPath, problem::Problem};
use application::session;
use axum::{Json, http::StatusCode};

/// Asks a session to stop. One that is over stays as it is, so asking again is harmless.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant}/sessions/{session}/stop", tag = "sessions", operation_id = "stopSession",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("session" = String, Path, description = "Its id"),
    ),
    responses((status = ACCEPTED, description = "The session as it is now", body = SessionBody)),
)]
#[tracing::instrument(name = "http.session.stop", skip_all, fields(tenant.id, session.id))]
pub(crate) async fn stop(
    Caller { app, actor, .. }: Caller,
    SessionPath { tenant, session }: SessionPath,
) -> Result<(StatusCode, Json<SessionBody>), Problem> {
    let view = session::stop(&app, &actor, &tenant, session).await?;
    Ok((StatusCode::ACCEPTED, Json(view.into())))
}
