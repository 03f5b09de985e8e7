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
#[tracing::instrument(name = "http.operation.get", skip_all)]
pub(crate) async fn get(
    Caller { app, actor, .. }: Caller,
    OperationPath(id): OperationPath,
    wait: Preference,
) -> Result<impl IntoResponse, Problem> {
    let operation = match wait.0 {
        Some(time) => operation::wait(&app, &actor, id, time).await?,
        None => operation::get(&app, &actor, id).await?,
    };
    Ok((wait, Json(OperationBody::new(operation, app.clock.now()))))
}
