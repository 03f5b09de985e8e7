//! `POST /api/v1/tenants/{tenant}/plan-changes/{operation}/cancel`

use super::{Accepted, PlanChangeBody, told};
use crate::{caller::Caller, extract::PlanChangePath};
use application::plan_change;
use axum::{Json, http::StatusCode};

/// Takes a change back: what was done is undone, and the tenant ends in exactly the plan that it had. Asking again is
/// harmless; past the step `commit` it is refused. One that waits is given up.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant}/plan-changes/{operation}/cancel", tag = "plans",
    operation_id = "cancelPlanChange",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("operation" = String, Path, description = "The id of its operation"),
    ),
    responses((status = ACCEPTED, description = "The change as it is now", body = PlanChangeBody)),
)]
#[tracing::instrument(name = "http.plan_change.cancel", skip_all, fields(tenant.id, operation.id))]
pub(crate) async fn cancel(
    Caller { app, actor, .. }: Caller,
    PlanChangePath { tenant, operation }: PlanChangePath,
) -> Accepted {
    let found = plan_change::cancel(&app, &actor, &tenant, operation).await?;
    Ok((StatusCode::ACCEPTED, Json(told(&app, found).await?)))
}
