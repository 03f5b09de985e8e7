//! `GET /api/v1/tenants/{tenant}/tokens`

use super::TokenBody;
use crate::{
    caller::Caller,
    extract::{Parameters, TenantPath},
    page::{List, PageParams, PageQuery},
    problem::Problem,
};
use application::token;
use axum::response::Response;

/// The API tokens of a tenant, without their texts.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant}/tokens", tag = "tenants", operation_id = "listTokens",
    params(("tenant" = String, Path, description = "Id or name"), PageParams),
    responses((status = OK, description = "A page, oldest first", body = List<TokenBody>)),
)]
#[tracing::instrument(name = "http.token.list", skip_all, fields(tenant.id))]
pub(crate) async fn list(
    Caller { app, actor, .. }: Caller,
    TenantPath(tenant): TenantPath,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let query = PageQuery::take(&mut parameters);
    parameters.finish()?;
    let page = token::list(&app, &actor, Some(&tenant), query.after, query.limit).await?;
    Ok(query.answer(page, "", TokenBody::from))
}
