//! `…/status/…`: on and off.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Call, Rights, Route, now};
use crate::config::ms;
use crate::failure::Failure;
use crate::fault::Moment;
use crate::http::answer::Reply;
use crate::machines::{Card, Hardware};
use crate::option::drive::Properties;
use crate::option::text::mac;
use crate::params::{Kind, Parameter, optional};
use crate::task::work::Work;
use crate::world::World;
use crate::world::vm::{Run, Vm};

/// How long a guest may take to shut down, unless the call says otherwise.
const SHUTDOWN_S: i64 = 60;
/// How often it is looked whether it did.
const LOOK: Duration = Duration::from_millis(250);

const TIME: Kind = Kind::Integer(0, i64::MAX);
const START: [Parameter; 5] = [
    optional("timeout", TIME),
    optional("skiplock", Kind::Boolean),
    optional("stateuri", Kind::Text),
    optional("machine", Kind::Text),
    optional("force-cpu", Kind::Text),
];
const STOP: [Parameter; 4] = [
    optional("timeout", TIME),
    optional("skiplock", Kind::Boolean),
    optional("keepActive", Kind::Boolean),
    optional("overrule-shutdown", Kind::Boolean),
];
const SHUTDOWN: [Parameter; 4] = [
    optional("timeout", TIME),
    optional("skiplock", Kind::Boolean),
    optional("keepActive", Kind::Boolean),
    optional("forceStop", Kind::Boolean),
];
const REBOOT: [Parameter; 1] = [optional("timeout", TIME)];
const RESET: [Parameter; 1] = [optional("skiplock", Kind::Boolean)];

pub(crate) fn routes() -> Vec<Route> {
    let right = Rights::Need("/vms/{vmid}", &["VM.PowerMgmt"]);
    vec![
        now("POST", "/nodes/{node}/qemu/{vmid}/status/start", right, &START, start),
        now("POST", "/nodes/{node}/qemu/{vmid}/status/stop", right, &STOP, stop),
        now("POST", "/nodes/{node}/qemu/{vmid}/status/shutdown", right, &SHUTDOWN, shutdown),
        now("POST", "/nodes/{node}/qemu/{vmid}/status/reboot", right, &REBOOT, reboot),
        now("POST", "/nodes/{node}/qemu/{vmid}/status/reset", right, &RESET, reset),
    ]
}

fn start(call: &Call) -> Result<Reply, Failure> {
    call.keep_for_root(&["skiplock", "stateuri", "machine"])?;
    let id = call.vm();
    call.start("qmstart", &id.to_string(), |work| async move {
        let _held = work.lock_vm(id).await?;
        turn_on(&work, id).await
    })
}

fn stop(call: &Call) -> Result<Reply, Failure> {
    call.keep_for_root(&["skiplock", "keepActive"])?;
    if call.params.has("overrule-shutdown") && !call.release().has_overrule() {
        let text =
            "property is not defined in schema and the schema does not allow additional properties";
        return Err(Failure::parameter("overrule-shutdown", text));
    }
    let id = call.vm();
    call.start("qmstop", &id.to_string(), |work| async move {
        let _held = work.lock_vm(id).await?;
        check(&work, id)?;
        work.pause(work.cluster.config.times.stop_ms).await;
        work.reach(Moment::Middle)?;
        turn_off(&work, id).await
    })
}

fn shutdown(call: &Call) -> Result<Reply, Failure> {
    call.keep_for_root(&["skiplock", "keepActive"])?;
    let id = call.vm();
    let patience = patience(call);
    let is_forced = call.params.is_set("forceStop");
    call.start("qmshutdown", &id.to_string(), move |work| async move {
        let _held = work.lock_vm(id).await?;
        check(&work, id)?;
        shut_down(&work, id, patience, is_forced).await
    })
}

fn reboot(call: &Call) -> Result<Reply, Failure> {
    let id = call.vm();
    let patience = patience(call);
    {
        let world = call.cluster.world();
        if world.vm(call.node(), id)?.run.is_none() {
            return Err(Failure::internal(format!("VM {id} not running")));
        }
    }
    call.start("qmreboot", &id.to_string(), move |work| async move {
        let _held = work.lock_vm(id).await?;
        check(&work, id)?;
        shut_down(&work, id, patience, false).await?;
        turn_on(&work, id).await
    })
}

fn reset(call: &Call) -> Result<Reply, Failure> {
    call.keep_for_root(&["skiplock"])?;
    let id = call.vm();
    call.start("qmreset", &id.to_string(), |work| async move {
        let _held = work.lock_vm(id).await?;
        check(&work, id)?;
        if !work.cluster.machines.is_running(id) {
            return Err(format!("VM {id} not running"));
        }
        let hardware = hardware(&work, id)?;
        let machines = &work.cluster.machines;
        machines.stop(id).await.map_err(|error| error.to_string())?;
        machines.start(hardware).await.map_err(|error| error.to_string())
    })
}

fn patience(call: &Call) -> Duration {
    let seconds = call.params.number("timeout").unwrap_or(SHUTDOWN_S);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// What every one of these tasks looks at first.
fn check(work: &Work, id: u32) -> Result<(), String> {
    let world = work.world();
    world.vm(&work.node, id).map_err(|failure| failure.reason)?.check_lock()
}

async fn turn_on(work: &Work, id: u32) -> Result<(), String> {
    check(work, id)?;
    {
        let mut world = work.world();
        let vm = world.vm(&work.node, id).map_err(|failure| failure.reason)?;
        if vm.run.is_some() {
            return Err(format!("VM {id} already running"));
        }
        if vm.is_template() {
            return Err("you can't start a vm if it's a template".into());
        }
        check_parts(&world, &work.node, vm)?;
        world.vm_mut(&work.node, id).map_err(|failure| failure.reason)?.apply_pending();
    }
    work.pause(work.cluster.config.times.start_ms).await;
    work.reach(Moment::Middle)?;
    let hardware = hardware(work, id)?;
    work.cluster.machines.start(hardware).await.map_err(|error| error.to_string())?;
    let since_s = work.cluster.clock.unix_s();
    let mut world = work.world();
    let vm = world.vm_mut(&work.node, id).map_err(|failure| failure.reason)?;
    vm.run = Some(Run { since_s, pid: 10_000 + id % 20_000 });
    Ok(())
}

async fn turn_off(work: &Work, id: u32) -> Result<(), String> {
    work.cluster.machines.stop(id).await.map_err(|error| error.to_string())?;
    if let Some(vm) = work.world().vms.get_mut(&id) {
        vm.run = None;
    }
    Ok(())
}

async fn shut_down(
    work: &Work,
    id: u32,
    patience: Duration,
    is_forced: bool,
) -> Result<(), String> {
    let machines = &work.cluster.machines;
    if !machines.is_running(id) {
        return turn_off(work, id).await;
    }
    let is_deaf = work.world().deaf.contains(&id);
    if !is_deaf {
        machines.shut_down(id).await.map_err(|error| error.to_string())?;
    }
    work.reach(Moment::Middle)?;
    let end = Instant::now() + patience;
    while machines.is_running(id) {
        if Instant::now() >= end {
            if !is_forced {
                return Err("VM quit/powerdown failed - got timeout".into());
            }
            work.log("VM still running - terminating now with SIGTERM");
            work.pause(work.cluster.config.times.stop_ms).await;
            break;
        }
        tokio::time::sleep(LOOK.min(patience).max(ms(1))).await;
    }
    turn_off(work, id).await
}

/// Whether all is there that a start needs.
fn check_parts(world: &World, node: &str, vm: &Vm) -> Result<(), String> {
    let options = vm.options(true);
    for (key, value) in &options {
        if crate::option::drive::is_drive(key) {
            let drive = Properties::parse(value);
            let volume = drive.volume();
            let is_empty = ["none", "cdrom", ""].contains(&volume);
            if !is_empty && world.volume(node, volume).is_none() {
                return Err(format!("volume '{volume}' does not exist"));
            }
        }
        if key.starts_with("net")
            && let Some(bridge) = Properties::parse(value).get("bridge")
            && !world.bridges.iter().any(|known| known == bridge)
        {
            return Err(format!("bridge '{bridge}' does not exist"));
        }
        if key == "cicustom" {
            for (_, volume) in Properties::parse(value).pairs {
                if world.volume(node, &volume).is_none() {
                    return Err(format!("volume '{volume}' does not exist"));
                }
            }
        }
    }
    Ok(())
}

fn hardware(work: &Work, id: u32) -> Result<Hardware, String> {
    let world = work.world();
    let vm = world.vm(&work.node, id).map_err(|failure| failure.reason)?;
    Ok(describe(&world, id, vm, |node, volume| work.cluster.images.get(node, volume)))
}

/// The machine that a VM is.
pub(crate) fn describe(
    world: &World,
    id: u32,
    vm: &Vm,
    image: impl Fn(&str, &str) -> Option<Arc<Vec<u8>>>,
) -> Hardware {
    let cards =
        vm.config.iter().filter(|(key, _)| key.starts_with("net")).filter_map(|(key, text)| {
            let bridge = Properties::parse(text).get("bridge").unwrap_or_default().to_owned();
            Some(Card { key: key.clone(), mac: mac(text)?, bridge })
        });
    let mut cds = vm.drives().filter(|(_, drive)| drive.is_cdrom() && !drive.is_cloudinit());
    let cd = cds.find_map(|(_, drive)| {
        let volume = world.volume(&vm.node, drive.volume())?;
        image(volume.node.as_deref().unwrap_or_default(), &volume.id())
    });
    let ip_configs = vm.config.iter().filter(|(key, _)| key.starts_with("ipconfig"));
    let ip_configs: BTreeMap<_, _> =
        ip_configs.map(|(key, value)| (key.clone(), value.clone())).collect();
    Hardware {
        vm: id,
        name: vm.name().to_owned(),
        node: vm.node.clone(),
        cores: vm.cores(),
        memory_mib: vm.memory_mib(),
        disk_bytes: vm.disk_bytes(),
        uuid: vm.uuid(),
        cards: cards.collect(),
        cd,
        ip_configs,
    }
}
