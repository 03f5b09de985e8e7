//! `GET /api/v1/tenants/{tenant}/sessions/{session}/result`

use crate::{caller::Caller, extract::SessionPath, problem::Problem};
use application::session;
use axum::{http::header, response::IntoResponse};

/// The result that a session left: the JSON text of its `result.json`.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant}/sessions/{session}/result", tag = "sessions", operation_id = "getResult",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("session" = String, Path, description = "Its id"),
    ),
    responses((status = OK, description = "The result", content_type = "application/json", body = Object)),
)]
#[tracing::instrument(name = "http.session.result", skip_all, fields(tenant.id, session.id))]
pub(crate) async fn result(
    Caller { app, actor, .. }: Caller,
    SessionPath { tenant, session }: SessionPath,
) -> Result<impl IntoResponse, Problem> {
    let bytes = session::result(&app, &actor, &tenant, session).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes))
}
