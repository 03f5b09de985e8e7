//! `GET /api/v1/tenants/{tenant}/sessions`

use super::SessionBody;
use crate::{
    caller::Caller,
    extract::{Parameters, TenantPath},
    page::{List, PageParams, PageQuery},
    problem::Problem,
};
use application::session;
use axum::response::Response;
use domain::SessionState;

/// The sessions of a tenant.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant}/sessions", tag = "sessions", operation_id = "listSessions",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("state" = Option<String>, Query, description = "Only those in this state"),
        PageParams,
    ),
    responses((status = OK, description = "A page, newest first", body = List<SessionBody>)),
)]
#[tracing::instrument(name = "http.session.list", skip_all, fields(tenant.id))]
pub(crate) async fn list(
    Caller { app, actor, .. }: Caller,
    TenantPath(tenant): TenantPath,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let rule = format!("one of: {}", SessionState::ALL.map(SessionState::as_str).join(", "));
    let state = parameters.take("state", &rule, SessionState::parse);
    let query = PageQuery::take(&mut parameters);
    parameters.finish()?;
    let page = session::list(&app, &actor, &tenant, state, query.after, query.limit).await?;
    let filter = state.map(|state| format!("&state={state}")).unwrap_or_default();
    Ok(query.answer(page, &filter, SessionBody::from))
}
