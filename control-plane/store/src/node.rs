use crate::{
    Change, Store, StoreError, column,
    entity::{nodes, tenants},
    error::write_error,
    operation::{self, About},
    tenant,
    txn::{Txn, in_txn},
};
use domain::{
    Authorized, Node, NodeId, NodeName, NodePower, NodeShape, NodeState, Operation, OperationKind,
    Problem, ReplaceNode, Tenant, TenantId, VmNumber, VolumesOnDisk,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, Set,
};
use uuid::Uuid;

mod power;
mod reserve;
mod secrets;
mod surplus;

pub use power::NodePowerError;
pub use secrets::NodeSecrets;

/// What an operation about a node came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeEnd {
    /// It is proven and takes pods.
    Ready,
    /// Its machine is off, because somebody asked for that.
    Stopped,
    /// What was begun was taken back: nothing is left of a node that was being made, and one that was there is on or
    /// off as it was before. One that was to be off for a moment only is off if it did not come back.
    Undone(Option<Problem>),
    /// Nothing of it is left; with the problem if that was not what was wanted.
    Released(Option<Problem>),
}

/// Why a node was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum NodeReplaceError {
    /// It is not there any more, or not yet.
    #[error("the node is {}", .0.as_str())]
    NotReady(NodeState),
    /// Another one of the tenant is being released.
    #[error("node {0} is being released")]
    Busy(NodeName),
    /// The tenant's plan is being changed.
    #[error("operation {} is not over", .0.id)]
    Moving(Box<Operation>),
    /// The tenant is on its way out.
    #[error("the tenant is being deleted")]
    Deleting,
    /// The record failed.
    #[error("write the release")]
    Store(#[from] StoreError),
}

write_error!(NodeReplaceError);

impl Store {
    /// Begins to make a node for a tenant, if it has fewer than it pays for: otherwise nothing.
    ///
    /// # Errors
    /// `NotFound` if there is no such tenant, or if the database fails.
    #[tracing::instrument(name = "db.node.attach", skip_all)]
    pub async fn node_attach(
        &self,
        tenant: TenantId,
        shape: NodeShape,
    ) -> Result<Option<(Node, Operation)>, StoreError> {
        in_txn!(self, |txn| attach_in_txn(&mut txn, tenant, shape))
    }

    /// Begins to give a node up. If it is still being made, or switched off or on, that is undone instead; whoever
    /// wants it gone asks again then. Repeating it changes nothing.
    ///
    /// # Errors
    /// `NotFound` if there is no such node, `Ended` if nothing of it is left.
    #[tracing::instrument(name = "db.node.release", skip_all)]
    pub async fn node_release(&self, id: NodeId) -> Result<Operation, StoreError> {
        in_txn!(self, |txn| release_in_txn(&mut txn, id))
    }

    /// Begins to release a node that is well or off, so that another one takes its place. Of one that is being replaced
    /// already the volumes can be given up that were to come along: then its operation is told.
    ///
    /// # Errors
    /// `NotFound` if the tenant has no such node, `NotReady` if it is neither, `Busy` if another one is being released,
    /// `Moving` if the tenant's plan is being changed, `Deleting` if the tenant is on its way out.
    #[tracing::instrument(name = "db.node.replace", skip_all)]
    pub async fn node_replace(
        &self,
        proof: &Authorized<ReplaceNode>,
        id: NodeId,
        volumes: VolumesOnDisk,
    ) -> Result<Operation, NodeReplaceError> {
        in_txn!(self, |txn| replace_in_txn(&mut txn, proof, id, volumes))
    }

    /// Begins to release a node that is lost; nothing if it is not to run, or somebody else is at it.
    ///
    /// # Errors
    /// `NotFound` if there is no such node.
    #[tracing::instrument(name = "db.node.release_lost", skip_all)]
    pub async fn node_release_lost(&self, id: NodeId) -> Result<Option<Operation>, StoreError> {
        in_txn!(self, |txn| release_lost_in_txn(&mut txn, id))
    }

    /// One node, released or not.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.node.get", skip_all)]
    pub async fn node_get(&self, id: NodeId) -> Result<Option<Node>, StoreError> {
        let row = nodes::Entity::find_by_id(id.uuid()).one(&self.0.read).await?;
        row.map(Node::try_from).transpose()
    }

    /// The nodes of a tenant of which something is left, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.node.of_tenant", skip_all)]
    pub async fn node_of_tenant(&self, tenant: TenantId) -> Result<Vec<Node>, StoreError> {
        of_tenant(&self.0.read, tenant).await
    }

    /// All nodes of which something is left, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.node.open", skip_all)]
    pub async fn node_open(&self) -> Result<Vec<Node>, StoreError> {
        let select = nodes::Entity::find()
            .filter(nodes::Column::ReleasedAt.is_null())
            .order_by_asc(nodes::Column::Id);
        select.all(&self.0.read).await?.into_iter().map(Node::try_from).collect()
    }

    /// The operation about a node that is not over; there is at most one.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.node.operation", skip_all)]
    pub async fn node_operation(&self, id: NodeId) -> Result<Option<Operation>, StoreError> {
        operation::open_of_node(&self.0.read, id).await
    }

    /// Ends an operation about a node, and says of the node what came of it.
    ///
    /// # Errors
    /// `Stale` if the operation is over, `Refused` if it is about no node.
    #[tracing::instrument(name = "db.node.end", skip_all)]
    pub async fn node_end(&self, operation: &Operation, end: NodeEnd) -> Result<(), StoreError> {
        in_txn!(self, |txn| end_in_txn(&mut txn, operation, &end))
    }
}

pub(crate) async fn of_tenant(
    db: &impl ConnectionTrait,
    tenant: TenantId,
) -> Result<Vec<Node>, StoreError> {
    let select = nodes::Entity::find()
        .filter(nodes::Column::Tenant.eq(tenant.uuid()))
        .filter(nodes::Column::ReleasedAt.is_null())
        .order_by_asc(nodes::Column::Id);
    select.all(db).await?.into_iter().map(Node::try_from).collect()
}

async fn attach_in_txn(
    txn: &mut Txn,
    tenant: TenantId,
    shape: NodeShape,
) -> Result<Option<(Node, Operation)>, StoreError> {
    let select = tenants::Entity::find_by_id(tenant.uuid())
        .filter(tenants::Column::DeletedAt.is_null())
        .lock_exclusive();
    let owner = select.one(&txn.db).await?.ok_or(StoreError::NotFound)?;
    let is_leaving = owner.deletion_requested_at.is_some();
    let wanted = usize::try_from(Tenant::try_from(owner)?.nodes_of(shape)).unwrap_or(usize::MAX);
    let known = of_tenant(&txn.db, tenant).await?;
    let is_staying = |node: &&Node| node.release_requested_at.is_none() && node.shape == shape;
    if is_leaving || known.iter().filter(is_staying).count() >= wanted {
        return Ok(None);
    }
    let ids = &txn.store.ids;
    let row = nodes::Model {
        id: ids.uuid(),
        tenant: tenant.uuid(),
        shape: shape.as_str().to_owned(),
        name: NodeName::from_random(ids.secret()).to_string(),
        mark: hex::encode(&ids.secret()[..16]),
        machine: random_uuid(ids.secret()),
        hardware_address: hardware_address(ids.secret()),
        place: None,
        vm: None,
        address: None,
        secrets: None,
        secrets_key: None,
        created_at: txn.at(),
        ready_at: None,
        release_requested_at: None,
        released_at: None,
        power: column::word(&NodePower::On),
        volumes: None,
    };
    nodes::Entity::insert(row.clone().into_active_model()).exec_without_returning(&txn.db).await?;
    let node = Node::try_from(row)?;
    let kind = OperationKind::NodeAttach;
    let operation = operation::begin_in_txn(txn, kind, tenant, About::Node(node.id)).await?;
    txn.changed(Change::Node { tenant, node: node.id });
    txn.audit(None, "node.attach", Some(tenant), node.id.to_string()).await?;
    Ok(Some((node, operation)))
}

/// A UUID of version 4: what SMBIOS tells is random, not a time.
fn random_uuid(random: [u8; 32]) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&random[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    Uuid::from_bytes(bytes)
}

/// A locally administered unicast address (IEEE 802, second bit of the first byte).
fn hardware_address(random: [u8; 32]) -> String {
    let bytes: Vec<String> = random[..5].iter().map(|byte| format!("{byte:02X}")).collect();
    format!("02:{}", bytes.join(":"))
}

pub(crate) async fn release_in_txn(txn: &mut Txn, id: NodeId) -> Result<Operation, StoreError> {
    let row = for_update(&txn.db, id).await?;
    if row.released_at.is_some() {
        return Err(StoreError::Ended);
    }
    if let Some(open) = operation::open_of_node(&txn.db, id).await? {
        return match open.kind {
            OperationKind::NodeAttach
            | OperationKind::NodeStop
            | OperationKind::NodeStart
            | OperationKind::NodeReboot => operation::cancel_in_txn(txn, open.id).await,
            OperationKind::NodeRelease
            | OperationKind::TenantCreate
            | OperationKind::TenantDelete
            | OperationKind::PlanChange => Ok(open),
        };
    }
    let tenant = TenantId::new(row.tenant);
    let change =
        nodes::ActiveModel { release_requested_at: Set(Some(txn.at())), ..Default::default() };
    update_in_txn(txn, &row, change).await?;
    txn.audit(None, "node.release", Some(tenant), id.to_string()).await?;
    operation::begin_in_txn(txn, OperationKind::NodeRelease, tenant, About::Node(id)).await
}

async fn release_lost_in_txn(txn: &mut Txn, id: NodeId) -> Result<Option<Operation>, StoreError> {
    let node = Node::try_from(for_update(&txn.db, id).await?)?;
    if node.state() != NodeState::Ready {
        return Ok(None);
    }
    release_in_txn(txn, id).await.map(Some)
}

async fn replace_in_txn(
    txn: &mut Txn,
    proof: &Authorized<ReplaceNode>,
    id: NodeId,
    volumes: VolumesOnDisk,
) -> Result<Operation, NodeReplaceError> {
    let row = for_update(&txn.db, id).await?;
    let node = Node::try_from(row.clone())?;
    if proof.tenant() != Some(node.tenant) {
        return Err(StoreError::NotFound.into());
    }
    let told =
        nodes::ActiveModel { volumes: Set(Some(column::word(&volumes))), ..Default::default() };
    let target = id.to_string();
    if node.is_copied() && volumes == VolumesOnDisk::Lose {
        let open = operation::open_of_node(&txn.db, id).await?;
        let open = open.ok_or(StoreError::Refused("a node is released without an operation"))?;
        update_in_txn(txn, &row, told).await?;
        txn.audit(Some(proof.actor()), "node.lose_volumes", Some(node.tenant), target).await?;
        return Ok(open);
    }
    if !matches!(node.state(), NodeState::Ready | NodeState::Stopped) {
        return Err(NodeReplaceError::NotReady(node.state()));
    }
    let owner = tenant::existing_for_update(&txn.db, node.tenant).await?;
    if owner.deletion_requested_at.is_some() {
        return Err(NodeReplaceError::Deleting);
    }
    let open = operation::open_row(&txn.db, node.tenant).await?;
    let open = open.map(Operation::try_from).transpose()?;
    if let Some(open) = open.filter(|open| open.kind == OperationKind::PlanChange) {
        return Err(NodeReplaceError::Moving(Box::new(open)));
    }
    let all = of_tenant(&txn.db, node.tenant).await?;
    if let Some(other) = all.into_iter().find(|other| other.state() == NodeState::Releasing) {
        return Err(NodeReplaceError::Busy(other.name));
    }
    update_in_txn(txn, &row, told).await?;
    txn.audit(Some(proof.actor()), "node.replace", Some(node.tenant), target).await?;
    Ok(release_in_txn(txn, id).await?)
}

async fn end_in_txn(txn: &mut Txn, operation: &Operation, end: &NodeEnd) -> Result<(), StoreError> {
    let id = operation.node.ok_or(StoreError::Refused("the operation is about no node"))?;
    let row = for_update(&txn.db, id).await?;
    let (change, problem) = match end {
        NodeEnd::Ready => {
            let ready_at = Set(row.ready_at.or(Some(txn.at())));
            (nodes::ActiveModel { ready_at, ..power::set(NodePower::On) }, None)
        }
        NodeEnd::Stopped => (power::set(NodePower::Off), None),
        NodeEnd::Released(problem) => (released_in_txn(txn, &row).await?, problem.clone()),
        NodeEnd::Undone(problem) => {
            let change = match power::before(&row, operation.kind)? {
                Some(before) => power::set(before),
                None => released_in_txn(txn, &row).await?,
            };
            (change, problem.clone())
        }
    };
    update_in_txn(txn, &row, change).await?;
    let steps = Some(operation.steps.clone());
    operation::end_in_txn(txn, operation.clone(), steps, problem).await?;
    txn.changed(Change::Tenant(TenantId::new(row.tenant)));
    Ok(())
}

/// Nothing is left of a node.
async fn released_in_txn(
    txn: &mut Txn,
    row: &nodes::Model,
) -> Result<nodes::ActiveModel, StoreError> {
    if let Some(vm) = row.vm {
        reserve::rest_in_txn(txn, vm, "a node was released").await?;
    }
    Ok(nodes::ActiveModel {
        secrets: Set(None),
        secrets_key: Set(None),
        release_requested_at: Set(row.release_requested_at.or(Some(txn.at()))),
        released_at: Set(Some(txn.at())),
        ..Default::default()
    })
}

/// A node; nobody else changes it before the transaction ends.
async fn for_update(db: &impl ConnectionTrait, id: NodeId) -> Result<nodes::Model, StoreError> {
    let select = nodes::Entity::find_by_id(id.uuid()).lock_exclusive();
    select.one(db).await?.ok_or(StoreError::NotFound)
}

/// Writes a change that was decided from `row`, of which something has to be left.
async fn update_in_txn(
    txn: &mut Txn,
    row: &nodes::Model,
    change: nodes::ActiveModel,
) -> Result<(), StoreError> {
    let updated = nodes::Entity::update_many()
        .set(change)
        .filter(nodes::Column::Id.eq(row.id))
        .filter(nodes::Column::ReleasedAt.is_null())
        .exec(&txn.db)
        .await?;
    if updated.rows_affected != 1 {
        return Err(StoreError::Stale);
    }
    let (tenant, node) = (TenantId::new(row.tenant), NodeId::new(row.id));
    txn.changed(Change::Node { tenant, node });
    Ok(())
}

impl TryFrom<nodes::Model> for Node {
    type Error = StoreError;

    fn try_from(row: nodes::Model) -> Result<Self, StoreError> {
        let vm = row.vm.map(u32::try_from).transpose();
        let address = row.address.as_deref().map(column::address).transpose()?;
        Ok(Self {
            id: NodeId::new(row.id),
            tenant: TenantId::new(row.tenant),
            shape: column::to_word("nodes.shape", &row.shape)?,
            name: NodeName::stored(row.name),
            mark: row.mark,
            machine: row.machine,
            hardware_address: row.hardware_address,
            place: row.place,
            vm: vm.map_err(|error| StoreError::corrupt("nodes.vm", error))?.map(VmNumber),
            address,
            power: column::to_word("nodes.power", &row.power)?,
            volumes: row
                .volumes
                .as_deref()
                .map(|word| column::to_word("nodes.volumes", word))
                .transpose()?,
            created_at: column::to_time("nodes.created_at", row.created_at)?,
            ready_at: column::to_optional_time("nodes.ready_at", row.ready_at)?,
            release_requested_at: column::to_optional_time(
                "nodes.release_requested_at",
                row.release_requested_at,
            )?,
            released_at: column::to_optional_time("nodes.released_at", row.released_at)?,
        })
    }
}
