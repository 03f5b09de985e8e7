//! Tenants' own nodes.

use crate::{
    App,
    error::FindError,
    tenant::{self, TenantRef},
};
use domain::{Actor, Node, OperationId, ReadTenant};

/// The nodes of a tenant of which something is left, oldest first, each with the operation about it.
///
/// # Errors
/// If the caller may not see the tenant.
pub async fn list(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
) -> Result<Vec<(Node, Option<OperationId>)>, FindError> {
    let (tenant, _) = tenant::find::<ReadTenant>(app, actor, tenant).await?;
    let mut nodes = Vec::new();
    for node in app.store.node_of_tenant(tenant.id).await? {
        let operation = app.store.node_operation(node.id).await?;
        nodes.push((node, operation.map(|operation| operation.id)));
    }
    Ok(nodes)
}
