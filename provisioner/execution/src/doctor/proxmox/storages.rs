//! Whether the storages are there, can be used, take what is put on them, and have room.

use super::{Place, list, verdict};
use crate::{MachineSettings, doctor::Check};
use domain::{Bytes, NodeShape};
use proxmox_client::{ContentKind, StorageEntry, StorageId};
use std::collections::BTreeSet;

const DISKS: &str = "disk-storage";
const SEEDS: &str = "seed-storage";

/// With less than this no machine gets far.
const LEAST_FOR_DISKS: Bytes = Bytes::gibi(10);
/// Room for the images of many machines at their first start; one is less than a mebibyte.
const LEAST_FOR_SEEDS: Bytes = Bytes::mebi(64);
/// Those whose volumes cannot have layers on them (pve-storage, the plugins' `volume_has_feature`).
const WITHOUT_LAYERS: [&str; 3] = ["lvm", "iscsi", "iscsidirect"];

/// What is asked of a storage.
struct Demand {
    /// The key of the configuration that names it.
    key: &'static str,
    content: ContentKind,
    word: &'static str,
    room: Bytes,
    /// Whether linked clones are made on it.
    is_layered: bool,
}

/// The storages of machines' disks: the one that is configured, or those of the templates.
pub(super) fn disks(settings: &MachineSettings, places: &[Place]) -> Check {
    let demand = Demand {
        key: "proxmox.storage",
        content: ContentKind::Images,
        word: "images",
        room: LEAST_FOR_DISKS,
        is_layered: settings.storage.is_none(),
    };
    let wanted = |place: &Place| match &settings.storage {
        Some(storage) => BTreeSet::from([storage.clone()]),
        None => place.template.storages(),
    };
    let check = judge(DISKS, &demand, places, wanted);
    let small = NodeShape::S.hardware().disk;
    let tight = places.iter().flat_map(|place| {
        let rooms = wanted(place).into_iter().filter_map(|id| Some((room(place, &id)?, id)));
        let tight = rooms.filter(|(room, _)| *room < small);
        tight
            .map(|(room, id)| format!("{id} on {} has {} left", place.node, room.rounded()))
            .collect::<Vec<_>>()
    });
    let tight: Vec<_> = tight.collect();
    if !check.is_ok || tight.is_empty() {
        return check;
    }
    let found =
        format!("{}, and the disk of the smallest machine may grow to {small}", list(tight));
    Check::warn(DISKS, found, "make room before machines fill it")
}

/// The storage of the images that machines read at their first start.
pub(super) fn seeds(settings: &MachineSettings, places: &[Place]) -> Check {
    let demand = Demand {
        key: "proxmox.seed_storage",
        content: ContentKind::Iso,
        word: "iso",
        room: LEAST_FOR_SEEDS,
        is_layered: false,
    };
    judge(SEEDS, &demand, places, |_| BTreeSet::from([settings.seed_storage.clone()]))
}

fn judge(
    name: &'static str,
    demand: &Demand,
    places: &[Place],
    wanted: impl Fn(&Place) -> BTreeSet<StorageId>,
) -> Check {
    let mut findings = Vec::new();
    let mut well = BTreeSet::new();
    for place in places {
        let storages = match &place.storages {
            Ok(storages) => storages,
            Err(obstacle) => {
                let advice = format!("see that {} answers", place.node);
                findings.push((format!("{}: {obstacle}", place.node), advice));
                continue;
            }
        };
        for id in wanted(place) {
            let entry = storages.iter().find(|entry| entry.id == id);
            match wrong(demand, &id, entry) {
                None => drop(well.insert(format!("{id} on {}", place.node))),
                Some((what, advice)) => {
                    findings.push((format!("{id} on {} {what}", place.node), advice));
                }
            }
        }
    }
    if findings.is_empty() && well.is_empty() {
        let advice = "see nodes and templates, which tell what it depends on";
        return Check::bad(name, "it could not be looked at on any node", advice);
    }
    verdict(name, format!("{}: takes {}", list(well), demand.word), &findings)
}

fn wrong(
    demand: &Demand,
    id: &StorageId,
    entry: Option<&StorageEntry>,
) -> Option<(String, String)> {
    let Demand { key, content, word, room, is_layered } = demand;
    let Some(entry) = entry else {
        let advice = format!(
            "see `pvesm status` there: name another one in {key}, or make it; if it is there the token lacks \
             Datastore.Audit on /storage/{id}"
        );
        return Some(("is not there, or the token may not see it".to_owned(), advice));
    };
    if !entry.is_enabled {
        return Some(("is switched off".to_owned(), format!("`pvesm set {id} --disable 0`")));
    }
    if !entry.is_active {
        let advice =
            format!("see what it lies on, and what `pvesm status --storage {id}` says there");
        return Some(("is not active".to_owned(), advice));
    }
    if !entry.takes(*content) {
        let advice = format!(
            "add {word} to what it takes with `pvesm set {id} --content`, or name another one in {key}"
        );
        return Some((format!("does not take {word}"), advice));
    }
    if *is_layered && WITHOUT_LAYERS.contains(&entry.kind.as_str()) {
        let advice = format!(
            "name the storage for whole copies in {key}, or move the template to one that has layers"
        );
        return Some((
            format!("is of the kind {}, which cannot make linked clones", entry.kind),
            advice,
        ));
    }
    let left = entry.available.map(Bytes)?;
    (left < *room).then(|| {
        let advice = format!("make room, or name another one in {key}");
        (format!("has {} left, and needs {room} at least", left.rounded()), advice)
    })
}

fn room(place: &Place, id: &StorageId) -> Option<Bytes> {
    let entry = place.storages.as_ref().ok()?.iter().find(|entry| entry.id == *id)?;
    entry.available.map(Bytes)
}
