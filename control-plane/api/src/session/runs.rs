//! `GET /api/v1/tenants/{tenant}/sessions/{session}/runs`

use super::RunBody;
use crate::{caller::Caller, extract::SessionPath, page::List, problem::Problem};
use application::session;
use axum::Json;

/// The runs of a session: each is one attempt.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant}/sessions/{session}/runs", tag = "sessions", operation_id = "listRuns",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("session" = String, Path, description = "Its id"),
    ),
    responses((status = OK, description = "All runs, first to last", body = List<RunBody>)),
)]
#[tracing::instrument(name = "http.session.runs", skip_all, fields(tenant.id, session.id))]
pub(crate) async fn runs(
    Caller { app, actor, .. }: Caller,
    SessionPath { tenant, session }: SessionPath,
) -> Result<Json<List<RunBody>>, Problem> {
    let runs = session::runs(&app, &actor, &tenant, session).await?;
    let items = runs.into_iter().map(RunBody::from).collect();
    Ok(Json(List { items, next_cursor: None }))
}
