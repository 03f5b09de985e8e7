//! A node of the host cluster: containerd, kubelet, kube-proxy and the enforcer of
//! network policies, in namespaces of its own on this machine's kernel. A `k3s` binary
//! takes the place of the first three.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::catalogue::Written;
use crate::cgroups;
use crate::context::Context;
use crate::imported;
use crate::layout::{Layout, write_json};
use crate::mounts;
use crate::network::{DNS_SERVICE, FIRST, Node, PODS, SWITCH_ADDRESS};
use crate::part::{Check, Part};
use crate::plan::Plan;

/// Where a containerd keeps its things.
#[derive(Debug)]
pub(crate) struct Runtime {
    pub(crate) root: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) socket: PathBuf,
}

/// Makes the node's mount namespace and writes what does not depend on who runs it.
pub(crate) fn prepare(layout: &Layout, node: &Node) -> Result<()> {
    let folder = layout.node(node.name);
    std::fs::create_dir_all(folder.join("cni"))?;
    std::fs::write(folder.join("resolv.conf"), format!("nameserver {SWITCH_ADDRESS}\n"))?;
    write_json(&folder.join("cni/10-lab.conflist"), &pod_network(node))?;
    mounts::create_namespace(layout, node.name)
}

/// Writes the configuration of the node's parts.
pub(crate) fn prepare_parts(layout: &Layout, plan: &Plan, node: &Node) -> Result<()> {
    let folder = layout.node(node.name);
    let runtime = Runtime {
        root: folder.join("containerd"),
        state: "/run/containerd".into(),
        socket: containerd_socket(layout, node),
    };
    let containerd = containerd_config(layout, plan, node, &runtime)?;
    std::fs::write(folder.join("containerd.toml"), containerd)?;
    write_json(&folder.join("kubelet.json"), &kubelet_config(layout, node))?;
    write_json(&folder.join("kube-proxy.json"), &kube_proxy_config(layout, node, node.address))?;
    let store = plan.store.as_ref().context("the images are imported")?;
    imported::link(store, &runtime.root)
}

fn containerd_socket(layout: &Layout, node: &Node) -> PathBuf {
    layout.node(node.name).join("containerd.sock")
}

pub(crate) fn containerd(layout: &Layout, node: &Node) -> Part {
    let part = part(layout, "containerd", node)
        .path("--config", layout.node(node.name).join("containerd.toml"))
        .check(Check::Unix(containerd_socket(layout, node)));
    // It finds its shim by the path.
    with_programs(layout, Part { mounts: Some(mounts::namespace(layout, node.name)), ..part })
}

pub(crate) fn kubelet(layout: &Layout, node: &Node) -> Part {
    let folder = layout.node(node.name);
    let part = part(layout, "kubelet", node)
        .path("--config", folder.join("kubelet.json"))
        .path("--kubeconfig", layout.kubeconfig(&format!("kubelet-{}", node.name)))
        .flag("--hostname-override", node.name)
        .flag("--node-ip", node.address.to_string())
        .path("--root-dir", folder.join("kubelet"))
        .path("--cert-dir", folder.join("kubelet/pki"))
        .check(Check::Http(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 10248), "/healthz"));
    Part { mounts: Some(mounts::namespace(layout, node.name)), ..part }
}

pub(crate) fn node_proxy(layout: &Layout, node: &Node) -> Part {
    kube_proxy(layout, node.name, node.namespace, node.address)
}

/// A kube-proxy; its configuration lies in the folder of the node it is named after.
pub(crate) fn kube_proxy(
    layout: &Layout,
    name: &str,
    namespace: &'static str,
    address: Ipv4Addr,
) -> Part {
    let part = Part::new(format!("kube-proxy-{name}"), namespace, layout.program("kube-proxy"))
        .path("--config", layout.node(name).join("kube-proxy.json"))
        .check(Check::Http(SocketAddr::new(address.into(), 10256), "/livez"));
    with_programs(layout, part)
}

pub(crate) fn network_policy(layout: &Layout, node: &Node) -> Part {
    let part = part(layout, "network-policy", node)
        .path("--kubeconfig", layout.kubeconfig("admin"))
        .flag("--node", node.name)
        .path("--nft", layout.program("nft"))
        .check(Check::Http(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 10360), "/healthz"));
    with_programs(layout, part)
}

/// Imports the images that the node lacks.
pub(crate) fn import(cx: &Context, node: &Node, images: &[Written]) -> Result<()> {
    let layout = &cx.layout;
    imported::import(&cx.cancel, &layout.program("ctr"), &containerd_socket(layout, node), images)
        .with_context(|| format!("import images to {}", node.name))
}

fn part(layout: &Layout, program: &str, node: &Node) -> Part {
    Part::new(format!("{program}-{}", node.name), node.namespace, layout.program(program))
}

/// Lets the part find the lab's programs by their names.
pub(crate) fn with_programs(layout: &Layout, part: Part) -> Part {
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", layout.state.join("bin").display());
    part.env("PATH", path)
}

/// Every pod has a routed link of its own (`ptp`), so that the packet filter sees what
/// two pods of one node say to each other.
fn pod_network(node: &Node) -> serde_json::Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "lab",
        "plugins": [{
            "type": "ptp",
            "mtu": 1500,
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "dataDir": "/var/lib/cni/networks",
                "ranges": [[{"subnet": node.pods}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
}

pub(crate) fn containerd_config(
    layout: &Layout,
    plan: &Plan,
    node: &Node,
    runtime: &Runtime,
) -> Result<String> {
    let folder = layout.node(node.name);
    let text = include_str!("../templates/containerd.toml");
    let quoted = |path: &Path| serde_json::to_string(path).context("paths are text");
    let values = [
        ("ROOT", quoted(&runtime.root)?),
        ("STATE", quoted(&runtime.state)?),
        ("OPT", quoted(&folder.join("opt"))?),
        ("SOCKET", quoted(&runtime.socket)?),
        ("TTRPC", quoted(&runtime.state.join("containerd.sock.ttrpc"))?),
        ("PAUSE", serde_json::to_string(&plan.image("pause")?.reference)?),
        ("RUNC", quoted(&layout.program("runc"))?),
        ("CNI_PLUGINS", quoted(&plan.tools.join("usr/lib/cni"))?),
        ("CNI_CONFIG", quoted(&folder.join("cni"))?),
    ];
    let fill =
        |text: String, (name, value): &(&str, String)| text.replace(&format!("@{name}@"), value);
    Ok(values.iter().fold(text.to_owned(), fill))
}

/// The whole configuration of a kubelet that is a part.
fn kubelet_config(layout: &Layout, node: &Node) -> serde_json::Value {
    let socket = containerd_socket(layout, node);
    let mut config = kubelet_settings(layout, node);
    config["containerRuntimeEndpoint"] = json!(format!("unix://{}", socket.display()));
    config["authentication"] = json!({
        "anonymous": {"enabled": false},
        "webhook": {"enabled": true},
        "x509": {"clientCAFile": layout.pki("ca.crt")},
    });
    config["authorization"] = json!({"mode": "Webhook"});
    config
}

/// What the lab wants of every kubelet, whoever runs it.
pub(crate) fn kubelet_settings(layout: &Layout, node: &Node) -> serde_json::Value {
    let folder = layout.node(node.name);
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroups::node(node.name),
        "failCgroupV1": false,
        "failSwapOn": false,
        // Not every root may lower it.
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": false,
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "resolvConf": folder.join("resolv.conf"),
        // The API server fetches logs through the kubelet, not from these files.
        "podLogsDir": folder.join("pod-logs"),
        "volumePluginDir": folder.join("volume-plugins"),
        "podCIDR": node.pods,
        "maxPods": 110,
        "enforceNodeAllocatable": ["pods"],
        "serializeImagePulls": false,
        // Images cannot be pulled again.
        "imageGCHighThresholdPercent": 100,
        // Not in percent: the machine's disk may be large, full of other things, and
        // have much more room than a lab needs.
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "200Mi",
            "imagefs.available": "200Mi",
            "nodefs.inodesFree": "1%",
        },
    })
}

/// Writes the configuration of a kube-proxy that is on no node. It goes by the name of
/// the first one: without a Node of its name it would wait half a minute for it.
pub(crate) fn prepare_proxy(layout: &Layout, name: &str, address: Ipv4Addr) -> Result<()> {
    let folder = layout.node(name);
    std::fs::create_dir_all(&folder)?;
    write_json(&folder.join("kube-proxy.json"), &kube_proxy_config(layout, &FIRST, address))
}

fn kube_proxy_config(layout: &Layout, node: &Node, address: Ipv4Addr) -> serde_json::Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": node.name,
        "clientConnection": {"kubeconfig": layout.kubeconfig("kube-proxy")},
        "clusterCIDR": PODS,
        "bindAddress": IpAddr::V4(address),
        "healthzBindAddress": SocketAddr::new(address.into(), 10256),
        "metricsBindAddress": "127.0.0.1:10249",
        "oomScoreAdj": 0,
        // The machine's own limits stay as they are.
        "conntrack": {"maxPerCore": 0},
    })
}
