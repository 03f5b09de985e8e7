//! `GET /api/v1/plan-change-batches`

use super::PlanBatchBody;
use crate::{
    caller::Caller,
    extract::Parameters,
    page::{List, PageParams, PageQuery},
    problem::Problem,
};
use application::plan_batch;
use axum::response::Response;

/// The batches of changes of plan. For operators.
#[utoipa::path(
    get, path = "/api/v1/plan-change-batches", tag = "plans", operation_id = "listPlanChangeBatches",
    params(PageParams),
    responses((status = OK, description = "A page, newest first", body = List<PlanBatchBody>)),
)]
#[tracing::instrument(name = "http.plan_batch.list", skip_all)]
pub(crate) async fn list(
    Caller { app, actor, .. }: Caller,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let query = PageQuery::take(&mut parameters);
    parameters.finish()?;
    let page = plan_batch::list(&app, &actor, query.after, query.limit).await?;
    Ok(query.answer(page, "", |batch| PlanBatchBody::new(batch, None)))
}
