//! `POST /api/v1/plan-change-batches/{batch}/resume`

use super::{Accepted, PlanBatchBody, halt};
use crate::{caller::Caller, extract::PlanBatchPath};

/// Lets a batch go on that was halted. For operators.
#[utoipa::path(
    post, path = "/api/v1/plan-change-batches/{batch}/resume", tag = "plans",
    operation_id = "resumePlanChangeBatch",
    params(("batch" = String, Path, description = "Its id")),
    responses((status = ACCEPTED, description = "The batch as it is now", body = PlanBatchBody)),
)]
#[tracing::instrument(name = "http.plan_batch.resume", skip_all)]
pub(crate) async fn resume(caller: Caller, PlanBatchPath(batch): PlanBatchPath) -> Accepted {
    halt(&caller, batch, false).await
}
