//! `GET /api/v1/tenants/{tenant}/kubeconfig`

use crate::{caller::Caller, extract::TenantPath, problem::Problem};
use application::tenant;
use axum::{http::header, response::IntoResponse};
use secrecy::ExposeSecret as _;

/// A kubeconfig with a short-lived credential for the tenant's API server.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant}/kubeconfig", tag = "tenants", operation_id = "getKubeconfig",
    params(("tenant" = String, Path, description = "Id or name")),
    responses((status = OK, description = "A kubeconfig", content_type = "text/yaml", body = String)),
)]
#[tracing::instrument(name = "http.tenant.kubeconfig", skip_all, fields(tenant.id))]
pub(crate) async fn kubeconfig(
    Caller { app, actor, .. }: Caller,
    TenantPath(tenant): TenantPath,
) -> Result<impl IntoResponse, Problem> {
    let kubeconfig = tenant::kubeconfig(&app, &actor, &tenant).await?;
    let headers = [(header::CONTENT_TYPE, "text/yaml; charset=utf-8")];
    Ok((headers, kubeconfig.expose_secret().to_owned()))
}
