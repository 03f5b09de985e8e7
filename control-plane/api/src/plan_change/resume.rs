//! `POST /api/v1/tenants/{tenant}/plan-changes/{operation}/resume`

use super::{Accepted, PlanChangeBody, halt};
use crate::{caller::Caller, extract::PlanChangePath};

/// Lets a change go on that was halted.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant}/plan-changes/{operation}/resume", tag = "plans",
    operation_id = "resumePlanChange",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("operation" = String, Path, description = "The id of its operation"),
    ),
    responses((status = ACCEPTED, description = "The change as it is now", body = PlanChangeBody)),
)]
#[tracing::instrument(name = "http.plan_change.resume", skip_all, fields(tenant.id, operation.id))]
pub(crate) async fn resume(caller: Caller, path: PlanChangePath) -> Accepted {
    halt(&caller, &path, false).await
}
