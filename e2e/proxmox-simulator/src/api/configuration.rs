//! `…/config`, `…/pending`, `…/resize`: what a VM is made of, and changes of that.

use serde_json::{Map, Value, json};

use super::{Call, Handler, Rights, Route, Takes, later, now};
use crate::failure::Failure;
use crate::fault::Moment;
use crate::http::answer::Reply;
use crate::option::drive::{Properties, is_drive};
use crate::option::{Applies, find, text};
use crate::params::{Kind, Parameter, optional, required, size_bytes, size_text};
use crate::release::Release;
use crate::task::work::Work;
use crate::world::World;
use crate::world::vm::{Vm, render};

const VM: &str = "/vms/{vmid}";
const READ: [Parameter; 2] = [optional("current", Kind::Boolean), optional("snapshot", Kind::Text)];
/// One of them is needed to change anything.
const CHANGES: [&str; 8] = [
    "VM.Config.Disk",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.HWType",
    "VM.Config.Options",
    "VM.Config.Cloudinit",
];
const WRITE_LATER: [Parameter; 6] = [
    optional("delete", Kind::Text),
    optional("revert", Kind::Text),
    optional("digest", Kind::Short(64)),
    optional("force", Kind::Boolean),
    optional("skiplock", Kind::Boolean),
    optional("background_delay", Kind::Integer(1, 30)),
];
/// What only the form that is a task takes stands last.
const WRITE: &[Parameter] = WRITE_LATER.split_last().expect("is not empty").1;
const RESIZE: [Parameter; 4] = [
    required("disk", Kind::Text),
    required("size", Kind::Size),
    optional("digest", Kind::Short(64)),
    optional("skiplock", Kind::Boolean),
];

pub(crate) fn routes() -> Vec<Route> {
    let audit = Rights::Need(VM, &["VM.Audit"]);
    let path = "/nodes/{node}/qemu/{vmid}/config";
    let write = |method, params, handler| Route {
        method,
        path,
        rights: Rights::Any(VM, &CHANGES),
        params,
        takes: Takes::Options,
        handler,
    };
    let resize_right = Rights::Need(VM, &["VM.Config.Disk"]);
    vec![
        now("GET", path, audit, &READ, read),
        now("GET", "/nodes/{node}/qemu/{vmid}/pending", audit, &[], pending),
        write("PUT", WRITE, Handler::Later(|call| Box::pin(put(call)))),
        write("POST", &WRITE_LATER, Handler::Now(post)),
        later("PUT", "/nodes/{node}/qemu/{vmid}/resize", resize_right, &RESIZE, |call| {
            Box::pin(resize(call))
        }),
    ]
}

/// A change of a configuration, as it was asked for.
#[derive(Debug, Clone)]
struct Change {
    set: Vec<(String, String)>,
    delete: Vec<String>,
    revert: Vec<String>,
    digest: Option<String>,
}

fn read(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let vm = world.vm(call.node(), call.vm())?;
    if let Some(name) = call.params.text("snapshot") {
        let snapshot = vm.snapshots.get(name);
        let snapshot = snapshot
            .ok_or_else(|| Failure::internal(format!("snapshot '{name}' does not exist")))?;
        let body = crate::world::vm::render_options(call.release(), &snapshot.config);
        return Ok(Value::Object(body).into());
    }
    Ok(vm.render(call.release(), !call.params.is_set("current")).into())
}

fn pending(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let vm = world.vm(call.node(), call.vm())?;
    let mut keys: Vec<&String> = vm.config.keys().chain(vm.pending.keys()).collect();
    keys.sort();
    keys.dedup();
    let entry = |key: &String| {
        let mut entry = Map::from_iter([("key".to_owned(), json!(key))]);
        if let Some(value) = vm.config.get(key) {
            entry.insert("value".into(), render(call.release(), key, value));
        }
        match vm.pending.get(key) {
            Some(Some(value)) => {
                entry.insert("pending".into(), render(call.release(), key, value));
            }
            Some(None) => {
                entry.insert("delete".into(), json!(1));
            }
            None => {}
        }
        Value::Object(entry)
    };
    Ok(keys.into_iter().map(entry).collect::<Value>().into())
}

/// Brings options into the form in which they are kept.
pub(super) fn normalize(call: &Call, options: &mut [(String, String)]) -> Result<(), Failure> {
    let mut errors = std::collections::BTreeMap::new();
    for (key, value) in options {
        match text::normalize(key, value, &mut *call.cluster.random()) {
            Ok(normal) => *value = normal,
            Err(text) => {
                errors.insert(key.clone(), text);
            }
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Failure::parameters(errors)) }
}

/// Whether the caller may change these options.
pub(super) fn check_rights(
    call: &Call,
    world: &World,
    vm: &Vm,
    set: &[(String, String)],
    delete: &[String],
) -> Result<(), Failure> {
    let id = call.params.vm("vmid").unwrap_or_else(|| call.vm());
    let path = format!("/vms/{id}");
    let need = |privilege: &str| {
        // A VM that is being made in a pool has no path of its own yet.
        let by_pool = call
            .params
            .text("pool")
            .is_some_and(|pool| world.may(&call.actor, &format!("/pool/{pool}"), privilege));
        if by_pool { Ok(()) } else { world.require(&call.actor, &path, &[privilege]) }
    };
    let changed = set.iter().map(|(key, value)| (key.as_str(), Some(value.as_str())));
    for (key, value) in changed.chain(delete.iter().map(|key| (key.as_str(), None))) {
        let text = value.or_else(|| vm.get(key)).unwrap_or_default();
        let drive = Properties::parse(text);
        let option = find(call.release(), key);
        let privilege = option.and_then(|option| option.privilege);
        if key.starts_with("hostpci") && !text.contains("mapping=") && !call.actor.is_root() {
            let text = format!("only root can set '{key}' config for non-mapped devices");
            return Err(Failure::internal(text));
        }
        match privilege {
            None if !call.actor.is_root() => {
                return Err(Failure::internal(format!("only root can set '{key}' config")));
            }
            None => {}
            Some(_) if is_drive(key) && drive.is_cdrom() => need("VM.Config.CDROM")?,
            Some(privilege) => need(privilege)?,
        }
        if key.starts_with("net") && value.is_some() {
            super::clone::check_bridge(call, world, text)?;
        }
        if is_drive(key) && value.is_some() {
            check_storage(call, world, &drive)?;
        }
    }
    Ok(())
}

fn check_storage(call: &Call, world: &World, drive: &Properties) -> Result<(), Failure> {
    let Some((storage, name)) = drive.volume().split_once(':') else { return Ok(()) };
    let path = format!("/storage/{storage}");
    if name.starts_with("iso/") {
        let wanted = ["Datastore.AllocateSpace", "Datastore.Audit"];
        return world.require_any(&call.actor, &path, &wanted);
    }
    let makes = drive.wanted().is_some() || name == "cloudinit";
    if makes { world.require(&call.actor, &path, &["Datastore.AllocateSpace"]) } else { Ok(()) }
}

/// Looks at a change before anything is done.
fn prepare(call: &Call) -> Result<Change, Failure> {
    call.keep_for_root(&["skiplock"])?;
    let params = &call.params;
    let mut set = params.options(call.release());
    let delete = params.words("delete");
    let revert = params.words("revert");
    {
        let world = call.cluster.world();
        let nothing = Vm::default();
        // Rights come first: who has none does not learn whether there is such a VM.
        let known = world.vms.get(&call.vm()).filter(|vm| vm.node == call.node());
        let touched: Vec<String> = delete.iter().chain(&revert).cloned().collect();
        check_rights(call, &world, known.unwrap_or(&nothing), &set, &touched)?;
        if set.is_empty() && touched.is_empty() {
            return Err(Failure::new(400, "no options specified"));
        }
        let vm = world.vm(call.node(), call.vm())?;
        for key in &touched {
            if find(call.release(), key).is_none() {
                return Err(Failure::parameter("delete", format!("unknown option '{key}'")));
            }
        }
        vm.check_lock().map_err(Failure::internal)?;
        check_digest(vm, params.text("digest"))?;
    }
    normalize(call, &mut set)?;
    Ok(Change { set, delete, revert, digest: params.text("digest").map(str::to_owned) })
}

fn check_digest(vm: &Vm, digest: Option<&str>) -> Result<(), Failure> {
    match digest {
        Some(digest) if digest != vm.digest() => {
            Err(Failure::internal("checksum mismatch (file change by other user?)"))
        }
        _ => Ok(()),
    }
}

/// Blocks until all is done.
async fn put(call: Call) -> Result<Reply, Failure> {
    let change = prepare(&call)?;
    call.cluster.pause(call.cluster.config.times.config_ms).await;
    let (node, id, now_s) = (call.node().to_owned(), call.vm(), call.now_s());
    let mut world = call.cluster.world();
    apply(&mut world, call.release(), &node, id, change, now_s).map_err(Failure::internal)?;
    Ok(Value::Null.into())
}

fn post(call: &Call) -> Result<Reply, Failure> {
    let change = prepare(call)?;
    let (id, release) = (call.vm(), call.release());
    call.start("qmconfig", &id.to_string(), |work| async move {
        let _held = work.lock_vm(id).await?;
        work.pause(work.cluster.config.times.config_ms).await;
        work.reach(Moment::Middle)?;
        let now_s = work.cluster.clock.unix_s();
        apply(&mut work.world(), release, &work.node, id, change, now_s)
    })
}

fn apply(
    world: &mut World,
    release: Release,
    node: &str,
    id: u32,
    change: Change,
    now_s: u64,
) -> Result<(), String> {
    let Change { mut set, delete, revert, digest } = change;
    let vm = world.vm(node, id).map_err(|failure| failure.reason)?;
    vm.check_lock()?;
    check_digest(vm, digest.as_deref()).map_err(|failure| failure.reason)?;
    let is_on = vm.run.is_some();
    super::vm::allocate_drives(world, node, id, &mut set, now_s)?;
    for key in revert {
        world.vm_mut(node, id).map_err(|failure| failure.reason)?.pending.remove(&key);
    }
    let waits = |key: &str| {
        is_on && find(release, key).is_some_and(|option| option.applies == Applies::AtStart)
    };
    for key in delete {
        if waits(&key) {
            let vm = world.vm_mut(node, id).map_err(|failure| failure.reason)?;
            if vm.config.contains_key(&key) {
                vm.pending.insert(key, None);
            }
        } else {
            remove(world, node, id, &key)?;
        }
    }
    for (key, value) in set {
        let vm = world.vm_mut(node, id).map_err(|failure| failure.reason)?;
        if vm.get(&key) == Some(&value) {
            vm.pending.remove(&key);
        } else if waits(&key) {
            vm.pending.insert(key, Some(value));
        } else {
            if is_drive(&key) && vm.config.contains_key(&key) {
                remove(world, node, id, &key)?;
            }
            let vm = world.vm_mut(node, id).map_err(|failure| failure.reason)?;
            vm.pending.remove(&key);
            vm.config.insert(key, value);
        }
    }
    Ok(())
}

/// Takes an option away. A disk becomes unused; one that is unused is removed.
fn remove(world: &mut World, node: &str, id: u32, key: &str) -> Result<(), String> {
    let vm = world.vm_mut(node, id).map_err(|failure| failure.reason)?;
    vm.pending.remove(key);
    let Some(value) = vm.config.remove(key) else { return Ok(()) };
    let drive = Properties::parse(&value);
    let volume = drive.volume().to_owned();
    let is_unused = key.starts_with("unused");
    if is_unused || (is_drive(key) && drive.is_cloudinit()) {
        return world.free(node, &volume).or_else(|text| {
            let is_gone = text.ends_with("does not exist");
            if is_gone { Ok(()) } else { Err(text) }
        });
    }
    if is_drive(key) && !drive.is_cdrom() && volume.contains(':') {
        let vm = world.vm_mut(node, id).map_err(|failure| failure.reason)?;
        let free = (0..256).map(|number| format!("unused{number}"));
        if let Some(free) = free.into_iter().find(|name| !vm.config.contains_key(name)) {
            vm.config.insert(free, volume);
        }
    }
    Ok(())
}

async fn resize(call: Call) -> Result<Reply, Failure> {
    call.keep_for_root(&["skiplock"])?;
    let id = call.vm();
    let disk = call.params.text("disk").unwrap_or_default().to_owned();
    let size = call.params.text("size").unwrap_or_default().to_owned();
    {
        let world = call.cluster.world();
        let vm = world.vm(call.node(), id)?;
        check_digest(vm, call.params.text("digest"))?;
        vm.check_lock().map_err(Failure::internal)?;
        let drive = vm.get(&disk).filter(|_| is_drive(&disk)).map(Properties::parse);
        match drive {
            None => return Err(Failure::internal(format!("disk '{disk}' does not exist"))),
            Some(drive) if drive.is_cdrom() => {
                return Err(Failure::internal("you can't resize a cdrom"));
            }
            Some(_) => {}
        }
    }
    if call.release().resizes_in_a_task() {
        return call.start("resize", &id.to_string(), |work| async move {
            let _held = work.lock_vm(id).await?;
            work.pause(work.cluster.config.times.resize_ms).await;
            work.reach(Moment::Middle)?;
            grow(&work, id, &disk, &size)
        });
    }
    call.cluster.pause(call.cluster.config.times.resize_ms).await;
    let mut world = call.cluster.world();
    grow_disk(&mut world, call.node(), id, &disk, &size).map_err(Failure::internal)?;
    Ok(Value::Null.into())
}

fn grow(work: &Work, id: u32, disk: &str, size: &str) -> Result<(), String> {
    grow_disk(&mut work.world(), &work.node, id, disk, size)
}

fn grow_disk(world: &mut World, node: &str, id: u32, disk: &str, size: &str) -> Result<(), String> {
    let vm = world.vm(node, id).map_err(|failure| failure.reason)?;
    vm.check_lock()?;
    let mut drive = Properties::parse(vm.get(disk).unwrap_or_default());
    let name = drive.volume().to_owned();
    let volume = world.volume(node, &name);
    let volume = volume.ok_or_else(|| format!("volume '{name}' does not exist"))?;
    let old = volume.size;
    let asked = size_bytes(size.trim_start_matches('+')).unwrap_or(0);
    let new = if size.starts_with('+') { old + asked } else { asked };
    if new < old {
        return Err("shrinking disks is not supported".into());
    }
    let storage = world.storage(node, &volume.storage).map_err(|failure| failure.reason)?;
    // What is thin grows when it is written to.
    let taken = if storage.is_thick() { new - old } else { 0 };
    if world.used(node, &volume.storage) + taken > storage.size {
        return Err(format!("unable to resize '{name}': No space left on device"));
    }
    for volume in world.volumes.iter_mut().filter(|v| v.id() == name && v.is_on(node)) {
        volume.size = new;
        volume.used += taken;
    }
    drive.set("size", size_text(new));
    let vm = world.vm_mut(node, id).map_err(|failure| failure.reason)?;
    vm.config.insert(disk.to_owned(), drive.to_string());
    Ok(())
}
