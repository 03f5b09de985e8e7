//! `POST /api/v1/plan-change-batches/{batch}/pause`

use super::{Accepted, PlanBatchBody, halt};
use crate::{caller::Caller, extract::PlanBatchPath};

/// Lets nothing more of a batch begin. What is under way goes on. For operators.
#[utoipa::path(
    post, path = "/api/v1/plan-change-batches/{batch}/pause", tag = "plans",
    operation_id = "pausePlanChangeBatch",
    params(("batch" = String, Path, description = "Its id")),
    responses((status = ACCEPTED, description = "The batch as it is now", body = PlanBatchBody)),
)]
#[tracing::instrument(name = "http.plan_batch.pause", skip_all)]
pub(crate) async fn pause(caller: Caller, PlanBatchPath(batch): PlanBatchPath) -> Accepted {
    halt(&caller, batch, true).await
}
