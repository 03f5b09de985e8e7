//! `/version` and `/cluster`: what is known of the whole.

use serde_json::{Map, Value, json};

use super::{Call, Rights, Route, now};
use crate::failure::Failure;
use crate::http::answer::Reply;
use crate::params::{Kind, Parameter, VM_ID, optional};
use crate::world::World;

/// The range from which free ids are given.
const IDS: std::ops::Range<u32> = 100..1_000_000;

const KIND: [Parameter; 1] = [optional("type", Kind::Choice(&["vm", "storage", "node", "sdn"]))];

pub(crate) fn routes() -> Vec<Route> {
    vec![
        now("GET", "/version", Rights::All, &[], version),
        now("GET", "/cluster/status", Rights::Need("/", &["Sys.Audit"]), &[], status),
        now("GET", "/cluster/resources", Rights::All, &KIND, resources),
        now("GET", "/cluster/nextid", Rights::All, const { &[optional("vmid", VM_ID)] }, next_id),
        now("GET", "/cluster/options", Rights::Need("/", &["Sys.Audit"]), &[], options),
        now("GET", "/cluster/tasks", Rights::All, &[], tasks),
    ]
}

#[expect(clippy::unnecessary_wraps, reason = "is a handler")]
fn version(call: &Call) -> Result<Reply, Failure> {
    let (version, release, repository) = call.release().names();
    Ok(json!({"version": version, "release": release, "repoid": repository}).into())
}

#[expect(clippy::unnecessary_wraps, reason = "is a handler")]
fn options(_: &Call) -> Result<Reply, Failure> {
    Ok(json!({"keyboard": "en-us", "mac_prefix": "BC:24:11"}).into())
}

#[expect(clippy::unnecessary_wraps, reason = "is a handler")]
fn status(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let mut list = vec![json!({
        "type": "cluster",
        "id": "cluster",
        "name": world.name,
        "version": world.nodes.len(),
        "nodes": world.nodes.len(),
        "quorate": u8::from(world.has_quorum),
    })];
    for (number, (name, node)) in world.nodes.iter().enumerate() {
        let ip = node.address.rsplit_once(':').map_or("", |(ip, _)| ip);
        list.push(json!({
            "type": "node",
            "id": format!("node/{name}"),
            "name": name,
            "nodeid": number + 1,
            "ip": ip.trim_matches(['[', ']']),
            "online": u8::from(node.is_online),
            "local": u8::from(*name == call.host),
            "level": "",
        }));
    }
    Ok(Value::Array(list).into())
}

fn next_id(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    if let Some(id) = call.params.vm("vmid") {
        return match world.vms.get(&id) {
            None => Ok(Value::String(id.to_string()).into()),
            Some(vm) => {
                let text = format!("VM {id} already exists on node '{}'", vm.node);
                Err(Failure::parameter("vmid", text))
            }
        };
    }
    let free = IDS.clone().find(|id| !world.vms.contains_key(id));
    let free = free.ok_or_else(|| Failure::internal("unable to get any free VMID in range"))?;
    Ok(Value::String(free.to_string()).into())
}

#[expect(clippy::unnecessary_wraps, reason = "is a handler")]
fn tasks(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let sees_all = world.may(&call.actor, "/", "Sys.Audit");
    let own = |user: &str| user == call.actor.name() || user == call.actor.user;
    let tasks = world.tasks.latest().filter(|task| sees_all || own(&task.user)).take(25);
    Ok(tasks.map(crate::task::Task::listed).collect::<Value>().into())
}

#[expect(clippy::unnecessary_wraps, reason = "is a handler")]
fn resources(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let kind = call.params.text("type");
    let wants = |name: &str| kind.is_none_or(|kind| kind == name);
    let mut list = Vec::new();
    if wants("vm") {
        list.extend(vms(call, &world));
    }
    if kind.is_none() {
        let pools = world.pools.keys();
        let seen =
            pools.filter(|pool| world.may(&call.actor, &format!("/pool/{pool}"), "Pool.Audit"));
        list.extend(
            seen.map(|pool| json!({"type": "pool", "id": format!("/pool/{pool}"), "pool": pool})),
        );
    }
    if wants("node") {
        list.extend(world.nodes.keys().map(|node| super::node::entry(call, &world, node, "id")));
    }
    if wants("storage") {
        list.extend(storages(call, &world));
    }
    if wants("sdn") && call.release().guards_bridges() {
        list.extend(world.nodes.keys().map(|node| {
            let id = format!("sdn/{node}/localnetwork");
            json!({"type": "sdn", "id": id, "node": node, "sdn": "localnetwork", "status": "ok"})
        }));
    }
    Ok(Value::Array(list).into())
}

fn vms(call: &Call, world: &World) -> Vec<Value> {
    let audited = world
        .vms
        .iter()
        .filter(|(id, _)| world.may(&call.actor, &format!("/vms/{id}"), "VM.Audit"));
    let entry = |(id, vm): (&u32, &crate::world::vm::Vm)| {
        let is_up = world.nodes.get(&vm.node).is_some_and(|node| node.is_online);
        let mut entry = Map::from_iter([
            ("id".to_owned(), json!(format!("qemu/{id}"))),
            ("type".to_owned(), json!("qemu")),
            ("vmid".to_owned(), json!(id)),
            ("node".to_owned(), json!(vm.node)),
            ("template".to_owned(), json!(u8::from(vm.is_template()))),
        ]);
        if let Some(pool) = world.pool_of(*id) {
            entry.insert("pool".into(), json!(pool));
        }
        if let Some(lock) = vm.lock() {
            entry.insert("lock".into(), json!(lock));
        }
        match world.seen(*id).filter(|_| is_up) {
            None => {
                entry.insert("status".into(), json!("unknown"));
            }
            Some(seen) => {
                let memory = vm.memory_mib() << 20;
                let is_running = seen.status == "running";
                entry.insert("name".into(), json!(seen.name));
                entry.insert("status".into(), json!(seen.status));
                entry.insert("uptime".into(), json!(seen.uptime_s));
                entry.insert("maxcpu".into(), json!(vm.cores()));
                entry.insert("maxmem".into(), json!(memory));
                entry.insert("maxdisk".into(), json!(vm.disk_bytes()));
                entry.insert("mem".into(), json!(if is_running { memory / 2 } else { 0 }));
                entry.insert("cpu".into(), json!(if is_running { 0.05 } else { 0.0 }));
                if let Some(tags) = vm.get("tags") {
                    entry.insert("tags".into(), json!(tags));
                }
            }
        }
        Value::Object(entry)
    };
    audited.map(entry).collect()
}

fn storages(call: &Call, world: &World) -> Vec<Value> {
    let mut list = Vec::new();
    for (name, storage) in &world.storages {
        let path = format!("/storage/{name}");
        let may = |privilege| world.may(&call.actor, &path, privilege);
        if !may("Datastore.Audit") && !may("Datastore.AllocateSpace") {
            continue;
        }
        for (node, state) in world.nodes.iter().filter(|(node, _)| storage.is_on(node)) {
            list.push(json!({
                "id": format!("storage/{node}/{name}"),
                "type": "storage",
                "storage": name,
                "node": node,
                "status": if state.is_online { "available" } else { "unknown" },
                "shared": u8::from(storage.is_shared),
                "plugintype": storage.kind,
                "content": storage.content.join(","),
                "maxdisk": storage.size,
                "disk": world.used(node, name),
            }));
        }
    }
    list
}
