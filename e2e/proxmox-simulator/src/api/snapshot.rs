//! `…/snapshot`: configurations that can be gone back to. Their disks are not copied.

use serde_json::{Value, json};

use super::{Call, Rights, Route, now};
use crate::failure::Failure;
use crate::http::answer::Reply;
use crate::params::{Kind, Parameter, optional, required};
use crate::world::vm::Snapshot;

const MAKE: [Parameter; 3] = [
    required("snapname", Kind::Text),
    optional("description", Kind::Text),
    optional("vmstate", Kind::Boolean),
];
const REMOVE: [Parameter; 1] = [optional("force", Kind::Boolean)];
const ROLLBACK: [Parameter; 1] = [optional("start", Kind::Boolean)];

pub(crate) fn routes() -> Vec<Route> {
    let audit = Rights::Need("/vms/{vmid}", &["VM.Audit"]);
    let make_right = Rights::Need("/vms/{vmid}", &["VM.Snapshot"]);
    let back_right = Rights::Any("/vms/{vmid}", &["VM.Snapshot", "VM.Snapshot.Rollback"]);
    let one = "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}";
    let rollback_path = "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/rollback";
    vec![
        now("GET", "/nodes/{node}/qemu/{vmid}/snapshot", audit, &[], list),
        now("POST", "/nodes/{node}/qemu/{vmid}/snapshot", make_right, &MAKE, make),
        now("DELETE", one, make_right, &REMOVE, remove),
        now("POST", rollback_path, back_right, &ROLLBACK, rollback),
    ]
}

fn list(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let vm = world.vm(call.node(), call.vm())?;
    let mut list: Vec<Value> = vm
        .snapshots
        .iter()
        .map(|(name, snapshot)| {
            let mut entry = json!({
                "name": name, "description": snapshot.description,
                "snaptime": snapshot.time_s, "vmstate": 0,
            });
            if let Some(parent) = &snapshot.parent {
                entry["parent"] = json!(parent);
            }
            entry
        })
        .collect();
    let running = u8::from(vm.run.is_some());
    list.push(json!({
        "name": "current", "description": "You are here!", "running": running, "digest": vm.digest(),
    }));
    Ok(Value::Array(list).into())
}

fn make(call: &Call) -> Result<Reply, Failure> {
    let id = call.vm();
    let name = call.params.text("snapname").unwrap_or_default().to_owned();
    let description = call.params.text("description").unwrap_or_default().to_owned();
    if name == "current" {
        return Err(Failure::internal("unable to use snapshot name 'current' (reserved name)"));
    }
    {
        let world = call.cluster.world();
        if world.vm(call.node(), id)?.is_template() {
            return Err(Failure::internal("snapshots of templates are not possible"));
        }
    }
    call.start("qmsnapshot", &id.to_string(), |work| async move {
        let _held = work.lock_vm(id).await?;
        work.pause(work.cluster.config.times.config_ms).await;
        let time_s = work.cluster.clock.unix_s();
        let mut world = work.world();
        let vm = world.vm_mut(&work.node, id).map_err(|failure| failure.reason)?;
        vm.check_lock()?;
        if vm.snapshots.contains_key(&name) {
            return Err(format!("snapshot name '{name}' already used"));
        }
        let parent = vm.config.insert("parent".into(), name.clone());
        let config = vm.config.clone();
        vm.snapshots.insert(name, Snapshot { config, description, time_s, parent });
        Ok(())
    })
}

fn remove(call: &Call) -> Result<Reply, Failure> {
    let id = call.vm();
    let name = call.part("snapname").to_owned();
    call.cluster.world().vm(call.node(), id)?;
    call.start("qmdelsnapshot", &id.to_string(), |work| async move {
        let _held = work.lock_vm(id).await?;
        work.pause(work.cluster.config.times.config_ms).await;
        let mut world = work.world();
        let vm = world.vm_mut(&work.node, id).map_err(|failure| failure.reason)?;
        let gone = vm.snapshots.remove(&name);
        let gone = gone.ok_or_else(|| format!("snapshot '{name}' does not exist"))?;
        if vm.get("parent") == Some(&name) {
            match gone.parent {
                Some(parent) => vm.config.insert("parent".into(), parent),
                None => vm.config.remove("parent"),
            };
        }
        Ok(())
    })
}

fn rollback(call: &Call) -> Result<Reply, Failure> {
    let id = call.vm();
    let name = call.part("snapname").to_owned();
    call.cluster.world().vm(call.node(), id)?;
    call.start("qmrollback", &id.to_string(), |work| async move {
        let _held = work.lock_vm(id).await?;
        work.pause(work.cluster.config.times.config_ms).await;
        // The machine goes off; its memory is not part of a snapshot here.
        work.cluster.machines.stop(id).await.map_err(|error| error.to_string())?;
        let mut world = work.world();
        let vm = world.vm_mut(&work.node, id).map_err(|failure| failure.reason)?;
        let snapshot = vm.snapshots.get(&name);
        let snapshot = snapshot.ok_or_else(|| format!("snapshot '{name}' does not exist"))?;
        vm.config = snapshot.config.clone();
        vm.config.insert("parent".into(), name);
        vm.pending.clear();
        vm.run = None;
        Ok(())
    })
}
