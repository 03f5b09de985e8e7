//! `lab.json`: what tests and scripts need to know about a lab that is up.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::layout::{Layout, read_json, write_json};
use crate::network::{CONTROL, NODES};
use crate::plan::Plan;
use crate::warren;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Lab {
    /// Warren's API, in the machine's own network namespace.
    pub(crate) api_url: String,
    /// Whom to trust there with TLS, at the same port.
    pub(crate) ca_file: PathBuf,
    /// Holds the operator token that Warren makes at its first start.
    pub(crate) token_file: PathBuf,
    /// Holds the link with which the first operator makes an account.
    pub(crate) link_file: PathBuf,
    pub(crate) warren: Option<PathBuf>,
    warren_config: PathBuf,
    pub(crate) kubectl: PathBuf,
    /// Of the host cluster's administrator.
    kubeconfig: PathBuf,
    pki: PathBuf,
    control_namespace: String,
    nodes: Vec<NodeEntry>,
    run_endpoint: SocketAddr,
    /// References by short name.
    images: BTreeMap<String, String>,
    /// Source archives of Python packages, for agents to work on.
    pub(crate) packages: Vec<PathBuf>,
    supervisor_socket: PathBuf,
    cache: PathBuf,
    state: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct NodeEntry {
    name: String,
    namespace: String,
    address: Ipv4Addr,
}

impl Lab {
    /// The lab that is up.
    pub(crate) fn read(layout: &Layout) -> Result<Self> {
        read_json(&layout.lab_json()).context("the lab is down: `cargo lab up` brings it up")
    }

    pub(crate) fn image(&self, name: &str) -> Result<&str> {
        let image = self.images.get(name);
        image.map(String::as_str).with_context(|| format!("the lab made no image {name}"))
    }
}

pub(crate) fn write(layout: &Layout, plan: &Plan, api: SocketAddr) -> Result<()> {
    let node = |node: &crate::network::Node| NodeEntry {
        name: node.name.into(),
        namespace: node.namespace.into(),
        address: node.address,
    };
    let image = |image: &crate::catalogue::Written| (image.name.clone(), image.reference.clone());
    let lab = Lab {
        api_url: format!("http://{api}"),
        ca_file: layout.pki("ca.crt"),
        token_file: warren::token_file(layout),
        link_file: warren::link_file(layout),
        warren: plan.warren.is_some().then(|| layout.program("warren")),
        warren_config: warren::config_file(layout),
        kubectl: layout.program("kubectl"),
        kubeconfig: layout.kubeconfig("admin"),
        pki: layout.state.join("pki"),
        control_namespace: CONTROL.into(),
        nodes: NODES.iter().map(node).collect(),
        run_endpoint: warren::run_endpoint(),
        images: plan.images.iter().map(image).collect(),
        packages: plan.packages.clone(),
        supervisor_socket: layout.control_socket(),
        cache: layout.cache.clone(),
        state: layout.state.clone(),
    };
    write_json(&layout.lab_json(), &lab)
}
