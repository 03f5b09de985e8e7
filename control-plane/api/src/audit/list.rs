//! `GET /api/v1/audit`

use super::{AuditBody, WantedParams, wanted};
use crate::{
    caller::Caller,
    extract::Parameters,
    page::{List, PageParams},
    problem::Problem,
};
use application::audit::{self, Of};
use axum::response::Response;

/// The audit log. For operators.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "platform", operation_id = "listAudit",
    params(WantedParams, PageParams),
    responses((status = OK, description = "A page, newest first", body = List<AuditBody>)),
)]
#[tracing::instrument(name = "http.audit.list", skip_all)]
pub(crate) async fn list(
    Caller { app, actor, .. }: Caller,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let (query, wanted, filter) = wanted(parameters)?;
    let page = audit::read(&app, &actor, &Of::Platform, wanted, query.after, query.limit).await?;
    Ok(query.answer(page, &filter, AuditBody::from))
}
