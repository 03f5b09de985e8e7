//! Tenants' own nodes.

use crate::{
    App,
    error::FindError,
    tenant::{self, ReachError, TenantRef},
};
use domain::{Actor, Exclusivity, Node, OperationId, ReadTenant};

/// Who runs on a tenant's own nodes, as it was last seen; nothing before the first look.
///
/// # Errors
/// If the caller may not see the tenant, or the host cluster has not answered yet.
pub async fn exclusivity(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
) -> Result<Option<Exclusivity>, ReachError> {
    let (tenant, _) = tenant::find::<ReadTenant>(app, actor, tenant).await?;
    Ok(app.access.exclusivity(tenant.id).await?)
}

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
