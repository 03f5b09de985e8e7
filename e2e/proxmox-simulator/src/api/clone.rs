//! `POST …/clone`, and new VMs from nothing.
//!
//! The call only looks whether it could work. Whether the id is still free is seen by the task: of several clones
//! to one id all may be answered with a task, and one of these tasks makes the VM.

use super::{Call, Rights, Route, Takes, now};
use crate::failure::Failure;
use crate::fault::Moment;
use crate::http::answer::Reply;
use crate::option::drive::Properties;
use crate::option::text::{mac, new_mac};
use crate::params::{Kind, Parameter, VM_ID, optional, required};
use crate::plan::new_uuid;
use crate::task::work::Work;
use crate::world::World;
use crate::world::storage::{Wish, drive_text};
use crate::world::vm::{Options, Vm};

const CLONE: [Parameter; 10] = [
    required("newid", VM_ID),
    optional("name", Kind::Name),
    optional("description", Kind::Short(8192)),
    optional("pool", Kind::Text),
    optional("snapname", Kind::Text),
    optional("storage", Kind::Text),
    optional("format", Kind::Choice(&["raw", "qcow2", "vmdk"])),
    optional("full", Kind::Boolean),
    optional("target", Kind::Text),
    optional("bwlimit", Kind::Integer(0, i64::MAX)),
];

pub(crate) fn routes() -> Vec<Route> {
    let right = Rights::Need("/vms/{vmid}", &["VM.Clone"]);
    let create = now("POST", "/nodes/{node}/qemu", Rights::All, &super::vm::CREATE, create);
    vec![
        now("POST", "/nodes/{node}/qemu/{vmid}/clone", right, &CLONE, clone),
        Route { takes: Takes::Options, ..create },
    ]
}

/// What a clone is to become.
#[derive(Debug, Clone)]
struct Plan {
    source: u32,
    id: u32,
    target: String,
    is_full: bool,
    storage: Option<String>,
    name: Option<String>,
    description: Option<String>,
    pool: Option<String>,
}

fn clone(call: &Call) -> Result<Reply, Failure> {
    let params = &call.params;
    let text = |name: &str| params.text(name).map(str::to_owned);
    let world = call.cluster.world();
    let id = params.vm("newid").unwrap_or_default();
    check_right_to_allocate(call, &world, id)?;
    let source = world.vm(call.node(), call.vm())?;
    let is_full = params.number("full").map_or(!source.is_template(), |full| full == 1);
    let plan = Plan {
        source: call.vm(),
        id,
        target: text("target").unwrap_or_else(|| call.node().to_owned()),
        is_full,
        storage: text("storage"),
        name: text("name"),
        description: text("description"),
        pool: text("pool"),
    };
    check(call, &world, source, &plan)?;
    drop(world);
    call.start("qmclone", &plan.source.to_string(), |work| make(work, plan))
}

/// The right to allocate, on the new id or by the pool.
pub(super) fn check_right_to_allocate(call: &Call, world: &World, id: u32) -> Result<(), Failure> {
    let by_id = world.may(&call.actor, &format!("/vms/{id}"), "VM.Allocate");
    let by_pool = call
        .params
        .text("pool")
        .is_some_and(|pool| world.may(&call.actor, &format!("/pool/{pool}"), "VM.Allocate"));
    if !by_id && !by_pool {
        return Err(Failure::forbidden(None));
    }
    match call.params.text("pool") {
        Some(pool) if !world.pools.contains_key(pool) => {
            Err(Failure::internal(format!("pool '{pool}' does not exist")))
        }
        Some(pool) if !by_pool => {
            Err(Failure::forbidden(Some(&format!("/pool/{pool}, VM.Allocate"))))
        }
        _ => Ok(()),
    }
}

fn check(call: &Call, world: &World, source: &Vm, plan: &Plan) -> Result<(), Failure> {
    let fail = |text: String| Err(Failure::internal(text));
    for card in source.config.iter().filter(|(key, _)| key.starts_with("net")) {
        check_bridge(call, world, card.1)?;
    }
    let disks: Vec<Properties> = source
        .drives()
        .map(|(_, drive)| drive)
        .filter(|d| !d.is_cdrom() || d.is_cloudinit())
        .collect();
    let places = disks.iter().filter_map(|disk| disk.volume().split_once(':')).map(|place| place.0);
    for place in places.map(|own| plan.storage.as_deref().unwrap_or(own)) {
        world.require(&call.actor, &format!("/storage/{place}"), &["Datastore.AllocateSpace"])?;
    }
    source.check_lock().map_err(Failure::internal)?;
    if world.vms.contains_key(&plan.id) {
        return fail(format!("unable to create VM {}: config file already exists", plan.id));
    }
    if !plan.is_full {
        if !source.is_template() {
            return fail(
                "Linked clone feature is not available for VMs that are no templates".into(),
            );
        }
        let mut own = ["storage", "format"].into_iter();
        if let Some(name) = own.find(|name| call.params.has(name)) {
            return fail(format!("parameter '{name}' not allowed for linked clones"));
        }
    }
    if let Some(snapshot) = call.params.text("snapname")
        && !source.snapshots.contains_key(snapshot)
    {
        return fail(format!("snapshot '{snapshot}' does not exist"));
    }
    check_target(world, source, plan)?;
    for disk in &disks {
        let Some((own, _)) = disk.volume().split_once(':') else { continue };
        let storage = world.storage(&plan.target, plan.storage.as_deref().unwrap_or(own))?;
        if !plan.is_full && !storage.can_link() {
            return fail(format!("Linked clone feature is not supported for drive on '{own}'"));
        }
    }
    Ok(())
}

fn check_target(world: &World, source: &Vm, plan: &Plan) -> Result<(), Failure> {
    if !world.nodes.contains_key(&plan.target) {
        return Err(Failure::internal(format!("no such cluster node '{}'", plan.target)));
    }
    if plan.target == source.node {
        return Ok(());
    }
    let is_shared = |name: &str| world.storages.get(name).is_some_and(|storage| storage.is_shared);
    let volumes = source.drives().map(|(_, drive)| drive.volume().to_owned());
    let mut places = volumes.filter_map(|volume| Some(volume.split_once(':')?.0.to_owned()));
    if !places.all(|place| is_shared(&place)) {
        let text = format!("can't clone VM to node '{}' (VM uses local storage)", plan.target);
        return Err(Failure::internal(text));
    }
    match &plan.storage {
        Some(storage) if !is_shared(storage) => {
            Err(Failure::internal(format!("can't clone to non-shared storage '{storage}'")))
        }
        _ => Ok(()),
    }
}

/// The right to put a network card on a bridge.
pub(super) fn check_bridge(call: &Call, world: &World, card: &str) -> Result<(), Failure> {
    let card = Properties::parse(card);
    match card.get("bridge") {
        Some(bridge) if call.release().guards_bridges() => {
            let path = format!("/sdn/zones/localnetwork/{bridge}");
            world.require(&call.actor, &path, &["SDN.Use"])
        }
        _ => Ok(()),
    }
}

async fn make(work: Work, plan: Plan) -> Result<(), String> {
    let is_template = work.world().vms.get(&plan.source).is_some_and(Vm::is_template);
    let _source = if is_template {
        work.share_vm(plan.source).await?
    } else {
        work.lock_vm(plan.source).await?
    };
    let source = {
        let _new = work.lock_new_id(plan.id).await?;
        reserve(&work, &plan)?
    };
    work.cluster.machines.discard(plan.id).await;
    let mut config = source.config.clone();
    for (key, drive) in source.drives() {
        if drive.is_cdrom() && !drive.is_cloudinit() {
            continue;
        }
        let copied = copy(&work, &plan, key, &drive).await;
        config.insert(key.into(), copied.map_err(|text| format!("clone failed: {text}"))?);
        work.reach(Moment::Middle).map_err(|text| format!("clone failed: {text}"))?;
    }
    if !plan.is_full {
        work.pause(work.cluster.config.times.linked_clone_ms).await;
    }
    renew(&work, &plan, &source, &mut config);
    let mut world = work.world();
    let new = world.vms.get_mut(&plan.id).filter(|vm| vm.lock() == Some("clone"));
    let new = new.ok_or_else(|| {
        let (id, target) = (plan.id, &plan.target);
        format!(
            "clone failed: Configuration file 'nodes/{target}/qemu-server/{id}.conf' does not exist"
        )
    })?;
    new.config = config;
    // The last step: until then whoever has his rights by the pool has none.
    if let Some(pool) = plan.pool.as_ref().and_then(|pool| world.pools.get_mut(pool)) {
        pool.vms.insert(plan.id);
    }
    Ok(())
}

/// Takes the id, unless somebody else has it. From then on the clone is undone if the task fails.
fn reserve(work: &Work, plan: &Plan) -> Result<Vm, String> {
    let mut world = work.world();
    let source = world.vm(&work.node, plan.source).map_err(|failure| failure.reason)?.clone();
    let id = plan.id;
    if world.vms.contains_key(&id) {
        return Err(format!("unable to create VM {id}: config file already exists"));
    }
    let config = [("lock".to_owned(), "clone".to_owned())].into();
    world.insert_vm(id, Vm { node: plan.target.clone(), config, ..Vm::default() });
    let incarnation = world.made;
    work.on_failure(move |world| {
        if world.vms.get(&id).is_some_and(|vm| vm.incarnation == incarnation) {
            world.forget_vm(id);
        }
    });
    Ok(source)
}

/// Copies a drive, or lays a new layer on it; says what stands in the new configuration.
async fn copy(work: &Work, plan: &Plan, key: &str, drive: &Properties) -> Result<String, String> {
    let times = work.cluster.config.times;
    let old = drive.volume().to_owned();
    let own = old.split_once(':').map_or("", |(storage, _)| storage);
    let is_layer = !plan.is_full && !drive.is_cloudinit();
    let storage = plan.storage.as_deref().filter(|_| plan.is_full).unwrap_or(own);
    let size = {
        let world = work.world();
        let volume = world.volume(&work.node, &old);
        volume.ok_or_else(|| format!("volume '{old}' does not exist"))?.size
    };
    work.log(&if is_layer {
        format!("create linked clone of drive {key} ({old})")
    } else {
        format!("create full clone of drive {key} ({old})")
    });
    let new = {
        let _held = work.lock_storage(storage).await?;
        work.pause(times.allocation_ms).await;
        let wish = Wish {
            node: &plan.target,
            storage,
            vm: plan.id,
            size,
            stem: if drive.is_cloudinit() { "cloudinit" } else { "disk" },
            parent: is_layer.then_some(old.as_str()),
            now_s: work.cluster.clock.unix_s(),
        };
        let new = work.world().allocate(&wish)?;
        let (node, volume) = (plan.target.clone(), new.clone());
        // It is gone already if somebody else removed it.
        work.on_failure(move |world| drop(world.free(&node, &volume)));
        new
    };
    if !is_layer {
        transfer(work, size, times.copy_gib_ms).await;
    }
    Ok(drive_text(&new, size, &drive.pairs))
}

/// The lines and the time of a copy.
async fn transfer(work: &Work, size: u64, gib_ms: u64) {
    let gib = size >> 30;
    let total = crate::task::size_words(size);
    work.log(&format!("transferred 0.0 B of {total} (0.00%)"));
    for tenth in 1..=10 {
        work.pause(gib * gib_ms / 10).await;
        let done = crate::task::size_words(size / 10 * tenth);
        let line = match tenth {
            10 => format!("transferred {total} of {total} (100.00%)"),
            _ => format!("transferred {done} of {total} ({tenth}0.00%)"),
        };
        work.log(&line);
    }
}

/// What a clone does not share with its source.
fn renew(work: &Work, plan: &Plan, source: &Vm, config: &mut Options) {
    let mut random = work.cluster.random();
    for key in ["template", "lock", "parent", "snaptime"] {
        config.remove(key);
    }
    let name = match (&plan.name, source.name()) {
        (Some(name), _) => name.clone(),
        (None, "") => format!("Copy-of-VM-{}", plan.source),
        (None, name) => format!("Copy-of-VM-{name}"),
    };
    config.insert("name".into(), name);
    if let Some(description) = &plan.description {
        config.insert("description".into(), description.clone());
    }
    for (_, card) in config.iter_mut().filter(|(key, _)| key.starts_with("net")) {
        if let Some(old) = mac(card) {
            *card = card.replacen(&old, &new_mac(&mut *random), 1);
        }
    }
    let mut smbios = Properties::parse(config.get("smbios1").map_or("", String::as_str));
    smbios.first = None;
    smbios.set("uuid", new_uuid(&mut *random));
    config.insert("smbios1".into(), smbios.to_string());
    config.insert("vmgenid".into(), new_uuid(&mut *random));
}

/// A VM from nothing.
fn create(call: &Call) -> Result<Reply, Failure> {
    let id = call.params.vm("vmid").unwrap_or_default();
    let node = call.node().to_owned();
    let mut options = call.params.options(call.release());
    options.retain(|(key, _)| key != "vmid");
    {
        let world = call.cluster.world();
        check_right_to_allocate(call, &world, id)?;
        super::configuration::check_rights(call, &world, &Vm::default(), &options, &[])?;
        if world.vms.contains_key(&id) {
            return Err(Failure::internal(format!(
                "unable to create VM {id} - VM {id} already exists on node '{node}'"
            )));
        }
    }
    super::configuration::normalize(call, &mut options)?;
    let pool = call.params.text("pool").map(str::to_owned);
    call.start("qmcreate", &id.to_string(), |work| async move {
        let _held = work.lock_new_id(id).await?;
        work.pause(work.cluster.config.times.config_ms).await;
        let mut world = work.world();
        if world.vms.contains_key(&id) {
            return Err(format!("unable to create VM {id}: config file already exists"));
        }
        let now_s = work.cluster.clock.unix_s();
        let mut options = options;
        super::vm::allocate_drives(&mut world, &node, id, &mut options, now_s)?;
        let mut config: Options = options.into_iter().collect();
        let uuid = new_uuid(&mut *work.cluster.random());
        config.entry("smbios1".into()).or_insert_with(|| format!("uuid={uuid}"));
        world.insert_vm(id, Vm { node, config, ..Vm::default() });
        if let Some(pool) = pool.and_then(|pool| world.pools.get_mut(&pool)) {
            pool.vms.insert(id);
        }
        Ok(())
    })
}
