//! `GET /api/v1/tenants/{tenant}`

use super::TenantBody;
use crate::{caller::Caller, extract::TenantPath, problem::Problem};
use application::tenant;
use axum::Json;

/// One tenant.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant}", tag = "tenants", operation_id = "getTenant",
    params(("tenant" = String, Path, description = "Id or name")),
    responses((status = OK, description = "The tenant", body = TenantBody)),
)]
#[tracing::instrument(name = "http.tenant.get", skip_all, fields(tenant.id))]
pub(crate) async fn get(
    Caller { app, actor, .. }: Caller,
    TenantPath(tenant): TenantPath,
) -> Result<Json<TenantBody>, Problem> {
    let view = tenant::get(&app, &actor, &tenant).await?;
    Ok(Json(TenantBody::of_view(view, &actor)))
}
