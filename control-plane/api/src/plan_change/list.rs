//! `GET /api/v1/tenants/{tenant}/plan-changes`

use super::PlanChangeBody;
use crate::{
    caller::Caller,
    extract::{Parameters, TenantPath},
    page::{List, PageParams, PageQuery},
    problem::Problem,
};
use application::{operation::typicals, plan_change};
use axum::response::Response;
use domain::OperationKind;

/// The changes of a tenant's plan, those among them that wait or never began.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant}/plan-changes", tag = "plans", operation_id = "listPlanChanges",
    params(("tenant" = String, Path, description = "Id or name"), PageParams),
    responses((status = OK, description = "A page, newest first", body = List<PlanChangeBody>)),
)]
#[tracing::instrument(name = "http.plan_change.list", skip_all, fields(tenant.id))]
pub(crate) async fn list(
    Caller { app, actor, .. }: Caller,
    TenantPath(tenant): TenantPath,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let query = PageQuery::take(&mut parameters);
    parameters.finish()?;
    let page = plan_change::list(&app, &actor, &tenant, query.after, query.limit).await?;
    let typicals = typicals(&app, [OperationKind::PlanChange]).await?;
    let now = app.clock.now();
    Ok(query.answer(page, "", |change| PlanChangeBody::new(change, &typicals, now)))
}
