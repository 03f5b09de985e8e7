//! `POST /api/v1/tenants/{tenant}/nodes/{node}/replace`

use super::begun;
use crate::{caller::Caller, extract::NodePath, operation::OperationBody, problem::Problem};
use application::node;
use axum::response::IntoResponse;

/// Replaces a node of a tenant: another one is made, what runs on this one moves there as the tenant's own budgets
/// allow, and then its machine is destroyed. One at a time for each tenant.
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant}/nodes/{node}/replace", tag = "nodes", operation_id = "replaceNode",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("node" = String, Path, description = "Its id"),
    ),
    responses((status = ACCEPTED, description = "The release of the old one has begun", body = OperationBody,
        headers(("location" = String, description = "The operation's address")))),
)]
#[tracing::instrument(name = "http.node.replace", skip_all, fields(tenant.id, operation.id))]
pub(crate) async fn replace(
    Caller { app, actor, .. }: Caller,
    NodePath { tenant, node }: NodePath,
) -> Result<impl IntoResponse, Problem> {
    let operation = node::replace(&app, &actor, &tenant, node).await?;
    begun(&app, operation).await
}
