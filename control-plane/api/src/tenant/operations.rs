//! `GET /api/v1/tenants/{tenant}/operations`

use crate::{
    caller::Caller,
    extract::{Parameters, TenantPath},
    operation::OperationBody,
    page::{List, PageParams, PageQuery},
    problem::Problem,
};
use application::operation;
use axum::response::Response;

/// What was and is being done to a tenant.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant}/operations", tag = "operations", operation_id = "listOperations",
    params(("tenant" = String, Path, description = "Id or name"), PageParams),
    responses((status = OK, description = "A page, newest first", body = List<OperationBody>)),
)]
#[tracing::instrument(name = "http.operation.list", skip_all, fields(tenant.id))]
pub(crate) async fn operations(
    Caller { app, actor, .. }: Caller,
    TenantPath(tenant): TenantPath,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let query = PageQuery::take(&mut parameters);
    parameters.finish()?;
    let page = operation::list(&app, &actor, &tenant, query.after, query.limit).await?;
    let kinds = page.items.iter().map(|operation| operation.kind);
    let typicals = operation::typicals(&app, kinds).await?;
    let now = app.clock.now();
    Ok(query.answer(page, "", |operation| OperationBody::new(operation, &typicals, now)))
}
