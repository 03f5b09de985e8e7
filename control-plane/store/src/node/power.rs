//! Nodes that are switched off and on again on purpose.

use super::{for_update, update_in_txn};
use crate::{
    Store, StoreError, column,
    entity::nodes,
    error::write_error,
    operation::{self, About},
    tenant,
    txn::{Txn, in_txn},
};
use domain::{
    Authorized, Node, NodeId, NodePower, NodeState, Operation, OperationKind, PowerChange,
    PowerNode,
};
use sea_orm::Set;

/// Why a node was not switched off or on.
#[derive(Debug, thiserror::Error)]
pub enum NodePowerError {
    /// It has to be in another state for that.
    #[error("the node is {}", .0.as_str())]
    NotSo(NodeState),
    /// Something else is being done about it, or about its tenant.
    #[error("operation {} is not over", .0.id)]
    Busy(Box<Operation>),
    /// The tenant is on its way out.
    #[error("the tenant is being deleted")]
    Deleting,
    /// The record failed.
    #[error("write what is to be done")]
    Store(#[from] StoreError),
}

write_error!(NodePowerError);

impl Store {
    /// Begins to switch a node off, on, or both. It stays its tenant's, and nobody takes its place.
    ///
    /// # Errors
    /// `NotFound` if the tenant has no such node, `Busy` if anything else is being done about it or about the tenant,
    /// `NotSo` if it is in no state for that, `Deleting` if the tenant is on its way out.
    #[tracing::instrument(name = "db.node.power", skip_all)]
    pub async fn node_power(
        &self,
        proof: &Authorized<PowerNode>,
        id: NodeId,
        change: PowerChange,
    ) -> Result<Operation, NodePowerError> {
        in_txn!(self, |txn| power_in_txn(&mut txn, proof, id, change))
    }

    /// Says of a node that was to be off for a moment only that it stays off.
    ///
    /// # Errors
    /// `Stale` if nothing of it is left, `Refused` if it was not to be off.
    #[tracing::instrument(name = "db.node.stays_off", skip_all)]
    pub async fn node_stays_off(&self, id: NodeId) -> Result<(), StoreError> {
        in_txn!(self, |txn| stays_off_in_txn(&mut txn, id))
    }
}

async fn power_in_txn(
    txn: &mut Txn,
    proof: &Authorized<PowerNode>,
    id: NodeId,
    change: PowerChange,
) -> Result<Operation, NodePowerError> {
    let row = for_update(&txn.db, id).await?;
    let node = Node::try_from(row.clone())?;
    if proof.tenant() != Some(node.tenant) {
        return Err(StoreError::NotFound.into());
    }
    let owner = tenant::existing_for_update(&txn.db, node.tenant).await?;
    if owner.deletion_requested_at.is_some() {
        return Err(NodePowerError::Deleting);
    }
    if let Some(open) = operation::open_of_node(&txn.db, id).await? {
        return Err(NodePowerError::Busy(Box::new(open)));
    }
    if let Some(open) = operation::open_row(&txn.db, node.tenant).await? {
        return Err(NodePowerError::Busy(Box::new(open.try_into()?)));
    }
    if node.state() != change.needs() {
        return Err(NodePowerError::NotSo(node.state()));
    }
    let (power, kind, action) = match change {
        PowerChange::Stop => (NodePower::Stopping, OperationKind::NodeStop, "node.stop"),
        PowerChange::Start => (NodePower::Starting, OperationKind::NodeStart, "node.start"),
        PowerChange::Reboot => (NodePower::Rebooting, OperationKind::NodeReboot, "node.reboot"),
    };
    update_in_txn(txn, &row, set(power)).await?;
    txn.audit(Some(proof.actor()), action, Some(node.tenant), id.to_string()).await?;
    Ok(operation::begin_in_txn(txn, kind, node.tenant, About::Node(id)).await?)
}

async fn stays_off_in_txn(txn: &mut Txn, id: NodeId) -> Result<(), StoreError> {
    let row = for_update(&txn.db, id).await?;
    match column::to_word("nodes.power", &row.power)? {
        NodePower::Off => Ok(()),
        NodePower::Rebooting => update_in_txn(txn, &row, set(NodePower::Off)).await,
        NodePower::On | NodePower::Stopping | NodePower::Starting => {
            Err(StoreError::Refused("the node was not to be off for a moment"))
        }
    }
}

pub(super) fn set(power: NodePower) -> nodes::ActiveModel {
    nodes::ActiveModel { power: Set(column::word(&power)), ..Default::default() }
}

/// Whether a node's machine is to run when an operation about it was taken back; nothing if nothing is left of it.
pub(super) fn before(
    row: &nodes::Model,
    kind: OperationKind,
) -> Result<Option<NodePower>, StoreError> {
    Ok(match kind {
        OperationKind::NodeStop => Some(NodePower::On),
        OperationKind::NodeStart => Some(NodePower::Off),
        OperationKind::NodeReboot => match column::to_word("nodes.power", &row.power)? {
            NodePower::Off => Some(NodePower::Off),
            NodePower::On | NodePower::Stopping | NodePower::Starting | NodePower::Rebooting => {
                Some(NodePower::On)
            }
        },
        OperationKind::NodeAttach
        | OperationKind::NodeRelease
        | OperationKind::TenantCreate
        | OperationKind::TenantDelete
        | OperationKind::PlanChange => None,
    })
}
