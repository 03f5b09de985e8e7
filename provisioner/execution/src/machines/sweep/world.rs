//! Looks at Proxmox VE and at the host cluster. Nothing is changed, and whatever cannot be seen is said.

use super::things::{
    Machine, Object, Seen, Thing, Volume, is_node_name, looks_like_ours, node_of_image,
};
use crate::{
    Context,
    api_server::{ApiError, ApiServer},
    machines::Machines,
};
use domain::{Bytes, VmNumber};
use jiff::Timestamp;
use planning::{
    Key, Kind,
    exclusive::SYSTEM,
    machine::{PASSWORD_TYPE, TOKEN_TYPE, node_of_password, node_of_token},
};
use proxmox_client::{
    ContentEntry, ContentKind, Error, NodeName, Resource, ResourceKind, StorageEntry, VmId,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What the host cluster's part is called.
const HOST: &str = "host cluster";

/// Everything that may be Warren's.
pub(super) async fn look(cx: &Context) -> Vec<Seen> {
    let mut seen = vec![host(cx).await];
    let Some(machines) = &cx.machines else {
        let mut nothing = Seen::new("Proxmox VE");
        nothing.blocked("the configuration has no section [proxmox]: nobody looks there");
        seen.push(nothing);
        return seen;
    };
    let (found, visible) = look_at_machines(machines).await;
    seen.push(found);
    let storages = storages(machines).await;
    let mut free = HashSet::new();
    let mut taken = visible;
    for mut storage in storages {
        let numbers: BTreeSet<VmNumber> = disks(&storage).filter_map(|disk| disk.vm).collect();
        for number in numbers {
            if taken.contains(&number) || free.contains(&number) {
                continue;
            }
            // A machine that is shown to nobody still has its disks.
            match is_free(machines, number).await {
                Ok(true) => free.insert(number),
                Ok(false) => taken.insert(number),
                Err(error) => {
                    storage.blocked(error.with_sources());
                    taken.insert(number)
                }
            };
        }
        storage.things.retain(|thing| {
            disk_of(thing).is_none_or(|disk| disk.vm.is_some_and(|vm| free.contains(&vm)))
        });
        seen.push(storage);
    }
    seen
}

fn disks(seen: &Seen) -> impl Iterator<Item = &Volume> {
    seen.things.iter().filter_map(disk_of)
}

fn disk_of(thing: &Thing) -> Option<&Volume> {
    if let Thing::Disk(disk) = thing { Some(disk) } else { None }
}

/// Whether no machine has a number, whoever may see it.
pub(super) async fn is_free(machines: &Machines, number: VmNumber) -> Result<bool, Error> {
    machines.client.is_free(VmId::new(number.0)?).await
}

/// Machines that may be ours, and the numbers of all that are shown.
async fn look_at_machines(machines: &Machines) -> (Seen, HashSet<VmNumber>) {
    let (mut seen, mut visible) = (Seen::new("machines"), HashSet::new());
    let resources = match machines.client.resources(Some(ResourceKind::Vm)).await {
        Ok(resources) => resources,
        Err(error) => {
            seen.blocked(error.with_sources());
            return (seen, visible);
        }
    };
    let settings = &machines.settings;
    for resource in resources {
        let (Some(id), Some(place)) = (resource.vm, &resource.node) else { continue };
        let vm = VmNumber(id.get());
        visible.insert(vm);
        let mut named = settings.templates.named().into_iter().flat_map(BTreeMap::values);
        let is_template = resource.is_template || named.any(|template| *template == id);
        let is_in_pool = resource.pool.as_deref() == Some(settings.pool.as_str());
        if is_template || !(settings.vms.contains(&vm.0) || is_in_pool) {
            continue;
        }
        match describe(machines, &resource, id, place).await {
            Ok((name, description)) => seen.things.push(Thing::Machine(Machine {
                vm,
                name,
                place: place.to_string(),
                size: resource.disk.map(Bytes),
                description,
            })),
            Err(error) => {
                let text = error.with_sources();
                seen.blocked(format!("machine {id} on {place} could not be looked at: {text}"));
            }
        }
    }
    (seen, visible)
}

/// The name and the description of a machine. A container is never one of ours.
async fn describe(
    machines: &Machines,
    resource: &Resource,
    id: VmId,
    place: &NodeName,
) -> Result<(String, String), Error> {
    if resource.kind != "qemu" {
        return Ok((resource.name.clone().unwrap_or_default(), String::new()));
    }
    let config = machines.client.node(place).vm(id).config().await?;
    Ok((config.name().unwrap_or_default().to_owned(), config.description().to_owned()))
}

/// What lies on the storages of all nodes of Proxmox VE that machines are made on.
async fn storages(machines: &Machines) -> Vec<Seen> {
    let entries = match machines.client.nodes().await {
        Ok(entries) => entries,
        Err(error) => {
            let mut seen = Seen::new("storages");
            seen.blocked(error.with_sources());
            return vec![seen];
        }
    };
    let mut all: BTreeMap<String, Seen> = BTreeMap::new();
    for place in machines.settings.templates.places(&entries) {
        let is_online = entries.iter().any(|node| node.name == *place && node.is_online());
        let listed = if is_online {
            machines.client.node(place).storages().await.map_err(|error| error.with_sources())
        } else {
            Err(format!("{place} is not online"))
        };
        match listed {
            Ok(listed) => {
                for storage in listed {
                    let area = area(place, &storage);
                    if !all.contains_key(&area)
                        && let Some(seen) = look_at_storage(machines, place, &storage).await
                    {
                        all.insert(area, seen);
                    }
                }
            }
            Err(obstacle) => {
                let area = format!("storages of {place}");
                let mut seen = Seen::new(area.clone());
                seen.blocked(obstacle);
                all.insert(area, seen);
            }
        }
    }
    all.into_values().collect()
}

fn area(place: &NodeName, storage: &StorageEntry) -> String {
    let id = &storage.id;
    if storage.is_shared { format!("storage {id}") } else { format!("storage {id} on {place}") }
}

/// Disks with our numbers and images with our names on one storage; nothing if there can be none.
async fn look_at_storage(
    machines: &Machines,
    place: &NodeName,
    storage: &StorageEntry,
) -> Option<Seen> {
    let settings = &machines.settings;
    let mut kinds = Vec::new();
    if storage.takes(ContentKind::Images) {
        kinds.push(ContentKind::Images);
    }
    if storage.id == settings.seed_storage {
        kinds.push(ContentKind::Iso);
    }
    if kinds.is_empty() || !storage.is_enabled {
        return None;
    }
    let mut seen = Seen::new(area(place, storage));
    if !storage.is_active {
        seen.blocked("the storage is not active");
        return Some(seen);
    }
    let on_place = (!storage.is_shared).then(|| place.to_string());
    for kind in kinds {
        if kind == ContentKind::Images
            && let Some(obstacle) = hidden(machines, storage).await
        {
            seen.blocked(obstacle);
        }
        let lists = machines.client.node(place).storage(&storage.id);
        match lists.content(Some(kind), None).await {
            Ok(entries) => {
                let entries = entries.iter().filter_map(|entry| {
                    volume(entry, kind, on_place.clone(), storage.id.to_string(), &settings.vms)
                });
                seen.things.extend(entries);
            }
            Err(error) => seen.blocked(error.with_sources()),
        }
    }
    Some(seen)
}

/// Why disks of machines that are gone are not shown.
///
/// Source: pve-storage 9.1, `PVE::Storage::check_volume_access`.
async fn hidden(machines: &Machines, storage: &StorageEntry) -> Option<String> {
    const NEEDED: &str = "Datastore.Allocate";
    let path = format!("/storage/{}", storage.id);
    match machines.client.permissions(Some(&path)).await {
        Ok(permissions) if permissions.has(&path, NEEDED) => None,
        Ok(_) => Some(format!(
            "disks of machines that are gone are shown only to whoever has {NEEDED} on {path}"
        )),
        Err(error) => Some(error.with_sources()),
    }
}

/// What a volume may be to us: a disk with one of our numbers, an image with one of our names.
pub(super) fn volume(
    entry: &ContentEntry,
    kind: ContentKind,
    place: Option<String>,
    storage: String,
    vms: &std::ops::RangeInclusive<u32>,
) -> Option<Thing> {
    let volume = Volume {
        name: entry.volume.to_string(),
        vm: entry.vm.map(|vm| VmNumber(vm.get())),
        place,
        storage,
        size: entry.size.map(Bytes),
        created: entry.created.and_then(|at| Timestamp::from_second(i64::try_from(at).ok()?).ok()),
    };
    if kind == ContentKind::Iso {
        return node_of_image(volume.file()).is_some().then(|| Thing::Image(volume.clone()));
    }
    volume.vm.is_some_and(|vm| vms.contains(&vm.0)).then_some(Thing::Disk(volume))
}

/// What the host cluster has of nodes that Warren made, or seems to have made.
async fn host(cx: &Context) -> Seen {
    let server = ApiServer::host(cx.host.client());
    let mut seen = Seen::new(HOST);
    for found in [tokens(&server).await, passwords(&server).await, nodes(&server).await] {
        match found {
            Ok(things) => seen.things.extend(things),
            Err(error) => seen.blocked(error.to_string()),
        }
    }
    seen
}

async fn tokens(server: &ApiServer) -> Result<Vec<Thing>, ApiError> {
    let found = secrets(server, TOKEN_TYPE).await?;
    Ok(found.iter().filter_map(|object| of_object(Kind::Secret, object)).collect())
}

async fn passwords(server: &ApiServer) -> Result<Vec<Thing>, ApiError> {
    let found = secrets(server, PASSWORD_TYPE).await?;
    Ok(found.iter().filter_map(|object| of_object(Kind::Secret, object)).collect())
}

async fn secrets(server: &ApiServer, kind: &str) -> Result<Vec<Value>, ApiError> {
    let field = format!("type={kind}");
    server.list_where(Kind::Secret, Some(SYSTEM), &[("fieldSelector", &field)]).await
}

async fn nodes(server: &ApiServer) -> Result<Vec<Thing>, ApiError> {
    let found = server.list(Kind::Node, None, "").await?;
    Ok(found.iter().filter_map(|object| of_object(Kind::Node, object)).collect())
}

/// What an object of the host cluster may be to us.
pub(super) fn of_object(kind: Kind, object: &Value) -> Option<Thing> {
    let key = Key::of(kind, object)?;
    if kind == Kind::Node {
        let provider = object.pointer("/spec/providerID").and_then(Value::as_str);
        let is_ours = looks_like_ours(&key.name, object);
        return is_ours.then(|| Thing::Node(Object::of(key, object), provider.map(str::to_owned)));
    }
    if let Some(name) = node_of_password(&key.name).filter(|name| is_node_name(name)) {
        let name = name.to_owned();
        return Some(Thing::NodePassword(Object::of(key, object), name));
    }
    // A token says in its description which node it is for; the host's own tokens say something else.
    let node = node_of_token(object)?;
    Some(Thing::JoinToken(Object::of(key, object), node))
}
