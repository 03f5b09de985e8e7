//! `POST /api/v1/tenants/{tenant}/nodes/{node}/start`

use super::begun;
use crate::{caller::Caller, extract::NodePath, operation::OperationBody, problem::Problem};
use application::node;
use axum::response::IntoResponse;
use domain::PowerChange;

/// Starts a node of a tenant that was stopped: its machine is switched on, proven again, and takes pods. If it does not
/// come back it stays stopped.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant}/nodes/{node}/start", tag = "nodes", operation_id = "startNode",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("node" = String, Path, description = "Its id"),
    ),
    responses((status = ACCEPTED, description = "The start has begun", body = OperationBody,
        headers(("location" = String, description = "The operation's address")))),
)]
#[tracing::instrument(name = "http.node.start", skip_all, fields(tenant.id, operation.id))]
pub(crate) async fn start(
    Caller { app, actor, .. }: Caller,
    NodePath { tenant, node }: NodePath,
) -> Result<impl IntoResponse, Problem> {
    let operation = node::power(&app, &actor, &tenant, node, PowerChange::Start).await?;
    begun(&app, operation).await
}
