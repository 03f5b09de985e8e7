//! `GET /api/v1/operations/{operation}`

use super::OperationBody;
use crate::{
    caller::Caller,
    extract::{OperationPath, Preference},
    problem::Problem,
};
use application::operation;
use axum::{Json, response::IntoResponse};

/// One operation.
#[utoipa::path(
    get, path = "/api/v1/operations/{operation}", tag = "operations", operation_id = "getOperation",
    params(
        ("operation" = String, Path, description = "Its id"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: answer when it is over, at most after N seconds"),
    ),
    responses((status = OK, description = "The operation", body = OperationBody)),
)]
#[tracing::instrument(name = "http.operation.get", skip_all, fields(tenant.id, operation.id))]
pub(crate) async fn get(
    caller: Caller,
    OperationPath(id): OperationPath,
    wait: Preference,
) -> Result<impl IntoResponse, Problem> {
    let Caller { app, actor, .. } = &caller;
    let waiting = wait.0.map(|time| operation::wait(app, actor, id, time));
    let operation = caller.wait_or(waiting, operation::get(app, actor, id)).await?;
    let typicals = operation::typicals(app, [operation.kind]).await?;
    Ok((wait, Json(OperationBody::new(operation, &typicals, app.clock.now()))))
}
