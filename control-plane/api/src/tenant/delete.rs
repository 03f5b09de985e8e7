//! `DELETE /api/v1/tenants/{tenant}`

use crate::{
    caller::Caller,
    extract::{Parameters, TenantPath},
    operation::OperationBody,
    problem::Problem,
};
use application::{operation, tenant};
use axum::{Json, http::StatusCode, response::IntoResponse};

/// Deletes a tenant with everything in it. Asked again, it is the same operation.
#[utoipa::path(
    delete, path = "/api/v1/tenants/{tenant}", tag = "tenants", operation_id = "deleteTenant",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("force" = Option<bool>, Query, description = "Give up on what cannot be removed, and list it"),
    ),
    responses((status = ACCEPTED, description = "The deletion has begun", body = OperationBody,
        headers(("location" = String, description = "The operation's address")))),
)]
#[tracing::instrument(name = "http.tenant.delete", skip_all, fields(tenant.id, operation.id))]
pub(crate) async fn delete(
    Caller { app, actor, .. }: Caller,
    TenantPath(tenant): TenantPath,
    mut parameters: Parameters,
) -> Result<impl IntoResponse, Problem> {
    let is_force_clean = parameters.flag("force");
    parameters.finish()?;
    let operation = tenant::delete(&app, &actor, &tenant, is_force_clean).await?;
    let location = format!("/api/v1/operations/{}", operation.id);
    let headers = [("location", location), ("retry-after", "1".to_owned())];
    let typicals = operation::typicals(&app, [operation.kind]).await?;
    let body = OperationBody::new(operation, &typicals, app.clock.now());
    Ok((StatusCode::ACCEPTED, headers, Json(body)))
}
