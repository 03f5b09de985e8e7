//! `GET /api/v1/tenants/{tenant}/nodes`

use super::NodeBody;
use crate::{caller::Caller, extract::TenantPath, page::List, problem::Problem};
use application::node;
use axum::Json;

/// The tenant's own nodes, oldest first: those of which something is left.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant}/nodes", tag = "nodes", operation_id = "listNodes",
    params(("tenant" = String, Path, description = "Id or name")),
    responses((status = OK, description = "All of them", body = List<NodeBody>)),
)]
#[tracing::instrument(name = "http.node.list", skip_all, fields(tenant.id))]
pub(crate) async fn list(
    Caller { app, actor, .. }: Caller,
    TenantPath(tenant): TenantPath,
) -> Result<Json<List<NodeBody>>, Problem> {
    let nodes = node::list(&app, &actor, &tenant).await?;
    let body = |(node, operation): (_, Option<domain::OperationId>)| {
        NodeBody::new(node, operation.map(|id| id.to_string()), actor.is_operator())
    };
    Ok(Json(List { items: nodes.into_iter().map(body).collect(), next_cursor: None }))
}
