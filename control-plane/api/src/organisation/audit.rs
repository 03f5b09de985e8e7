//! `GET /api/v1/organisations/{organisation}/audit`

use crate::{
    audit::{AuditBody, WantedParams, wanted},
    caller::Caller,
    extract::{OrganisationPath, Parameters},
    page::{List, PageParams},
    problem::Problem,
};
use application::audit::{self, Of};
use axum::response::Response;

/// What was done to an organisation and its people; what was done to its tenants is in theirs. For owners and admins.
#[utoipa::path(
    get, path = "/api/v1/organisations/{organisation}/audit", tag = "organisations", operation_id = "listOrganisationAudit",
    params(("organisation" = String, Path, description = "Id or name"), WantedParams, PageParams),
    responses((status = OK, description = "A page, newest first", body = List<AuditBody>)),
)]
#[tracing::instrument(name = "http.audit.organisation", skip_all)]
pub(crate) async fn list(
    Caller { app, actor, .. }: Caller,
    OrganisationPath(organisation): OrganisationPath,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let (query, wanted, filter) = wanted(parameters)?;
    let of = Of::Organisation(organisation);
    let page = audit::read(&app, &actor, &of, wanted, query.after, query.limit).await?;
    Ok(query.answer(page, &filter, AuditBody::from))
}
