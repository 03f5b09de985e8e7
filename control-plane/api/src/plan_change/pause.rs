//! `POST /api/v1/tenants/{tenant}/plan-changes/{operation}/pause`

use super::{Accepted, PlanChangeBody, halt};
use crate::{caller::Caller, extract::PlanChangePath};

/// Halts a change before its next wave of pods. What moves already comes to its end.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant}/plan-changes/{operation}/pause", tag = "plans",
    operation_id = "pausePlanChange",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("operation" = String, Path, description = "The id of its operation"),
    ),
    responses((status = ACCEPTED, description = "The change as it is now", body = PlanChangeBody)),
)]
#[tracing::instrument(name = "http.plan_change.pause", skip_all, fields(tenant.id, operation.id))]
pub(crate) async fn pause(caller: Caller, path: PlanChangePath) -> Accepted {
    halt(&caller, &path, true).await
}
