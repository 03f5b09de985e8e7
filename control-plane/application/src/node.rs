//! Tenants' own nodes.

use crate::{
    App, Draft,
    access::AccessError,
    error::{FindError, Noun},
    tenant::{self, ReachError, TenantRef},
    trace::note,
};
use domain::{
    Actor, Exclusivity, Invalid, Node, NodeId, NodeName, NodeState, Operation, OperationId,
    PowerChange, PowerNode, ReadTenant, ReplaceNode, VolumesOnDisk,
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
    /// A field breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Volumes of these claims are on its disk, and nobody said that they may be lost.
    #[error("volumes of {} are on its disk", .0.join(", "))]
    Volumes(Vec<String>),
    /// Nobody could look whether there are any.
    #[error(transparent)]
    Access(#[from] AccessError),
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

/// How a node is replaced.
#[derive(Debug, Clone, Default)]
pub struct NewReplacement {
    /// What becomes of volumes on its disk, as it was sent.
    pub volumes: Option<String>,
}

/// Replaces a node: another one is made, and this one is released when what runs there has moved.
///
/// # Errors
/// If the caller may not, the node is not well, another one is being released, or there are volumes on its disk and
/// they are not to be lost.
pub async fn replace(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    node: NodeId,
    new: Draft<NewReplacement>,
) -> Result<Operation, ReplaceError> {
    let (tenant, proof) = tenant::find::<ReplaceNode>(app, actor, tenant).await?;
    let volumes = new.check(|new| check_volumes(new.volumes.as_deref()))?;
    let found = app.store.node_get(node).await.map_err(FindError::from)?;
    let is_there = |found: &Node| {
        found.tenant == tenant.id && matches!(found.state(), NodeState::Ready | NodeState::Stopped)
    };
    let found = found.filter(is_there);
    if let (VolumesOnDisk::Stop, Some(found)) = (volumes, found) {
        let claims = app.access.volumes_on(tenant.id, &found.name).await?;
        if !claims.is_empty() {
            return Err(ReplaceError::Volumes(claims));
        }
    }
    let operation = app.store.node_replace(&proof, node).await.map_err(|error| match error {
        NodeReplaceError::NotReady(state) => ReplaceError::NotReady(state),
        NodeReplaceError::Busy(other) => ReplaceError::Busy(other),
        NodeReplaceError::Deleting => ReplaceError::Deleting,
        NodeReplaceError::Store(error) => FindError::of_write(error, Noun::Node).into(),
    })?;
    note("operation.id", operation.id);
    Ok(operation)
}

fn check_volumes(word: Option<&str>) -> Result<VolumesOnDisk, Invalid> {
    let Some(word) = word else { return Ok(VolumesOnDisk::default()) };
    let found = VolumesOnDisk::ALL.into_iter().find(|known| known.as_str() == word);
    found.ok_or_else(|| Invalid::field("/volumes", word, "one of: stop, lose"))
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
