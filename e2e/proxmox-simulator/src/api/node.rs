//! `/nodes`: the machines of the cluster.

use serde_json::{Value, json};

use super::{Call, Rights, Route, now};
use crate::failure::Failure;
use crate::http::answer::Reply;
use crate::params::{Kind, optional};
use crate::world::World;

pub(crate) fn routes() -> Vec<Route> {
    let audit = Rights::Need("/nodes/{node}", &["Sys.Audit"]);
    vec![
        now("GET", "/nodes", Rights::All, &[], list),
        now("GET", "/nodes/{node}/status", audit, &[], status),
        now("GET", "/nodes/{node}/version", Rights::All, &[], version),
        now(
            "GET",
            "/nodes/{node}/network",
            Rights::All,
            const { &[optional("type", Kind::Text)] },
            network,
        ),
    ]
}

/// A node as lists show it; more to those who may audit it.
pub(crate) fn entry(call: &Call, world: &World, name: &str, id: &str) -> Value {
    let Some(node) = world.nodes.get(name) else { return Value::Null };
    let mut entry = json!({
        "id": format!("node/{name}"),
        "type": "node",
        "node": name,
        "status": if node.is_online { "online" } else { "offline" },
    });
    if id == "node" {
        entry["ssl_fingerprint"] = json!(node.fingerprint);
    }
    if node.is_online && world.may(&call.actor, &format!("/nodes/{name}"), "Sys.Audit") {
        entry["cpu"] = json!(0.07);
        entry["maxcpu"] = json!(node.cores);
        entry["mem"] = json!(used_memory(world, name));
        entry["maxmem"] = json!(node.memory_mib << 20);
        entry["uptime"] = json!(call.now_s().saturating_sub(node.booted_s));
        entry["level"] = json!("");
    }
    entry
}

fn used_memory(world: &World, node: &str) -> u64 {
    let running = world.vms.values().filter(|vm| vm.node == node && vm.run.is_some());
    let of_vms: u64 = running.map(crate::world::vm::Vm::memory_mib).sum();
    (2048 + of_vms) << 20
}

#[expect(clippy::unnecessary_wraps, reason = "is a handler")]
fn list(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let nodes = world.nodes.keys().map(|name| entry(call, &world, name, "node"));
    Ok(nodes.collect::<Value>().into())
}

fn status(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let name = call.node();
    let node = world.nodes.get(name).ok_or_else(|| Failure::internal("no such cluster node"))?;
    let total = node.memory_mib << 20;
    let used = used_memory(&world, name);
    let disk = 100u64 << 30;
    let (version, _, repository) = call.release().names();
    Ok(json!({
        "uptime": call.now_s().saturating_sub(node.booted_s),
        "loadavg": ["0.10", "0.21", "0.30"],
        "cpu": 0.07,
        "wait": 0,
        "idle": 0,
        "memory": {"total": total, "used": used, "free": total.saturating_sub(used)},
        "swap": {"total": 0, "used": 0, "free": 0},
        "rootfs": {"total": disk, "used": disk / 4, "avail": disk / 4 * 3, "free": disk / 4 * 3},
        "cpuinfo": {
            "cpus": node.cores, "cores": node.cores, "sockets": 1, "model": "Simulated CPU",
            "mhz": "2400.000", "hvm": "1", "user_hz": 100, "flags": "",
        },
        "kversion": "Linux 6.14.11-1-pve",
        "pveversion": format!("pve-manager/{version}/{repository}"),
    })
    .into())
}

#[expect(clippy::unnecessary_wraps, reason = "is a handler")]
fn version(call: &Call) -> Result<Reply, Failure> {
    let (version, release, repository) = call.release().names();
    Ok(json!({"version": version, "release": release, "repoid": repository}).into())
}

/// The bridges that the caller may use.
#[expect(clippy::unnecessary_wraps, reason = "is a handler")]
fn network(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let audits = world.may(&call.actor, &format!("/nodes/{}", call.node()), "Sys.Audit");
    let may_use = |bridge: &str| {
        let path = format!("/sdn/zones/localnetwork/{bridge}");
        !call.release().guards_bridges() || audits || world.may(&call.actor, &path, "SDN.Use")
    };
    let bridges = world.bridges.iter().filter(|bridge| may_use(bridge)).map(|bridge| {
        json!({"iface": bridge, "type": "bridge", "active": 1, "autostart": 1, "method": "manual"})
    });
    Ok(bridges.collect::<Value>().into())
}
