//! How much room the cluster of Proxmox VE has for more machines: asked before one is made, and for whoever wants to know
//! whether some can be.

use super::{Machines, build::first_disk};
use domain::{Bound, Bytes, Capacity, Node, NodeShape, Resource, Unit};
use proxmox_client::{Error, NodeEntry, NodeName, StorageId};
use std::{
    collections::{BTreeMap, HashSet},
    net::Ipv4Addr,
    ops::RangeInclusive,
};
use store::{Store, StoreError};

/// Why nobody can say how much there is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookError {
    #[error("read the record")]
    Store(#[from] StoreError),
    #[error("ask Proxmox VE")]
    Proxmox(#[from] Error),
}

/// What is left on the nodes of Proxmox VE that are there and have a template.
#[derive(Debug, Default)]
pub(super) struct Room {
    pub(super) places: BTreeMap<NodeName, Place>,
    /// Why some nodes were not looked at.
    obstacle: Option<Error>,
}

/// What is left on one of them.
#[derive(Debug)]
pub(super) struct Place {
    /// How many machines of Warren's are there.
    pub(super) load: usize,
    /// Memory that no machine uses or was promised; nothing if the token may not know.
    memory: Option<Bytes>,
    storage: StorageId,
    is_shared: bool,
    disk: Bytes,
}

impl Place {
    /// How many more machines of a shape its memory holds, if that is known.
    fn by_memory(&self, shape: NodeShape) -> Option<u64> {
        Some(self.memory?.0 / shape.hardware().memory.0)
    }

    fn by_disk(&self, shape: NodeShape) -> u64 {
        self.disk.0 / shape.hardware().disk.0
    }

    /// How many more machines of a shape it holds.
    pub(super) fn holds(&self, shape: NodeShape) -> u64 {
        self.by_memory(shape).unwrap_or(u64::MAX).min(self.by_disk(shape))
    }
}

/// Looks at the nodes. `open` are those of the record: the machines that are still being made use nothing yet, and what
/// they will use is theirs.
pub(super) async fn look(machines: &Machines, open: &[Node]) -> Result<Room, Error> {
    let entries = machines.client.nodes().await?;
    let usable = entries.iter().filter(|entry| entry.status == "online");
    let mut room = Room::default();
    for entry in usable.filter(|entry| machines.settings.templates.contains_key(&entry.name)) {
        match look_at(machines, open, entry).await {
            Ok(Some(place)) => drop(room.places.insert(entry.name.clone(), place)),
            Ok(None) => {}
            // It may have gone while others are there.
            Err(error) => room.obstacle = Some(error),
        }
    }
    match room.obstacle.take() {
        Some(error) if room.places.is_empty() => Err(error),
        Some(_) | None => Ok(room),
    }
}

async fn look_at(
    machines: &Machines,
    open: &[Node],
    entry: &NodeEntry,
) -> Result<Option<Place>, Error> {
    let node = machines.client.node(&entry.name);
    let storage = if let Some(storage) = &machines.settings.storage {
        storage.clone()
    } else {
        let Some(template) = machines.settings.templates.get(&entry.name) else { return Ok(None) };
        let config = node.vm(*template).config().await?;
        let disk = first_disk(&config);
        let drive = config.drives().find(|(slot, _)| Some(slot) == disk.as_ref());
        let name = drive.as_ref().and_then(|(_, drive)| Some(drive.first()?.split_once(':')?.0));
        let Some(storage) = name.and_then(|name| StorageId::new(name).ok()) else {
            return Ok(None);
        };
        storage
    };
    let storages = node.storages().await?;
    let Some(found) = storages.into_iter().find(|found| found.id == storage) else {
        return Ok(None);
    };
    let own: Vec<&Node> =
        open.iter().filter(|node| node.place.as_deref() == Some(entry.name.as_str())).collect();
    let promised = |of: fn(NodeShape) -> Bytes| -> u64 {
        let making = own.iter().filter(|node| node.ready_at.is_none());
        making.map(|node| of(node.shape).0).sum()
    };
    let memory = entry.memory.map(|all| {
        let used = entry.memory_used.unwrap_or(0) + promised(|shape| shape.hardware().memory);
        Bytes(all.saturating_sub(used))
    });
    let disk = if found.is_active { found.available.unwrap_or(0) } else { 0 };
    let disk = Bytes(disk.saturating_sub(promised(|shape| shape.hardware().disk)));
    Ok(Some(Place { load: own.len(), memory, storage, is_shared: found.is_shared, disk }))
}

impl Room {
    /// How many machines of a shape all places hold together: by memory, by disk, by both.
    fn holds(&self, shape: NodeShape) -> (Option<u64>, u64, u64) {
        let mut shared = HashSet::new();
        let (mut by_memory, mut by_disk, mut by_both) = (Some(0_u64), 0_u64, 0_u64);
        for place in self.places.values() {
            by_memory = by_memory.zip(place.by_memory(shape)).map(|(all, one)| all + one);
            by_both = by_both.saturating_add(place.holds(shape));
            if !place.is_shared || shared.insert(&place.storage) {
                by_disk += place.by_disk(shape);
            }
        }
        (by_memory, by_disk, by_both.min(by_disk))
    }

    /// How much there is for so many more machines of a shape.
    pub(super) fn bounds(&self, shape: NodeShape, wanted: u64) -> Vec<Bound> {
        let (hardware, count) = (shape.hardware(), self.places.len());
        let (by_memory, by_disk, by_both) = self.holds(shape);
        let total =
            |of: fn(&Place) -> Bytes| rounded(self.places.values().map(of).map(|b| b.0).sum());
        let bound = |resource, free, detail| {
            Bound {
            resource,
            unit: Unit::Machines,
            needed: wanted,
            free,
            detail,
            hint: "an operator adds memory, disks or nodes to the cluster of Proxmox VE, or releases machines"
                .to_owned(),
        }
        };
        let mut bounds = Vec::new();
        if let Some(fits) = by_memory {
            let free = total(|place| place.memory.unwrap_or_default());
            let size = hardware.memory;
            let detail = format!(
                "{free} of memory are free on {count} nodes of Proxmox VE, for {fits} machines of {size}; {wanted} are to be made"
            );
            bounds.push(bound(Resource::Memory, fits, detail));
        } else {
            // It is told, and holds nobody up.
            let detail = "how much memory is free is not known: Proxmox VE tells it only with Sys.Audit on its nodes";
            let told = bound(Resource::Memory, 0, detail.to_owned());
            bounds.push(Bound { needed: 0, ..told });
        }
        let (free, size) = (total(|place| place.disk), hardware.disk);
        let detail = format!(
            "{free} of disk are free on {count} nodes of Proxmox VE, for {by_disk} machines of {size}; {wanted} are to be made"
        );
        bounds.push(bound(Resource::Storage, by_disk, detail));
        if by_memory.is_some_and(|by_memory| by_both < by_memory.min(by_disk)) {
            let detail = format!(
                "{count} nodes of Proxmox VE have memory and disk at the same time for {by_both} machines; {wanted} are to be made"
            );
            bounds.push(bound(Resource::Places, by_both, detail));
        }
        bounds
    }
}

/// How much room there is for so many more machines of a shape: on the nodes, and of what the configuration gives.
pub(crate) async fn for_machines(
    machines: &Machines,
    store: &Store,
    shape: NodeShape,
    wanted: u64,
) -> Result<Capacity, LookError> {
    let open = store.node_open().await?;
    let resting = store.node_resting_vms().await?;
    let mut bounds = look(machines, &open).await?.bounds(shape, wanted);
    let settings = &machines.settings;
    // A number that others have is found when it is tried, and rests from then on.
    let taken = open.iter().filter_map(|node| node.vm).chain(resting).map(|vm| vm.0);
    let numbers = left(&settings.vms, taken);
    bounds.push(of_range(Resource::Numbers, "proxmox.vms", numbers, wanted));
    if let Some(addresses) = &settings.addresses {
        let range = addresses.range.start().to_bits()..=addresses.range.end().to_bits();
        let taken = open.iter().filter_map(|node| node.address).map(Ipv4Addr::to_bits);
        let found = left(&range, taken);
        bounds.push(of_range(Resource::Addresses, "proxmox.addresses", found, wanted));
    }
    Ok(Capacity { bounds })
}

/// How many of a range are free, and of how many. Those of nodes that have none yet are as good as gone.
fn left(range: &RangeInclusive<u32>, taken: impl Iterator<Item = u32>) -> (u64, u64) {
    let taken: HashSet<u32> = taken.filter(|one| range.contains(one)).collect();
    let all = u64::from(range.end() - range.start()) + 1;
    (all.saturating_sub(taken.len() as u64), all)
}

fn of_range(resource: Resource, key: &str, (free, all): (u64, u64), wanted: u64) -> Bound {
    let what = resource.as_str();
    Bound {
        resource,
        unit: Unit::Machines,
        needed: wanted,
        free,
        detail: format!(
            "{free} of {all} {what} of machines are free, the others are taken or rest; {wanted} are to be made"
        ),
        hint: format!("an operator gives more in the configuration key {key}, or releases nodes"),
    }
}

/// Without what nobody wants to read.
fn rounded(bytes: u64) -> Bytes {
    let shift = if bytes < 1 << 30 { 20 } else { 30 };
    Bytes(bytes >> shift << shift)
}
