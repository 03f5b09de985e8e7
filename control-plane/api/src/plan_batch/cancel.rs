//! `POST /api/v1/plan-change-batches/{batch}/cancel`

use super::{Accepted, PlanBatchBody, accepted};
use crate::{caller::Caller, extract::PlanBatchPath};
use application::plan_batch;

/// Gives a batch up: those that wait are cancelled. Those that are under way go on to their ends; each of them can be taken
/// back as a change of its tenant. For operators.
#[utoipa::path(
    post, path = "/api/v1/plan-change-batches/{batch}/cancel", tag = "plans",
    operation_id = "cancelPlanChangeBatch",
    params(("batch" = String, Path, description = "Its id")),
    responses((status = ACCEPTED, description = "The batch as it is now", body = PlanBatchBody)),
)]
#[tracing::instrument(name = "http.plan_batch.cancel", skip_all)]
pub(crate) async fn cancel(caller: Caller, PlanBatchPath(batch): PlanBatchPath) -> Accepted {
    let Caller { app, actor, .. } = &caller;
    accepted(plan_batch::cancel(app, actor, batch).await)
}
