//! The lab's network: namespaces around a switch that leads nowhere.
//!
//! ```text
//! warren-switch   bridge 25.77.0.1/24, no uplink
//! warren-node1    25.77.0.11   the host's control plane and its first node; pods 10.78.1.0/24
//! warren-node2    25.77.0.12   the second node; pods 10.78.2.0/24
//! warren-control  25.77.0.20   Warren
//! ```
//!
//! The nodes' addresses are of a public block, as on hosts that are rented: tenants' pods are kept away from
//! private blocks anyway, and from these only because Warren knows the nodes.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::capture;
use crate::mounts;
use crate::namespace::{FOLDER, within};

pub(crate) const SWITCH: &str = "warren-switch";
pub(crate) const CONTROL: &str = "warren-control";
pub(crate) const SWITCH_ADDRESS: Ipv4Addr = Ipv4Addr::new(25, 77, 0, 1);
pub(crate) const CONTROL_ADDRESS: Ipv4Addr = Ipv4Addr::new(25, 77, 0, 20);
pub(crate) const PODS: &str = "10.78.0.0/16";
pub(crate) const SERVICES: &str = "10.79.0.0/16";
/// The first address of [`SERVICES`]: the API server.
pub(crate) const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 1);
pub(crate) const DNS_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 10);

/// A node of the host cluster.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) namespace: &'static str,
    pub(crate) address: Ipv4Addr,
    pub(crate) pods: &'static str,
}

pub(crate) const NODES: [Node; 2] = [
    Node {
        name: "node1",
        namespace: "warren-node1",
        address: Ipv4Addr::new(25, 77, 0, 11),
        pods: "10.78.1.0/24",
    },
    Node {
        name: "node2",
        namespace: "warren-node2",
        address: Ipv4Addr::new(25, 77, 0, 12),
        pods: "10.78.2.0/24",
    },
];

/// The node that the host's control plane runs beside.
pub(crate) const FIRST: Node = NODES[0];

/// Names of all namespaces, those that hang on the switch first.
pub(crate) fn namespaces() -> impl Iterator<Item = &'static str> {
    NODES.iter().map(|node| node.namespace).chain([CONTROL, SWITCH])
}

/// Makes namespaces, links, addresses and routes.
pub(crate) fn create() -> Result<()> {
    ip(&format!("netns add {SWITCH}"))?;
    ip(&format!("-n {SWITCH} link set lo up"))?;
    ip(&format!("-n {SWITCH} link add bridge0 type bridge"))?;
    ip(&format!("-n {SWITCH} addr add {SWITCH_ADDRESS}/24 dev bridge0"))?;
    ip(&format!("-n {SWITCH} link set bridge0 up"))?;
    for node in &NODES {
        connect(node.namespace, node.name, node.address)?;
    }
    connect(CONTROL, "control", CONTROL_ADDRESS)?;
    for namespace in NODES.iter().map(|node| node.namespace).chain([CONTROL]) {
        for node in NODES.iter().filter(|node| node.namespace != namespace) {
            ip(&format!("-n {namespace} route add {} via {}", node.pods, node.address))?;
        }
    }
    Ok(())
}

fn connect(namespace: &str, port: &str, address: Ipv4Addr) -> Result<()> {
    ip(&format!("netns add {namespace}"))?;
    ip(&format!("-n {namespace} link set lo up"))?;
    ip(&format!("link add {port} netns {SWITCH} type veth peer name eth0 netns {namespace}"))?;
    ip(&format!("-n {SWITCH} link set {port} master bridge0 up"))?;
    ip(&format!("-n {namespace} addr add {address}/24 dev eth0"))?;
    ip(&format!("-n {namespace} link set eth0 up"))?;
    // Services' addresses need a route before the packet filter rewrites them.
    ip(&format!("-n {namespace} route add default via {SWITCH_ADDRESS}"))?;
    within(namespace, || {
        let settings = [
            ("ip_forward", "1"),
            ("conf/all/rp_filter", "0"),
            ("conf/default/rp_filter", "0"),
            // Every refusal by a network policy is told at once, not one a second.
            ("icmp_ratelimit", "0"),
        ];
        for (name, value) in settings {
            let path = format!("/proc/sys/net/ipv4/{name}");
            std::fs::write(&path, value).with_context(|| format!("write {path}"))?;
        }
        Ok(())
    })
}

/// Removes what [`create`] made of it; the links go with the namespaces.
pub(crate) fn delete() -> Result<()> {
    for name in namespaces().filter(|name| crate::namespace::path(name).exists()) {
        ip(&format!("netns delete {name}"))?;
    }
    // `ip` mounts its folder onto itself for the first namespace, and leaves that. It does so
    // again whenever it needs to.
    let folder = Path::new(FOLDER);
    if folder.read_dir().is_ok_and(|mut entries| entries.next().is_none()) {
        mounts::unmount_below(folder)?;
        // Somebody else may have made a namespace this very moment.
        let _ = std::fs::remove_dir(folder);
    }
    Ok(())
}

fn ip(arguments: &str) -> Result<()> {
    capture(Command::new("ip").args(arguments.split_whitespace())).map(drop)
}
