//! `/nodes/{node}/qemu`: VMs, their removal, and templates made of them.

use serde_json::{Map, Value, json};

use super::{Call, Rights, Route, now};
use crate::failure::Failure;
use crate::fault::Moment;
use crate::http::answer::Reply;
use crate::option::drive::{Properties, is_drive};
use crate::params::{Kind, Parameter, VM_ID, optional, required};
use crate::task::work::Work;
use crate::world::World;
use crate::world::storage::{Volume, Wish};
use crate::world::vm::Vm;

const VM: &str = "/vms/{vmid}";
const LIST: [Parameter; 1] = [optional("full", Kind::Boolean)];
const DESTROY: [Parameter; 3] = [
    optional("purge", Kind::Boolean),
    optional("destroy-unreferenced-disks", Kind::Boolean),
    optional("skiplock", Kind::Boolean),
];
const TEMPLATE: [Parameter; 1] = [optional("disk", Kind::Text)];
pub(super) const CREATE: [Parameter; 4] = [
    required("vmid", VM_ID),
    optional("pool", Kind::Text),
    optional("storage", Kind::Text),
    optional("start", Kind::Boolean),
];

pub(crate) fn routes() -> Vec<Route> {
    let audit = Rights::Need(VM, &["VM.Audit"]);
    let allocate = Rights::Need(VM, &["VM.Allocate"]);
    vec![
        now("GET", "/nodes/{node}/qemu", Rights::All, &LIST, list),
        now("GET", "/nodes/{node}/qemu/{vmid}/status/current", audit, &[], current),
        now("DELETE", "/nodes/{node}/qemu/{vmid}", allocate, &DESTROY, destroy),
        now("POST", "/nodes/{node}/qemu/{vmid}/template", allocate, &TEMPLATE, template),
    ]
}

#[expect(clippy::unnecessary_wraps, reason = "is a handler")]
fn list(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let here = world.vms.iter().filter(|(_, vm)| vm.node == call.node());
    let seen = here.filter(|(id, _)| world.may(&call.actor, &format!("/vms/{id}"), "VM.Audit"));
    Ok(seen.map(|(id, vm)| Value::Object(live(call, *id, vm))).collect::<Value>().into())
}

fn current(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let vm = world.vm(call.node(), call.vm())?;
    let mut entry = live(call, call.vm(), vm);
    entry.insert("qmpstatus".into(), entry["status"].clone());
    entry.insert("ha".into(), json!({"managed": 0}));
    if vm.has_agent() {
        entry.insert("agent".into(), json!(1));
    }
    Ok(Value::Object(entry).into())
}

/// What is known of a VM now.
fn live(call: &Call, id: u32, vm: &Vm) -> Map<String, Value> {
    let memory = vm.memory_mib() << 20;
    let is_on = vm.run.is_some();
    let mut entry = Map::from_iter([
        ("vmid".to_owned(), json!(id)),
        ("status".to_owned(), json!(if is_on { "running" } else { "stopped" })),
        ("name".to_owned(), json!(vm.name())),
        ("cpus".to_owned(), json!(vm.cores())),
        ("cpu".to_owned(), json!(if is_on { 0.05 } else { 0.0 })),
        ("maxmem".to_owned(), json!(memory)),
        ("mem".to_owned(), json!(if is_on { memory / 2 } else { 0 })),
        ("maxdisk".to_owned(), json!(vm.disk_bytes())),
        ("disk".to_owned(), json!(0)),
        ("diskread".to_owned(), json!(0)),
        ("diskwrite".to_owned(), json!(0)),
        ("netin".to_owned(), json!(0)),
        ("netout".to_owned(), json!(0)),
    ]);
    let uptime = vm.run.map_or(0, |run| call.now_s().saturating_sub(run.since_s));
    entry.insert("uptime".into(), json!(uptime));
    if let Some(run) = vm.run {
        entry.insert("pid".into(), json!(run.pid));
    }
    if vm.is_template() {
        entry.insert("template".into(), json!(1));
    }
    for key in ["lock", "tags"] {
        if let Some(value) = vm.get(key) {
            entry.insert(key.into(), json!(value));
        }
    }
    entry
}

fn destroy(call: &Call) -> Result<Reply, Failure> {
    call.keep_for_root(&["skiplock"])?;
    let id = call.vm();
    {
        let world = call.cluster.world();
        let vm = world.vm(call.node(), id)?;
        if vm.is_protected() {
            let text = format!("can't remove VM {id} - protection mode enabled");
            return Err(Failure::internal(text));
        }
        if vm.run.is_some() {
            return Err(Failure::internal(format!("VM {id} is running - destroy failed")));
        }
    }
    let unreferenced = call.params.is_set("destroy-unreferenced-disks");
    call.start("qmdestroy", &id.to_string(), |work| remove(work, id, unreferenced))
}

async fn remove(work: Work, id: u32, unreferenced: bool) -> Result<(), String> {
    let _held = work.lock_vm(id).await?;
    {
        let world = work.world();
        let vm = world.vm(&work.node, id).map_err(|failure| failure.reason)?;
        vm.check_lock()?;
        if vm.run.is_some() {
            return Err(format!("VM {id} is running - destroy failed"));
        }
        check_bases(&world, id)?;
    }
    work.pause(work.cluster.config.times.destroy_ms).await;
    work.reach(Moment::Middle)?;
    // A fault leaves the disks where they are and still removes the configuration.
    let leaves_disks = work.wanted_warnings() > 0;
    let volumes = referenced(&work.world(), id, unreferenced);
    for volume in volumes {
        if leaves_disks {
            if work.warnings() < work.wanted_warnings() {
                work.warn(&format!(
                    "Could not remove disk '{volume}', check manually: got timeout"
                ));
            }
            continue;
        }
        let freed = work.world().free(&work.node, &volume);
        match freed {
            Ok(()) => work.log(&format!("  successfully removed volume '{volume}'")),
            Err(text) => {
                work.warn(&format!("Could not remove disk '{volume}', check manually: {text}"));
            }
        }
    }
    work.cluster.machines.discard(id).await;
    work.world().forget_vm(id);
    Ok(())
}

/// Volumes that go with a VM.
fn referenced(world: &World, id: u32, unreferenced: bool) -> Vec<String> {
    let Some(vm) = world.vms.get(&id) else { return Vec::new() };
    let owned = |volume: &str| world.volume(&vm.node, volume).is_some_and(|v| v.vm == Some(id));
    let configs = std::iter::once(&vm.config).chain(vm.snapshots.values().map(|s| &s.config));
    let drives = configs
        .flat_map(|config| config.iter())
        .filter(|(key, _)| is_drive(key) || key.starts_with("unused"))
        .map(|(_, text)| Properties::parse(text).volume().to_owned());
    let mut found: Vec<String> = drives.filter(|volume| owned(volume)).collect();
    if unreferenced {
        found.extend(world.volumes_of(id).filter(|v| v.is_on(&vm.node)).map(Volume::id));
    }
    found.sort();
    found.dedup();
    found
}

fn check_bases(world: &World, id: u32) -> Result<(), String> {
    for volume in world.volumes_of(id) {
        let name = volume.id();
        let is_layer =
            |other: &&Volume| other.parent.as_deref() == Some(&name) && other.node == volume.node;
        if world.volumes.iter().any(|other| is_layer(&other)) {
            return Err(format!("base volume '{name}' is still in use by linked cloned"));
        }
    }
    Ok(())
}

fn template(call: &Call) -> Result<Reply, Failure> {
    let id = call.vm();
    {
        let world = call.cluster.world();
        let vm = world.vm(call.node(), id)?;
        vm.check_lock().map_err(Failure::internal)?;
        let problem = if vm.is_template() {
            Some("you can't convert a template to a template")
        } else if !vm.snapshots.is_empty() {
            Some("unable to create template, because VM contains snapshots")
        } else if vm.run.is_some() {
            Some("you can't convert a VM to template if VM is running")
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(Failure::internal(problem));
        }
    }
    call.start("qmtemplate", &id.to_string(), |work| make_template(work, id))
}

async fn make_template(work: Work, id: u32) -> Result<(), String> {
    let _held = work.lock_vm(id).await?;
    work.pause(work.cluster.config.times.config_ms).await;
    let mut world = work.world();
    let vm = world.vm(&work.node, id).map_err(|failure| failure.reason)?.clone();
    let mut config = vm.config.clone();
    for (key, mut drive) in vm.drives().filter(|(_, drive)| !drive.is_cdrom()) {
        let old = drive.volume().to_owned();
        let new = old.replace(&format!("vm-{id}-"), &format!("base-{id}-"));
        let name = new.split_once(':').map_or(new.as_str(), |(_, name)| name).to_owned();
        let volumes = world.volumes.iter_mut();
        for volume in volumes.filter(|volume| volume.id() == old && volume.is_on(&work.node)) {
            volume.name.clone_from(&name);
        }
        drive.first = Some(new);
        config.insert(key.into(), drive.to_string());
    }
    config.insert("template".into(), "1".into());
    world.vm_mut(&work.node, id).map_err(|failure| failure.reason)?.config = config;
    Ok(())
}

/// Makes the volumes that a configuration asks for, as `local-lvm:8`, and writes down what they became.
pub(super) fn allocate_drives(
    world: &mut World,
    node: &str,
    id: u32,
    options: &mut [(String, String)],
    now_s: u64,
) -> Result<Vec<String>, String> {
    let mut made = Vec::new();
    for (key, value) in options.iter_mut().filter(|(key, _)| is_drive(key)) {
        let mut drive = Properties::parse(value);
        let volume = drive.volume().to_owned();
        if volume == "none" || volume == "cdrom" {
            continue;
        }
        let (storage, size, stem) = if let Some(storage) = volume.strip_suffix(":cloudinit") {
            (storage.to_owned(), 4 << 20, "cloudinit")
        } else if let Some((storage, gib)) = drive.wanted() {
            (storage.to_owned(), bytes(gib), "disk")
        } else {
            let found = world.volume(node, &volume);
            let found = found.ok_or_else(|| format!("volume '{volume}' does not exist"))?;
            drive.set("size", crate::params::size_text(found.size));
            *value = drive.to_string();
            continue;
        };
        let storage = storage.as_str();
        let wish = Wish { node, storage, vm: id, size, stem, parent: None, now_s };
        let new = world.allocate(&wish).map_err(|text| format!("{key}: {text}"))?;
        drive.pairs.retain(|(name, _)| name != "file");
        drive.first = Some(new.clone());
        if stem == "cloudinit" {
            drive.set("media", "cdrom");
        }
        drive.set("size", crate::params::size_text(size));
        *value = drive.to_string();
        made.push(new);
    }
    Ok(made)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes of disks are small"
)]
fn bytes(gib: f64) -> u64 {
    (gib * f64::from(1u32 << 30)) as u64
}
