//! `DELETE /api/v1/tenants/{tenant}/tokens/{token}`

use crate::{caller::Caller, extract::TokenPath, problem::Problem};
use application::{tenant::TenantRef, token};
use axum::http::StatusCode;

/// Takes an API token of a tenant back. What was begun with it goes on.
#[utoipa::path(
    delete, path = "/api/v1/tenants/{tenant}/tokens/{token}", tag = "tenants", operation_id = "revokeToken",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("token" = String, Path, description = "Its id"),
    ),
    responses((status = NO_CONTENT, description = "It is nobody's from now on")),
)]
#[tracing::instrument(name = "http.token.revoke", skip_all, fields(tenant.id))]
pub(crate) async fn revoke(
    Caller { app, actor, .. }: Caller,
    TokenPath(tenant, token): TokenPath<TenantRef>,
) -> Result<StatusCode, Problem> {
    token::revoke(&app, &actor, Some(&tenant), token).await?;
    Ok(StatusCode::NO_CONTENT)
}
