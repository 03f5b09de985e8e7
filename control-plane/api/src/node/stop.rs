//! `POST /api/v1/tenants/{tenant}/nodes/{node}/stop`

use super::begun;
use crate::{caller::Caller, extract::NodePath, operation::OperationBody, problem::Problem};
use application::node;
use axum::response::IntoResponse;
use domain::PowerChange;

/// Stops a node of a tenant: what runs there goes as the tenant's own budgets allow, up to a deadline, and then its
/// machine is shut down. It stays the tenant's, with its disk; nobody takes its place.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant}/nodes/{node}/stop", tag = "nodes", operation_id = "stopNode",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("node" = String, Path, description = "Its id"),
    ),
    responses((status = ACCEPTED, description = "The stop has begun", body = OperationBody,
        headers(("location" = String, description = "The operation's address")))),
)]
#[tracing::instrument(name = "http.node.stop", skip_all, fields(tenant.id, operation.id))]
pub(crate) async fn stop(
    Caller { app, actor, .. }: Caller,
    NodePath { tenant, node }: NodePath,
) -> Result<impl IntoResponse, Problem> {
    let operation = node::power(&app, &actor, &tenant, node, PowerChange::Stop).await?;
    begun(&app, operation).await
}
