//! `POST /api/v1/plan-change-batches/{batch}/retry`

use super::{Accepted, PlanBatchBody, accepted};
use crate::{caller::Caller, extract::PlanBatchPath};
use application::plan_batch;

/// Lets those wait again that failed or were skipped, from now on in the caller's name. Those whose tenant is gone stay as
/// they are. For operators.
#[utoipa::path(
    post, path = "/api/v1/plan-change-batches/{batch}/retry", tag = "plans",
    operation_id = "retryPlanChangeBatch",
    params(("batch" = String, Path, description = "Its id")),
    responses((status = ACCEPTED, description = "The batch as it is now", body = PlanBatchBody)),
)]
#[tracing::instrument(name = "http.plan_batch.retry", skip_all)]
pub(crate) async fn retry(caller: Caller, PlanBatchPath(batch): PlanBatchPath) -> Accepted {
    let Caller { app, actor, .. } = &caller;
    accepted(plan_batch::retry(app, actor, batch).await)
}
