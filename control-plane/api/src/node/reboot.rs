//! `POST /api/v1/tenants/{tenant}/nodes/{node}/reboot`

use super::begun;
use crate::{caller::Caller, extract::NodePath, operation::OperationBody, problem::Problem};
use application::node;
use axum::response::IntoResponse;
use domain::PowerChange;

/// Reboots a node of a tenant: what runs there goes as the tenant's own budgets allow, up to a deadline, its machine is
/// shut down, switched on and proven again. If it does not come back it stays stopped.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant}/nodes/{node}/reboot", tag = "nodes", operation_id = "rebootNode",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("node" = String, Path, description = "Its id"),
    ),
    responses((status = ACCEPTED, description = "The reboot has begun", body = OperationBody,
        headers(("location" = String, description = "The operation's address")))),
)]
#[tracing::instrument(name = "http.node.reboot", skip_all, fields(tenant.id, operation.id))]
pub(crate) async fn reboot(
    Caller { app, actor, .. }: Caller,
    NodePath { tenant, node }: NodePath,
) -> Result<impl IntoResponse, Problem> {
    let operation = node::power(&app, &actor, &tenant, node, PowerChange::Reboot).await?;
    begun(&app, operation).await
}
