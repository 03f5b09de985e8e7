//! Tenants' own nodes.

use crate::{
    App,
    error::{FindError, Noun},
    tenant::{self, ReachError, TenantRef},
    trace::note,
};
use domain::{
    Actor, Exclusivity, Node, NodeId, NodeName, NodeState, Operation, OperationId, PowerChange,
    PowerNode, ReadTenant, ReplaceNode,
};
use store::{NodePowerError, NodeReplaceError};

/// Why a node was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// Not found or not allowed.
    #[error(transparent)]
    Find(#[from] FindError),
    /// It is not there any more, or not yet.
    #[error("the node is {}", .0.as_str())]
    NotReady(NodeState),
    /// Another one of the tenant is being released.
    #[error("node {0} is being released")]
    Busy(NodeName),
    /// The tenant is on its way out.
    #[error("the tenant is being deleted")]
    Deleting,
}

/// Why a node was not stopped, started or rebooted.
#[derive(Debug, thiserror::Error)]
pub enum PowerError {
    /// Not found or not allowed.
    #[error(transparent)]
    Find(#[from] FindError),
    /// It has to be in another state for that.
    #[error("the node is {}", .state.as_str())]
    NotSo {
        /// What was asked for.
        change: PowerChange,
        /// How it is.
        state: NodeState,
    },
    /// Something else is being done about it, or about its tenant.
    #[error("operation {} is not over", .0.id)]
    Busy(Box<Operation>),
    /// The tenant is on its way out.
    #[error("the tenant is being deleted")]
    Deleting,
}

/// Stops a node, starts it again, or both. It stays its tenant's, with its machine and its disk.
///
/// # Errors
/// If the caller may not, the node is in no state for that, or something else is being done about it or the tenant.
pub async fn power(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    node: NodeId,
    change: PowerChange,
) -> Result<Operation, PowerError> {
    let (_, proof) = tenant::find::<PowerNode>(app, actor, tenant).await?;
    let begun = app.store.node_power(&proof, node, change).await;
    let operation = begun.map_err(|error| match error {
        NodePowerError::NotSo(state) => PowerError::NotSo { change, state },
        NodePowerError::Busy(open) => PowerError::Busy(open),
        NodePowerError::Deleting => PowerError::Deleting,
        NodePowerError::Store(error) => FindError::of_write(error, Noun::Node).into(),
    })?;
    note("operation.id", operation.id);
    Ok(operation)
}

/// Replaces a node: another one is made, and this one is released when what runs there has moved.
///
/// # Errors
/// If the caller may not, the node is not well, or another one is being released.
pub async fn replace(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    node: NodeId,
) -> Result<Operation, ReplaceError> {
    let (_, proof) = tenant::find::<ReplaceNode>(app, actor, tenant).await?;
    let operation = app.store.node_replace(&proof, node).await.map_err(|error| match error {
        NodeReplaceError::NotReady(state) => ReplaceError::NotReady(state),
        NodeReplaceError::Busy(other) => ReplaceError::Busy(other),
        NodeReplaceError::Deleting => ReplaceError::Deleting,
        NodeReplaceError::Store(error) => FindError::of_write(error, Noun::Node).into(),
    })?;
    note("operation.id", operation.id);
    Ok(operation)
}

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
