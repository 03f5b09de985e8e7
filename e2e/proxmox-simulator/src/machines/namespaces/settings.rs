//! What machines are made of here: one file that whoever runs the host cluster writes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Programs, places and networks. Nothing in it says how a machine joins: that is on its CD.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where machines keep their disks; made if it is missing.
    pub folder: PathBuf,
    /// Folders below `/var/lib` and the like that machines must still see: programs, images, `folder`.
    pub kept: Vec<PathBuf>,
    pub programs: Programs,
    /// Where parts look for programs, beside the usual folders: the shim of containerd lies there.
    #[serde(default)]
    pub path: Vec<PathBuf>,
    /// The folder of the pod network's plugins; `ptp`, `host-local` and `loopback` are used.
    pub cni_plugins: PathBuf,
    /// A store of containerd with images in it, linked into every new machine.
    #[serde(default)]
    pub image_store: Option<PathBuf>,
    /// Archives of images that a machine imports if it lacks them.
    #[serde(default)]
    pub images: Vec<Image>,
    pub pause_image: String,
    /// Where the cables of machines lead, by the name of the bridge in the VM's configuration.
    pub switches: BTreeMap<String, Switch>,
    /// The network of a machine's pods, where `{host}` is the last number of its address.
    pub pods: String,
    /// The network of all pods.
    pub cluster_pods: String,
    pub cluster_dns: Ipv4Addr,
    #[serde(default = "domain")]
    pub cluster_domain: String,
    /// The authority of the host cluster, for servers that do not give it (`/cacerts`).
    pub authority: PathBuf,
    /// Whose rights kube-proxy has; K3s fetches its own with the token, other servers give none.
    #[serde(default)]
    pub kube_proxy_kubeconfig: Option<PathBuf>,
    #[serde(default)]
    pub network_policy_kubeconfig: Option<PathBuf>,
    /// Others who reach pods by routes: the nodes that are no machines, and who else talks to pods.
    #[serde(default)]
    pub peers: Vec<Peer>,
    /// The control group below which machines get theirs.
    #[serde(default = "group")]
    pub cgroup: String,
    /// How many machines may run at once.
    #[serde(default = "most")]
    pub most: usize,
}

/// Paths of programs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Programs {
    pub containerd: PathBuf,
    pub ctr: PathBuf,
    pub runc: PathBuf,
    pub kubelet: PathBuf,
    #[serde(default)]
    pub kube_proxy: Option<PathBuf>,
    /// Called with `--kubeconfig`, `--node` and `--nft`.
    #[serde(default)]
    pub network_policy: Option<PathBuf>,
    #[serde(default)]
    pub nft: Option<PathBuf>,
}

/// An image in a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    pub reference: String,
    pub archive: PathBuf,
}

/// A bridge in a network namespace.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    /// As `ip netns` knows it.
    pub namespace: String,
    pub bridge: String,
}

/// A network namespace with routes to pods.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    pub namespace: String,
    /// Where its own pods are, if it has any.
    #[serde(default)]
    pub pods: Option<Route>,
}

/// Pods behind an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    pub network: String,
    pub via: Ipv4Addr,
}

fn domain() -> String {
    "cluster.local".into()
}

fn group() -> String {
    "/proxmox-simulator".into()
}

fn most() -> usize {
    8
}

impl Settings {
    /// The network of the pods of a machine with this address.
    pub(crate) fn pods_of(&self, address: Ipv4Addr) -> String {
        let [.., host] = address.octets();
        self.pods.replace("{host}", &host.to_string())
    }

    /// Where a machine keeps its disk.
    pub(crate) fn disk(&self, vm: u32) -> PathBuf {
        self.folder.join(format!("vm-{vm}"))
    }

    /// The control group of a machine's pods, as the kubelet names it.
    pub(crate) fn pods_group(&self, vm: u32) -> String {
        format!("{}/vm-{vm}", self.cgroup.trim_end_matches('/'))
    }

    /// The control group of a machine's own processes.
    pub(crate) fn parts_group(&self, vm: u32) -> String {
        format!("{}-parts", self.pods_group(vm))
    }
}

/// The name of the switch's end of a machine's cable.
pub(crate) fn port(vm: u32) -> String {
    format!("vm{vm}")
}
