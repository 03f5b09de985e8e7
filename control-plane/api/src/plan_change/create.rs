//! `POST /api/v1/tenants/{tenant}/plan-changes`

use super::{ChangePlan, PlanChangeBody, PreviewBody, told};
use crate::{
    caller::Caller,
    extract::{Body, Parameters, TenantPath},
    problem::Problem,
};
use application::plan_change;
use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};

/// Moves a tenant to another plan, or to another number of nodes, while it runs.
///
/// With `dryRun` it says what that would do, whether there is room for it and who may begin it, and does nothing; admins
/// may ask that, too. Otherwise it looks once more, and begins only if nothing
/// is in the way: room for both plans, nodes of its own if the new plan has any, then new pods to the new place, then
/// the others in waves, then proof. Up to the step `commit` it can be taken back. A second change while one is under
/// way is refused with the one that is.
///
/// With `startAt` it is planned: it holds nothing, can be taken back, and begins then like one that is asked for then,
/// in the name of whoever asked. It is a change of this tenant from now on, with the id that its operation will have.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant}/plan-changes", tag = "plans", operation_id = "changePlan",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("dryRun" = Option<bool>, Query, description = "Only say what it would do"),
    ),
    request_body = ChangePlan,
    responses(
        (status = OK, description = "With dryRun: what it would do", body = PreviewBody),
        (status = ACCEPTED, description = "The change has begun, or is planned", body = PlanChangeBody,
            headers(("location" = String, description = "The change's address"))),
    ),
)]
#[tracing::instrument(name = "http.plan_change.create", skip_all, fields(tenant.id, operation.id))]
pub(crate) async fn create(
    Caller { app, actor, .. }: Caller,
    TenantPath(tenant): TenantPath,
    mut parameters: Parameters,
    body: Body<ChangePlan>,
) -> Result<Response, Problem> {
    let is_dry = parameters.flag("dryRun");
    parameters.finish()?;
    let new = body.into_draft();
    if is_dry {
        let preview = plan_change::preview(&app, &actor, &tenant, new).await?;
        return Ok(Json(PreviewBody::foreseen(preview)).into_response());
    }
    let begun = plan_change::begin(&app, &actor, &tenant, new).await?;
    let body = told(&app, begun).await?;
    let headers = [("location", body.location())];
    Ok((StatusCode::ACCEPTED, headers, Json(body)).into_response())
}
