//! Plausible answers to every call, as each release gives them.

use crate::server::{Recorded, Reply};
use serde_json::{Value, json};

pub(crate) fn upid(kind: &str, id: &str) -> String {
    format!("UPID:pve1:0000A1B2:00ABCDEF:6A218FB0:{kind}:{id}:warren@pve!control:")
}

/// An answer that a server of this release could give.
pub(crate) fn plausible(version: &str, request: &Recorded) -> Reply {
    let segments: Vec<&str> = request.path.split('/').skip(1).collect();
    let is_old = version.starts_with('7');
    match (request.method.as_str(), segments.as_slice()) {
        ("GET", ["version"]) => {
            Reply::Data(json!({ "version": version, "release": "1", "repoid": "abc" }))
        }
        ("GET", _) => read(&segments),
        ("PUT", ["nodes", _, "qemu", _, "resize"]) if is_old => Reply::Data(Value::Null),
        ("POST", ["nodes", _, "qemu", _, "agent", "exec"]) => Reply::Data(json!({ "pid": 4711 })),
        ("POST", ["nodes", _, "qemu", _, "agent", "ping"]) => Reply::Data(json!({ "result": {} })),
        ("PUT", ["nodes", _, "qemu", _, "config" | "cloudinit"])
        | ("POST", ["nodes", _, "qemu", _, "agent", _])
        | ("DELETE", ["nodes", _, "tasks", _])
        | (_, ["pools", ..]) => Reply::Data(Value::Null),
        _ => Reply::Data(json!(upid("qmconfig", "120"))),
    }
}

fn read(segments: &[&str]) -> Reply {
    match segments {
        ["access", "permissions"] => {
            Reply::Data(json!({ "/pool/warren": { "VM.Audit": 1, "VM.Allocate": 0 } }))
        }
        ["nodes"] => Reply::Data(json!([
            { "node": "pve1", "status": "online", "ssl_fingerprint": vec!["AB"; 32].join(":"),
              "cpu": 0.25, "maxcpu": 8, "mem": "1024", "maxmem": 4096 },
            { "node": "pve2", "status": "offline" },
        ])),
        ["cluster", "resources"] => Reply::Data(json!([
            { "type": "qemu", "id": "qemu/9000", "vmid": 9000, "node": "pve1", "name": "base", "status": "stopped",
              "template": 1, "tags": "k3s;warren", "pool": "templates", "maxcpu": 2, "maxmem": 2_147_483_648_u64 },
            { "type": "qemu", "id": "qemu/120", "vmid": "120", "node": "pve1", "status": "unknown" },
            { "type": "storage", "id": "storage/pve1/local", "storage": "local", "node": "pve1",
              "status": "available", "shared": 0, "disk": 1, "maxdisk": 2 },
        ])),
        ["cluster", "status"] => Reply::Data(json!([
            { "type": "cluster", "id": "cluster", "name": "lab", "quorate": 1, "nodes": 2, "version": 3 },
            { "type": "node", "id": "node/pve1", "name": "pve1", "ip": "10.0.0.1", "online": 1, "local": 1, "nodeid": 1 },
            { "type": "node", "id": "node/pve2", "name": "pve2", "ip": "10.0.0.2", "online": 0, "local": 0, "nodeid": 2 },
        ])),
        ["cluster", "nextid"] => Reply::Data(json!("100")),
        ["pools"] => Reply::Data(json!([{ "poolid": "warren", "comment": "ours", "members": [] }])),
        ["pools", _] => Reply::Data(json!({ "members": [
            { "id": "qemu/120", "type": "qemu", "vmid": 120, "node": "pve1", "name": "a" },
            { "id": "storage/pve1/local", "type": "storage", "storage": "local", "node": "pve1" },
        ] })),
        ["nodes", _, rest @ ..] => of_node(rest),
        _ => Reply::error(501, "Method not implemented"),
    }
}

fn of_node(segments: &[&str]) -> Reply {
    match segments {
        ["status"] => Reply::Data(json!({
            "uptime": 100, "loadavg": ["0.10", "0.20", "0.30"], "pveversion": "pve-manager/9.2.11",
            "memory": { "total": 4096, "used": 1024, "free": 3072 }, "rootfs": { "total": 10, "used": 5, "free": 5 },
            "cpuinfo": { "cpus": 8, "model": "any" },
        })),
        ["network"] => Reply::Data(json!([
            { "iface": "vmbr0", "type": "bridge", "active": 1, "bridge_vlan_aware": "1" },
        ])),
        ["time"] => {
            Reply::Data(json!({ "time": 1_795_351_201, "localtime": 1, "timezone": "UTC" }))
        }
        ["storage"] => Reply::Data(json!([{
            "storage": "local", "type": "dir", "content": "images,iso,vztmpl", "active": 1, "enabled": 1, "shared": 0,
            "total": 100, "used": 40, "avail": 60, "used_fraction": 0.4,
        }])),
        ["storage", _, "content"] => Reply::Data(json!([
            { "volid": "local:iso/seed-120.iso", "content": "iso", "format": "iso", "size": 374_784, "ctime": 1 },
            { "volid": "local:120/vm-120-disk-0.qcow2", "content": "images", "format": "qcow2", "size": 1, "vmid": 120 },
        ])),
        ["tasks"] => Reply::Data(json!([
            { "upid": upid("qmclone", "9000"), "node": "pve1", "type": "qmclone", "id": "9000", "status": "OK",
              "starttime": 1_780_584_368, "endtime": 1_780_584_372, "user": "warren@pve!control" },
        ])),
        ["tasks", _, "status"] => Reply::Data(json!({ "status": "stopped", "exitstatus": "OK" })),
        ["tasks", _, "log"] => {
            Reply::Whole(json!({ "data": [{ "n": 1, "t": "TASK OK" }], "total": 1 }))
        }
        ["qemu"] => Reply::Data(json!([
            { "vmid": "120", "name": "a", "status": "running", "tags": "warren" },
            { "vmid": 9000, "name": "base", "status": "stopped", "template": 1 },
        ])),
        ["qemu", _, rest @ ..] => of_vm(rest),
        _ => Reply::error(501, "Method not implemented"),
    }
}

fn of_vm(segments: &[&str]) -> Reply {
    match segments {
        ["status", "current"] => Reply::Data(json!({
            "vmid": 120, "name": "a", "status": "running", "qmpstatus": "running", "uptime": 5, "cpus": 2,
            "maxmem": 2_147_483_648_u64, "agent": 1, "tags": "warren", "ha": { "managed": 0 },
        })),
        ["config"] => Reply::Data(json!({
            "name": "a", "cores": 2, "memory": "2048", "agent": "1", "digest": "abc",
            "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0", "scsi0": "local:120/vm-120-disk-0.qcow2,size=32G",
        })),
        ["pending"] => Reply::Data(json!([
            { "key": "cores", "value": 2, "pending": "4" },
            { "key": "memory", "value": "2048" },
        ])),
        ["cloudinit", "dump"] => Reply::Data(json!("#cloud-config\n")),
        ["snapshot"] => Reply::Data(json!([
            { "name": "before", "description": "", "snaptime": 1, "vmstate": 0 },
            { "name": "current", "description": "You are here!", "parent": "before" },
        ])),
        ["agent", "network-get-interfaces"] => Reply::Data(json!({ "result": [
            { "name": "lo", "hardware-address": "00:00:00:00:00:00",
              "ip-addresses": [{ "ip-address": "127.0.0.1", "ip-address-type": "ipv4", "prefix": 8 }] },
            { "name": "eth0", "hardware-address": "bc:24:11:00:00:01",
              "ip-addresses": [{ "ip-address": "10.1.0.7", "ip-address-type": "ipv4", "prefix": 24 }] },
        ] })),
        ["agent", "exec-status"] => Reply::Data(
            json!({ "exited": 1, "exitcode": 0, "out-data": "active\n", "out-truncated": 1 }),
        ),
        _ => Reply::error(501, "Method not implemented"),
    }
}
