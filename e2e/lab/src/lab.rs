//! `lab.json`: what tests and scripts need to know about a lab that is up.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use crate::layout::{Layout, write_json};
use crate::network::{CONTROL, NODES};
use crate::plan::Plan;
use crate::warren;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Lab<'a> {
    /// Warren's API, in the machine's own network namespace.
    api_url: String,
    /// Holds the operator token that Warren makes at its first start.
    token_file: PathBuf,
    warren: Option<PathBuf>,
    warren_config: PathBuf,
    kubectl: PathBuf,
    /// Of the host cluster's administrator.
    kubeconfig: PathBuf,
    pki: PathBuf,
    control_namespace: &'a str,
    nodes: Vec<NodeEntry<'a>>,
    run_endpoint: SocketAddr,
    /// References by short name.
    images: BTreeMap<&'a str, &'a str>,
    /// Source archives of Python packages, for agents to work on.
    packages: &'a [PathBuf],
    supervisor_socket: PathBuf,
    cache: &'a PathBuf,
    state: &'a PathBuf,
}

#[derive(Debug, Serialize)]
struct NodeEntry<'a> {
    name: &'a str,
    namespace: &'a str,
    address: Ipv4Addr,
}

pub(crate) fn write(layout: &Layout, plan: &Plan, api: SocketAddr) -> Result<()> {
    let node = |node: &crate::network::Node| NodeEntry {
        name: node.name,
        namespace: node.namespace,
        address: node.address,
    };
    let lab = Lab {
        api_url: format!("http://{api}"),
        token_file: warren::token_file(layout),
        warren: plan.warren.is_some().then(|| layout.program("warren")),
        warren_config: warren::config_file(layout),
        kubectl: layout.program("kubectl"),
        kubeconfig: layout.kubeconfig("admin"),
        pki: layout.state.join("pki"),
        control_namespace: CONTROL,
        nodes: NODES.iter().map(node).collect(),
        run_endpoint: warren::run_endpoint(),
        images: plan.images.iter().map(|image| (&*image.name, &*image.reference)).collect(),
        packages: &plan.packages,
        supervisor_socket: layout.control_socket(),
        cache: &layout.cache,
        state: &layout.state,
    };
    write_json(&layout.lab_json(), &lab)
}
