//! Tenants' own nodes.

use crate::{
    App, Draft,
    access::AccessError,
    choice::choice,
    error::{FindError, Noun},
    tenant::{self, ReachError, TenantRef},
    trace::note,
};
use domain::{
    Actor, Exclusivity, Invalid, LocalVolume, Node, NodeId, NodeName, NodeState, Operation,
    OperationId, PowerChange, PowerNode, ReadTenant, ReplaceNode, VolumesOnDisk,
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
    /// Volumes of these claims are on its disk, and nobody said what is to become of them.
    #[error("volumes of {} are on its disk", .0.join(", "))]
    Volumes(Vec<String>),
    /// They are to be copied, but its machine is off.
    #[error("the node is stopped, and volumes of {} are on its disk", .0.join(", "))]
    Unread(Vec<String>),
    /// They are to be copied, which does not go.
    #[error("volumes of {} cannot be copied", .0.iter().map(|(claim, _)| claim.as_str()).collect::<Vec<_>>().join(", "))]
    Uncopied(Vec<(String, String)>),
    /// Nobody could look whether there are any.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Another one of the tenant is being released.
    #[error("node {0} is being released")]
    Busy(NodeName),
    /// The tenant's plan is being changed.
    #[error("operation {} is not over", .0.id)]
    Moving(Box<Operation>),
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

/// Replaces a node: another one is made, and this one is released when what runs there has moved. Of one that is being
/// replaced the volumes can be given up that are not copied yet.
///
/// # Errors
/// If the caller may not, the node is not well, another one is being released, the plan is being changed, or there are
/// volumes on its disk and they are neither to be lost nor can be copied.
pub async fn replace(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    node: NodeId,
    new: Draft<NewReplacement>,
) -> Result<Operation, ReplaceError> {
    let (tenant, proof) = tenant::find::<ReplaceNode>(app, actor, tenant).await?;
    let volumes = new.check(|new| {
        let word = new.volumes.as_deref();
        choice("/volumes", word, (&VolumesOnDisk::ALL, VolumesOnDisk::as_str))
    })?;
    let found = app.store.node_get(node).await.map_err(FindError::from)?;
    let is_there = |found: &Node| {
        found.tenant == tenant.id && matches!(found.state(), NodeState::Ready | NodeState::Stopped)
    };
    if let Some(found) = found.filter(is_there)
        && volumes != VolumesOnDisk::Lose
    {
        let there = app.access.volumes_on(tenant.id, &found.name).await?;
        check_volumes(volumes, &found, there)?;
    }
    let begun = app.store.node_replace(&proof, node, volumes).await;
    let operation = begun.map_err(|error| match error {
        NodeReplaceError::NotReady(state) => ReplaceError::NotReady(state),
        NodeReplaceError::Busy(other) => ReplaceError::Busy(other),
        NodeReplaceError::Moving(open) => ReplaceError::Moving(open),
        NodeReplaceError::Deleting => ReplaceError::Deleting,
        NodeReplaceError::Store(error) => FindError::of_write(error, Noun::Node).into(),
    })?;
    note("operation.id", operation.id);
    Ok(operation)
}

/// Whether none of the volumes on a node's disk is in the way.
fn check_volumes(
    volumes: VolumesOnDisk,
    node: &Node,
    there: Vec<LocalVolume>,
) -> Result<(), ReplaceError> {
    let uncopied = there.iter().filter_map(|one| Some((one.claim.clone(), one.obstacle.clone()?)));
    let uncopied: Vec<_> = uncopied.collect();
    let claims: Vec<_> = there.into_iter().map(|one| one.claim).collect();
    match volumes {
        _ if claims.is_empty() => Ok(()),
        VolumesOnDisk::Lose => Ok(()),
        VolumesOnDisk::Stop => Err(ReplaceError::Volumes(claims)),
        VolumesOnDisk::Copy if node.state() == NodeState::Stopped => {
            Err(ReplaceError::Unread(claims))
        }
        VolumesOnDisk::Copy if uncopied.is_empty() => Ok(()),
        VolumesOnDisk::Copy => Err(ReplaceError::Uncopied(uncopied)),
    }
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
