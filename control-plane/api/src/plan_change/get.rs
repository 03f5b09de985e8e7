//! `GET /api/v1/tenants/{tenant}/plan-changes/{operation}`

use super::{PlanChangeBody, told};
use crate::{caller::Caller, extract::PlanChangePath, problem::Problem};
use application::plan_change;
use axum::Json;

/// One change of plan.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant}/plan-changes/{operation}", tag = "plans", operation_id = "getPlanChange",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("operation" = String, Path, description = "The id of its operation"),
    ),
    responses((status = OK, description = "The change", body = PlanChangeBody)),
)]
#[tracing::instrument(name = "http.plan_change.get", skip_all, fields(tenant.id, operation.id))]
pub(crate) async fn get(
    Caller { app, actor, .. }: Caller,
    PlanChangePath { tenant, operation }: PlanChangePath,
) -> Result<Json<PlanChangeBody>, Problem> {
    let found = plan_change::get(&app, &actor, &tenant, operation).await?;
    Ok(Json(told(&app, found).await?))
}
