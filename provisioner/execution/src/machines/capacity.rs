//! How much room the cluster of Proxmox VE has for more machines: asked before one is made, and for whoever wants to know
//! whether some can be.
//!
//! There are two answers. What is *free* is what a machine may use of what nobody uses: of memory and disk, all that
//! Proxmox VE has of it, less what it says is in use, less what machines that are being made will use. Memory and thin
//! storages are given out more often than they are there, and that works: guests share pages, caches give way, disks are
//! never full. So what is not free is told and avoided, and refuses nobody. What is *at most* there refuses: a node whose
//! whole memory is less than that of the machine, a storage that takes a disk's whole size at once and has it not, one
//! that is full. What Proxmox VE does not tell, or not this token, is unknown and refuses nobody either.

use super::{Machines, build::first_disk};
use domain::{Bound, Bytes, Capacity, Node, NodeShape, Resource, Unit};
use proxmox_client::{Error, Fault, NodeEntry, NodeName, StorageEntry, StorageId, VmId};
use std::{
    collections::{BTreeMap, HashSet},
    net::Ipv4Addr,
    ops::RangeInclusive,
};
use store::{Store, StoreError};

/// Kinds of storages that take the whole size of a disk when it is made; a zfspool may, which only its configuration says.
const THICK: [&str; 1] = ["lvm"];

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
}

/// What is left on one of them.
#[derive(Debug)]
pub(super) struct Place {
    /// How many machines of Warren's are there.
    pub(super) load: usize,
    memory: Option<Memory>,
    disk: Option<Disk>,
}

#[derive(Debug)]
struct Memory {
    all: Bytes,
    free: Bytes,
}

#[derive(Debug)]
struct Disk {
    storage: StorageId,
    is_shared: bool,
    free: Bytes,
    /// Disks of more than that cannot be made; nothing if that is not certain.
    at_most: Option<Bytes>,
}

/// For how many machines there is room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Fit {
    /// If each uses all that is its own; nothing if nobody may say.
    free: Option<u64>,
    /// For certain not for more; nothing if that has no limit.
    at_most: Option<u64>,
}

impl Fit {
    const NONE: Self = Self { free: Some(0), at_most: Some(0) };

    /// For machines that need both.
    fn and(self, other: Self) -> Self {
        let least = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).min();
        Self { free: least(self.free, other.free), at_most: least(self.at_most, other.at_most) }
    }

    /// For machines that go to either.
    fn or(self, other: Self) -> Self {
        let sum = |one: Option<u64>, other: Option<u64>| Some(one?.saturating_add(other?));
        Self { free: sum(self.free, other.free), at_most: sum(self.at_most, other.at_most) }
    }

    /// Whether one may be made.
    pub(super) fn is_possible(self) -> bool {
        self.at_most != Some(0)
    }

    /// Whether one would have to hope that the others do not use all that is theirs.
    pub(super) fn is_tight(self) -> bool {
        self.free == Some(0)
    }
}

impl Place {
    fn by_memory(&self, shape: NodeShape) -> Fit {
        let needed = shape.hardware().memory;
        self.memory.as_ref().map_or_else(Fit::default, |memory| Fit {
            free: Some(memory.free.0 / needed.0),
            at_most: (memory.all < needed).then_some(0),
        })
    }

    fn by_disk(&self, shape: NodeShape) -> Fit {
        let needed = shape.hardware().disk;
        self.disk.as_ref().map_or_else(Fit::default, |disk| Fit {
            free: Some(disk.free.0 / needed.0),
            at_most: disk.at_most.map(|most| most.0 / needed.0),
        })
    }

    /// How many more machines of a shape it holds.
    pub(super) fn holds(&self, shape: NodeShape) -> Fit {
        self.by_memory(shape).and(self.by_disk(shape))
    }
}

/// Looks at the nodes. `open` are those of the record: the machines that are still being made use nothing yet, and what
/// they will use is theirs.
pub(super) async fn look(machines: &Machines, open: &[Node]) -> Result<Room, Error> {
    let entries = machines.client.nodes().await?;
    let templates = machines.templates().await?;
    let usable = entries.iter().filter(|entry| entry.is_online());
    let usable = usable.filter_map(|entry| Some((entry, *templates.get(&entry.name)?)));
    let (mut room, mut obstacle) = (Room::default(), None);
    for (entry, template) in usable {
        match look_at(machines, open, (entry, template)).await {
            Ok(place) => drop(room.places.insert(entry.name.clone(), place)),
            // It may have gone while others are there.
            Err(error) => obstacle = Some(error),
        }
    }
    match obstacle {
        Some(error) if room.places.is_empty() => Err(error),
        Some(_) | None => Ok(room),
    }
}

async fn look_at(
    machines: &Machines,
    open: &[Node],
    (entry, template): (&NodeEntry, VmId),
) -> Result<Place, Error> {
    let is_here = |node: &Node| node.place.as_deref() == Some(entry.name.as_str());
    // Where a storage is shared, of all places together.
    let promised = |of: fn(NodeShape) -> Bytes, is_shared: bool| -> u64 {
        let making = open.iter().filter(|node| node.ready_at.is_none() && node.place.is_some());
        making.filter(|node| is_shared || is_here(node)).map(|node| of(node.shape).0).sum()
    };
    let memory = entry.memory.zip(entry.memory_used).map(|(all, used)| {
        let used = used.saturating_add(promised(|shape| shape.hardware().memory, false));
        Memory { all: Bytes(all), free: Bytes(all.saturating_sub(used)) }
    });
    let disk = disk_storage(machines, &entry.name, template).await?;
    let disk = disk.and_then(|found| {
        let promised = promised(|shape| shape.hardware().disk, found.is_shared);
        disk_of(&found, promised)
    });
    let load = open.iter().filter(|node| is_here(node)).count();
    Ok(Place { load, memory, disk })
}

/// The storage of machines' disks: the one that is configured, or the template's. Nothing if the token does not see it.
pub(super) async fn disk_storage(
    machines: &Machines,
    place: &NodeName,
    template: VmId,
) -> Result<Option<StorageEntry>, Error> {
    match look_for_storage(machines, place, template).await {
        Err(error) if matches!(error.fault(), Some(Fault::Forbidden { .. })) => Ok(None),
        found => found,
    }
}

async fn look_for_storage(
    machines: &Machines,
    place: &NodeName,
    template: VmId,
) -> Result<Option<StorageEntry>, Error> {
    let node = machines.client.node(place);
    let storage = if let Some(storage) = &machines.settings.storage {
        Some(storage.clone())
    } else {
        let config = node.vm(template).config().await?;
        let disk = first_disk(&config);
        let drive = config.drives().find(|(slot, _)| Some(slot) == disk.as_ref());
        let volume = drive.as_ref().and_then(|(_, drive)| drive.first());
        volume.and_then(|volume| StorageId::new(volume.split_once(':')?.0).ok())
    };
    Ok(node.storages().await?.into_iter().find(|entry| Some(&entry.id) == storage.as_ref()))
}

/// What is left of a storage; nothing if it does not say.
fn disk_of(entry: &StorageEntry, promised: u64) -> Option<Disk> {
    let (storage, is_shared) = (entry.id.clone(), entry.is_shared);
    if !entry.is_active {
        // It may be back by the time that something is written to it.
        return Some(Disk { storage, is_shared, free: Bytes(0), at_most: None });
    }
    // What cannot count says that there is nothing of anything.
    entry.total.filter(|total| *total > 0)?;
    let left = entry.available?;
    let is_certain = left == 0 || THICK.contains(&entry.kind.as_str());
    Some(Disk {
        storage,
        is_shared,
        free: Bytes(left.saturating_sub(promised)),
        at_most: is_certain.then_some(Bytes(left)),
    })
}

impl Room {
    /// The places whose disks are not on the same storage as those of another one before them.
    fn storages(&self) -> impl Iterator<Item = &Place> {
        let mut shared = HashSet::new();
        self.places.values().filter(move |place| {
            let disk = place.disk.as_ref().filter(|disk| disk.is_shared);
            disk.is_none_or(|disk| shared.insert(&disk.storage))
        })
    }

    /// How much there is for machines of a shape.
    pub(super) fn bounds(&self, shape: NodeShape) -> Vec<Bound> {
        let hardware = shape.hardware();
        let by_memory = sum(self.places.values().map(|place| place.by_memory(shape)));
        let by_disk = sum(self.storages().map(|place| place.by_disk(shape)));
        let by_both = sum(self.places.values().map(|place| place.holds(shape))).and(by_disk);
        let memory = self.places.values().filter_map(|place| Some(place.memory.as_ref()?.free.0));
        let disk = self.storages().filter_map(|place| Some(place.disk.as_ref()?.free.0));
        let count = self.places.len();
        let told = |free: u64, what: &str, size: Bytes, fits: u64| {
            let free = Bytes(free).rounded();
            format!(
                "{free} of {what} are free on {count} nodes of Proxmox VE, for {fits} machines of {size}"
            )
        };
        let memory = match by_memory.free {
            Some(fits) => told(memory.sum(), "memory", hardware.memory, fits),
            None => "how much memory is free is not known: Proxmox VE tells it only with Sys.Audit on its nodes".to_owned(),
        };
        let disk = match by_disk.free {
            Some(fits) => told(disk.sum(), "disk", hardware.disk, fits),
            None => "how much disk is free is not known: Proxmox VE tells it only of storages that count, with VM.Audit on the template and Datastore.Audit on the storage".to_owned(),
        };
        let mut bounds = vec![
            on_nodes(Resource::Memory, by_memory, memory),
            on_nodes(Resource::Storage, by_disk, disk),
        ];
        if by_both != by_memory.and(by_disk) {
            let fits = by_both.free.or(by_both.at_most).unwrap_or_default();
            let detail = format!(
                "{count} nodes of Proxmox VE have memory and disk at the same time for {fits} machines"
            );
            bounds.push(on_nodes(Resource::Places, by_both, detail));
        }
        bounds
    }
}

/// In all places together.
fn sum(fits: impl Iterator<Item = Fit>) -> Fit {
    fits.reduce(Fit::or).unwrap_or(Fit::NONE)
}

fn on_nodes(resource: Resource, Fit { free, at_most }: Fit, detail: String) -> Bound {
    let hint = "an operator adds memory, disks or nodes to the cluster of Proxmox VE, or releases machines";
    let hint = hint.to_owned();
    Bound { resource, unit: Unit::Machines, needed: 0, free, at_most, detail, hint }
}

/// How much room there is for more machines of a shape: on the nodes, and of what the configuration gives.
pub(crate) async fn for_machines(
    machines: &Machines,
    store: &Store,
    shape: NodeShape,
) -> Result<Capacity, LookError> {
    let open = store.node_open().await?;
    let resting = store.node_resting_vms().await?;
    let mut bounds = look(machines, &open).await?.bounds(shape);
    let settings = &machines.settings;
    // A number that others have is found when it is tried, and rests from then on.
    let taken = open.iter().filter_map(|node| node.vm).chain(resting).map(|vm| vm.0);
    let without = open.iter().filter(|node| node.vm.is_none()).count();
    bounds.push(of_range(Resource::Numbers, "proxmox.vms", &settings.vms, taken, without));
    if let Some(addresses) = &settings.addresses {
        let range = addresses.range.start().to_bits()..=addresses.range.end().to_bits();
        let taken = open.iter().filter_map(|node| node.address).map(Ipv4Addr::to_bits);
        let without = open.iter().filter(|node| node.address.is_none()).count();
        let key = "proxmox.addresses";
        bounds.push(of_range(Resource::Addresses, key, &range, taken, without));
    }
    Ok(Capacity { bounds })
}

/// How many of a range are free. Nodes `without` one that are on their way will take one each, if nothing happens to them.
fn of_range(
    resource: Resource,
    key: &str,
    range: &RangeInclusive<u32>,
    taken: impl Iterator<Item = u32>,
    without: usize,
) -> Bound {
    let taken: HashSet<u32> = taken.filter(|one| range.contains(one)).collect();
    let all = u64::from(range.end() - range.start()) + 1;
    let at_most = all.saturating_sub(taken.len() as u64);
    let free = at_most.saturating_sub(without as u64);
    let what = resource.as_str();
    Bound {
        resource,
        unit: Unit::Machines,
        needed: 0,
        free: Some(free),
        at_most: Some(at_most),
        detail: format!(
            "{free} of {all} {what} of machines are free, the others are taken or rest"
        ),
        hint: format!("an operator gives more in the configuration key {key}, or releases nodes"),
    }
}
