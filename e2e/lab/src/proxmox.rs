//! A simulated cluster of Proxmox VE whose machines are nodes of the lab's host cluster, as a part of the lab.
//!
//! It runs beside Warren. Its machines hang on the lab's switch with addresses from 25.77.0.101 on.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::cgroups;
use crate::layout::{Layout, write_json};
use crate::network::{
    CONTROL, CONTROL_ADDRESS, DNS_SERVICE, FIRST, NODES, PODS, SWITCH, SWITCH_ADDRESS,
};
use crate::part::{Check, Part};
use crate::plan::Plan;

/// Its nodes, the template of each, and where the API of each listens.
const MEMBERS: [(&str, u32, u16); 3] =
    [("pve1", 9000, 8006), ("pve2", 9001, 8007), ("pve3", 9002, 8008)];
/// The user that Warren is to it, and that user's token.
const USER: &str = "warren@pve";
const TOKEN: &str = "control";
/// What a token needs, and not more; where.
const RIGHTS: [(&str, &str); 7] = [
    ("/vms/9000", "VM.Clone,VM.Audit"),
    ("/vms/9001", "VM.Clone,VM.Audit"),
    ("/vms/9002", "VM.Clone,VM.Audit"),
    (
        "/pool/warren",
        "VM.Allocate,VM.Audit,VM.PowerMgmt,VM.Config.CPU,VM.Config.Memory,VM.Config.Network,VM.Config.Disk,\
         VM.Config.Cloudinit,VM.Config.Options,VM.Config.CDROM,VM.Config.HWType,Pool.Audit",
    ),
    (
        "/storage/local",
        "Datastore.Allocate,Datastore.AllocateSpace,Datastore.AllocateTemplate,Datastore.Audit",
    ),
    ("/storage/local-lvm", "Datastore.AllocateSpace,Datastore.Audit"),
    ("/sdn/zones/localnetwork/vmbr0", "SDN.Use"),
];

fn folder(layout: &Layout) -> PathBuf {
    layout.state.join("proxmox")
}

fn token_file(layout: &Layout) -> PathBuf {
    folder(layout).join("token")
}

/// Where a person or a test tells it what is to go wrong.
pub(crate) fn control_socket(layout: &Layout) -> PathBuf {
    folder(layout).join("control.sock")
}

fn listens() -> impl Iterator<Item = SocketAddr> {
    MEMBERS.iter().map(|(.., port)| SocketAddr::new(CONTROL_ADDRESS.into(), *port))
}

/// Writes its configuration.
pub(crate) fn prepare(layout: &Layout, plan: &Plan) -> Result<()> {
    let folder = folder(layout);
    std::fs::create_dir_all(&folder)?;
    let secret = "5f1b6f6e-0d5e-4c57-9f39-6b1a4d5c7e21";
    crate::certificates::write_secret(&token_file(layout), secret)?;
    write_json(&folder.join("cluster.json"), &cluster(layout, secret))?;
    write_json(&folder.join("machines.json"), &machines(layout, plan)?)
}

fn cluster(layout: &Layout, secret: &str) -> Value {
    let nodes = MEMBERS
        .iter()
        .zip(listens())
        .map(|((name, ..), listen)| json!({"name": name, "listen": listen}));
    let templates = MEMBERS.iter().map(|(name, id, _)| {
        json!({"id": id, "name": format!("k3s-node-{id}"), "node": name, "storage": "local-lvm", "disk_gib": 4})
    });
    let token = format!("{USER}!{TOKEN}");
    let entries = RIGHTS.iter().flat_map(|(path, role)| {
        [USER, token.as_str()].map(|who| json!({"path": path, "who": who, "role": role}))
    });
    json!({
        "name": "lab",
        "nodes": nodes.collect::<Vec<_>>(),
        "storages": [
            {"name": "local", "kind": "dir", "content": ["iso", "vztmpl"], "size_gib": 100},
            {"name": "local-lvm", "kind": "lvmthin", "content": ["images"], "size_gib": 4000},
        ],
        "bridges": ["vmbr0"],
        "templates": templates.collect::<Vec<_>>(),
        "pools": ["warren"],
        "users": [
            {"name": USER, "tokens": [{"id": TOKEN, "secret": secret, "is_separate": true}]},
            {"name": "root@pam", "tokens": [{"id": "test", "secret": secret}]},
        ],
        "entries": entries.collect::<Vec<_>>(),
        "folder": folder(layout).join("state"),
    })
}

/// What its machines are made of: the lab's own programs, images and networks.
fn machines(layout: &Layout, plan: &Plan) -> Result<Value> {
    let program = |name: &str| layout.program(name);
    let images = plan
        .images
        .iter()
        .map(|image| json!({"reference": image.reference, "archive": image.archive}));
    let nodes = NODES.iter().map(|node| {
        json!({"namespace": node.namespace, "pods": {"network": node.pods, "via": node.address}})
    });
    Ok(json!({
        "folder": folder(layout).join("disks"),
        "kept": [layout.state, layout.cache],
        "programs": {
            "containerd": program("containerd"), "ctr": program("ctr"), "runc": program("runc"),
            "kubelet": program("kubelet"), "kube_proxy": program("kube-proxy"),
            "network_policy": program("network-policy"), "nft": program("nft"),
        },
        "path": [layout.state.join("bin")],
        "cni_plugins": plan.tools.join("usr/lib/cni"),
        "image_store": plan.store,
        "images": images.collect::<Vec<_>>(),
        "pause_image": plan.image("pause")?.reference,
        "switches": {"vmbr0": {"namespace": SWITCH, "bridge": "bridge0"}},
        "pods": "10.78.{host}.0/24",
        "cluster_pods": PODS,
        "cluster_dns": DNS_SERVICE,
        "authority": layout.pki("ca.crt"),
        "kube_proxy_kubeconfig": layout.kubeconfig("kube-proxy"),
        "network_policy_kubeconfig": layout.kubeconfig("admin"),
        "peers": nodes.chain([json!({"namespace": CONTROL})]).collect::<Vec<_>>(),
        "cgroup": cgroups::node("machines"),
    }))
}

/// The section of Warren's configuration.
pub(crate) fn section(layout: &Layout) -> Result<String> {
    let text =
        |path: &Path| path.to_str().map(str::to_owned).context("paths of the state are text");
    let hosts: Vec<String> = listens().map(|address| format!("\"https://{address}\"")).collect();
    let templates: String =
        MEMBERS.iter().fold(String::new(), |all, (name, id, _)| all + &format!("{name} = {id}\n"));
    let own: Vec<String> = NODES.iter().map(|node| format!("\"{}\"", node.name)).collect();
    Ok(format!(
        "\n[proxmox]\n\
         hosts = [{hosts}]\n\
         token_id = \"{USER}!{TOKEN}\"\n\
         token_file = \"{token}\"\n\
         ca_file = \"{authority}\"\n\
         pool = \"warren\"\n\
         seed_storage = \"local\"\n\
         bridge = \"vmbr0\"\n\
         vms = \"1000-1999\"\n\
         join_server = \"https://{first}:6443\"\n\
         own_nodes = [{own}]\n\
         [proxmox.templates]\n{templates}\
         [proxmox.addresses]\n\
         range = \"25.77.0.101-25.77.0.108\"\n\
         prefix = 24\n\
         gateway = \"{SWITCH_ADDRESS}\"\n\
         name_servers = [\"{SWITCH_ADDRESS}\"]\n",
        hosts = hosts.join(", "),
        token = text(&token_file(layout))?,
        authority = text(&folder(layout).join("state/pki/authority.crt"))?,
        first = FIRST.address,
        own = own.join(", "),
    ))
}

pub(crate) fn part(layout: &Layout) -> Part {
    let folder = folder(layout);
    let part = Part::new("proxmox", CONTROL, layout.program("proxmox-simulator"))
        .switch("serve")
        .path("--config", folder.join("cluster.json"))
        .path("--machines", folder.join("machines.json"))
        .path("--control", control_socket(layout))
        .check(Check::All(listens().map(Check::Tcp).collect()));
    Part { stop_limit: Duration::from_secs(15), ..part }
}
