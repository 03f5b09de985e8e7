//! `GET /api/v1/plan-change-batches/{batch}`

use super::PlanBatchBody;
use crate::{caller::Caller, extract::PlanBatchPath, problem::Problem};
use application::plan_batch;
use axum::Json;

/// One batch, with each of its tenants. For operators.
#[utoipa::path(
    get, path = "/api/v1/plan-change-batches/{batch}", tag = "plans", operation_id = "getPlanChangeBatch",
    params(("batch" = String, Path, description = "Its id")),
    responses((status = OK, description = "The batch", body = PlanBatchBody)),
)]
#[tracing::instrument(name = "http.plan_batch.get", skip_all)]
pub(crate) async fn get(
    Caller { app, actor, .. }: Caller,
    PlanBatchPath(batch): PlanBatchPath,
) -> Result<Json<PlanBatchBody>, Problem> {
    Ok(Json(PlanBatchBody::of_view(plan_batch::get(&app, &actor, batch).await?)))
}
