use super::{for_update, update_in_txn};
use crate::{
    Store, StoreError, column,
    entity::{nodes, resting_vms},
    txn::{Txn, in_txn},
};
use domain::{NodeId, VmNumber};
use jiff::SignedDuration;
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Set,
    sea_query::OnConflict,
};
use std::{collections::HashSet, net::Ipv4Addr, ops::RangeInclusive};

/// How long the number of a machine is left alone when something of another machine may still go by it:
/// tasks, backups, replication and whoever reads a list of a minute ago.
const REST: SignedDuration = SignedDuration::from_hours(24);

impl Store {
    /// The number of a node's machine: the one that it has, or the first of `range` that no node has and
    /// that does not rest. Nothing if there is none left.
    ///
    /// # Errors
    /// `NotFound` if there is no such node, `Stale` if nothing of it is left.
    #[tracing::instrument(name = "db.node.reserve_vm", skip_all)]
    pub async fn node_reserve_vm(
        &self,
        id: NodeId,
        range: RangeInclusive<u32>,
    ) -> Result<Option<VmNumber>, StoreError> {
        in_txn!(self, |txn| reserve_vm_in_txn(&mut txn, id, range.clone()))
    }

    /// Gives a reserved number up that turned out to be somebody else's; it rests.
    ///
    /// # Errors
    /// `NotFound` if there is no such node, `Stale` if nothing of it is left.
    #[tracing::instrument(name = "db.node.refuse_vm", skip_all)]
    pub async fn node_refuse_vm(&self, id: NodeId, reason: &str) -> Result<(), StoreError> {
        in_txn!(self, |txn| refuse_vm_in_txn(&mut txn, id, reason))
    }

    /// The address of a node: the one that it has, or the first of `range` that no node has. Nothing if
    /// there is none left.
    ///
    /// # Errors
    /// `NotFound` if there is no such node, `Stale` if nothing of it is left.
    #[tracing::instrument(name = "db.node.reserve_address", skip_all)]
    pub async fn node_reserve_address(
        &self,
        id: NodeId,
        range: RangeInclusive<Ipv4Addr>,
    ) -> Result<Option<Ipv4Addr>, StoreError> {
        in_txn!(self, |txn| reserve_address_in_txn(&mut txn, id, range.clone()))
    }

    /// The numbers that rest now.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.node.resting_vms", skip_all)]
    pub async fn node_resting_vms(&self) -> Result<Vec<VmNumber>, StoreError> {
        let select = resting_vms::Entity::find()
            .filter(resting_vms::Column::Until.gt(self.0.now().as_millisecond()));
        let rows = select.order_by_asc(resting_vms::Column::Vm).all(&self.0.read).await?;
        rows.into_iter().map(|row| number(row.vm, "resting_vms.vm").map(VmNumber)).collect()
    }

    /// Notes which node of Proxmox VE a machine is made on.
    ///
    /// # Errors
    /// `NotFound` if there is no such node, `Stale` if nothing of it is left.
    #[tracing::instrument(name = "db.node.place", skip_all)]
    pub async fn node_place(&self, id: NodeId, place: &str) -> Result<(), StoreError> {
        in_txn!(self, |txn| async {
            let row = for_update(&txn.db, id).await?;
            let place = Set(Some(place.to_owned()));
            update_in_txn(&mut txn, &row, nodes::ActiveModel { place, ..Default::default() }).await
        })
    }
}

async fn reserve_vm_in_txn(
    txn: &mut Txn,
    id: NodeId,
    range: RangeInclusive<u32>,
) -> Result<Option<VmNumber>, StoreError> {
    let row = for_update(&txn.db, id).await?;
    if let Some(vm) = row.vm {
        return number(vm, "nodes.vm").map(|vm| Some(VmNumber(vm)));
    }
    resting_vms::Entity::delete_many()
        .filter(resting_vms::Column::Until.lte(txn.at()))
        .exec(&txn.db)
        .await?;
    let used = nodes::Entity::find()
        .select_only()
        .column(nodes::Column::Vm)
        .filter(nodes::Column::ReleasedAt.is_null())
        .filter(nodes::Column::Vm.is_not_null());
    let used: Vec<i64> = used.into_tuple().all(&txn.db).await?;
    let resting = resting_vms::Entity::find().select_only().column(resting_vms::Column::Vm);
    let resting: Vec<i64> = resting.into_tuple().all(&txn.db).await?;
    let taken: HashSet<i64> = used.into_iter().chain(resting).collect();
    let Some(free) = range.into_iter().find(|vm| !taken.contains(&i64::from(*vm))) else {
        return Ok(None);
    };
    let change = nodes::ActiveModel { vm: Set(Some(i64::from(free))), ..Default::default() };
    update_in_txn(txn, &row, change).await?;
    Ok(Some(VmNumber(free)))
}

fn number(vm: i64, column: &'static str) -> Result<u32, StoreError> {
    u32::try_from(vm).map_err(|error| StoreError::corrupt(column, error))
}

async fn refuse_vm_in_txn(txn: &mut Txn, id: NodeId, reason: &str) -> Result<(), StoreError> {
    let row = for_update(&txn.db, id).await?;
    let Some(vm) = row.vm else { return Ok(()) };
    rest_in_txn(txn, vm, reason).await?;
    update_in_txn(txn, &row, nodes::ActiveModel { vm: Set(None), ..Default::default() }).await
}

/// Nobody is given this number for a while.
pub(super) async fn rest_in_txn(txn: &Txn, vm: i64, reason: &str) -> Result<(), StoreError> {
    let row = resting_vms::Model { vm, until: txn.later(REST), reason: reason.to_owned() };
    let longer = OnConflict::column(resting_vms::Column::Vm)
        .update_columns([resting_vms::Column::Until, resting_vms::Column::Reason])
        .to_owned();
    resting_vms::Entity::insert(row.into_active_model())
        .on_conflict(longer)
        .exec_without_returning(&txn.db)
        .await?;
    Ok(())
}

async fn reserve_address_in_txn(
    txn: &mut Txn,
    id: NodeId,
    range: RangeInclusive<Ipv4Addr>,
) -> Result<Option<Ipv4Addr>, StoreError> {
    let row = for_update(&txn.db, id).await?;
    if let Some(address) = &row.address {
        return column::address(address).map(Some);
    }
    let used = nodes::Entity::find()
        .select_only()
        .column(nodes::Column::Address)
        .filter(nodes::Column::ReleasedAt.is_null())
        .filter(nodes::Column::Address.is_not_null());
    let used: Vec<String> = used.into_tuple().all(&txn.db).await?;
    let taken: HashSet<Ipv4Addr> =
        used.iter().map(|address| column::address(address)).collect::<Result<_, _>>()?;
    let (first, last) = (range.start().to_bits(), range.end().to_bits());
    let free = (first..=last).map(Ipv4Addr::from_bits).find(|address| !taken.contains(address));
    let Some(free) = free else { return Ok(None) };
    let change = nodes::ActiveModel { address: Set(Some(free.to_string())), ..Default::default() };
    update_in_txn(txn, &row, change).await?;
    Ok(Some(free))
}
