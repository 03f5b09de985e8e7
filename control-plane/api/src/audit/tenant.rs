//! `GET /api/v1/tenants/{tenant}/audit`, and the same as a file.

use super::{AuditBody, WantedParams, file, wanted};
use crate::{
    caller::Caller,
    extract::{Parameters, TenantPath},
    page::{List, PageParams},
    problem::Problem,
};
use application::audit::{self, Of};
use axum::response::Response;

/// What was done to a tenant and in it, by operators too. For owners and admins.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant}/audit", tag = "tenants", operation_id = "listTenantAudit",
    params(("tenant" = String, Path, description = "Id or name"), WantedParams, PageParams),
    responses((status = OK, description = "A page, newest first", body = List<AuditBody>)),
)]
#[tracing::instrument(name = "http.audit.tenant", skip_all, fields(tenant.id))]
pub(crate) async fn list(
    Caller { app, actor, .. }: Caller,
    TenantPath(tenant): TenantPath,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let (query, wanted, filter) = wanted(parameters)?;
    let of = Of::Tenant(tenant);
    let page = audit::read(&app, &actor, &of, wanted, query.after, query.limit).await?;
    Ok(query.answer(page, &filter, AuditBody::from))
}

/// The entries of one tenant with their seals, oldest first; see `exportAudit`. Those of others are missing in between, and
/// there is no last line that says where the log ends.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant}/audit/export", tag = "tenants", operation_id = "exportTenantAudit",
    params(("tenant" = String, Path, description = "Id or name")),
    responses((status = OK, description = "The lines", content_type = "application/x-ndjson", body = String)),
)]
#[tracing::instrument(name = "http.audit.tenant_export", skip_all, fields(tenant.id))]
pub(crate) async fn export(
    Caller { app, actor, .. }: Caller,
    TenantPath(tenant): TenantPath,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.finish()?;
    Ok(file(audit::export(&app, &actor, &Of::Tenant(tenant)).await?))
}
