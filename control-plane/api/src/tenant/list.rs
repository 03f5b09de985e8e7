//! `GET /api/v1/tenants`

use super::TenantBody;
use crate::{
    caller::Caller,
    extract::Parameters,
    page::{List, PageParams, PageQuery},
    problem::Problem,
};
use application::tenant;
use axum::response::Response;

/// The tenants that you may see.
#[utoipa::path(
    get, path = "/api/v1/tenants", tag = "tenants", operation_id = "listTenants",
    params(PageParams),
    responses((status = OK, description = "A page, by identifier", body = List<TenantBody>)),
)]
#[tracing::instrument(name = "http.tenant.list", skip_all)]
pub(crate) async fn list(
    Caller { app, actor, .. }: Caller,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let query = PageQuery::take(&mut parameters);
    parameters.finish()?;
    let page = tenant::list(&app, &actor, query.after, query.limit).await?;
    Ok(query.answer(page, "", |tenant| TenantBody::new(&tenant, None, &actor)))
}
