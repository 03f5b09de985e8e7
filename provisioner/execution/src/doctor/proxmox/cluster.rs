//! What the cluster says as a whole: its nodes, its majority, its pools, and who has the numbers of machines.

use super::{Answer, ask, list, numbers, verdict};
use crate::{MachineSettings, doctor::Check};
use proxmox_client::{
    Client, ClusterStatus, NodeEntry, NodeName, PoolEntry, Resource, ResourceKind, VmId,
};
use std::collections::BTreeMap;

const POOL: &str = "pool";
const NODES: &str = "nodes";
const QUORUM: &str = "quorum";

/// What was seen of it.
#[derive(Debug)]
pub(super) struct Cluster {
    nodes: Answer<Vec<NodeEntry>>,
    status: Answer<ClusterStatus>,
    pools: Answer<Vec<PoolEntry>>,
    /// The machines that the token may see.
    pub(super) machines: Answer<Vec<Resource>>,
    pub(super) numbers: numbers::Probe,
}

impl Cluster {
    pub(super) async fn look(
        client: &Client,
        settings: &MachineSettings,
        record: Option<&numbers::Record>,
    ) -> Self {
        let (nodes, status, pools, machines, numbers) = tokio::join!(
            ask(client.nodes()),
            ask(client.cluster_status()),
            ask(client.pools()),
            ask(client.resources(Some(ResourceKind::Vm))),
            numbers::Probe::look(client, settings, record),
        );
        Self { nodes, status, pools, machines, numbers }
    }

    fn entries(&self) -> &[NodeEntry] {
        self.nodes.as_deref().unwrap_or_default()
    }

    /// Whether a node takes part; of one that nobody tells of it has to be tried.
    pub(super) fn is_online(&self, name: &NodeName) -> bool {
        self.nodes.is_err()
            || self.entries().iter().any(|node| node.name == *name && node.is_online())
    }

    /// The nodes that do not take part.
    pub(super) fn offline(&self) -> Vec<&NodeName> {
        let offline = self.entries().iter().filter(|node| !node.is_online());
        offline.map(|node| &node.name).collect()
    }
}

pub(super) fn pool(cluster: &Cluster, settings: &MachineSettings) -> Check {
    let pool = &settings.pool;
    match &cluster.pools {
        Err(obstacle) => Check::bad(POOL, obstacle.to_string(), "see that the cluster answers"),
        Ok(pools) if pools.iter().any(|entry| entry.id == *pool) => {
            Check::ok(POOL, format!("{pool} is there"))
        }
        Ok(_) => {
            let advice = format!(
                "make it on a node with `pveum pool add {pool}`, or name another one in proxmox.pool; if it is there the \
                 token lacks Pool.Audit on /pool/{pool}"
            );
            Check::bad(POOL, format!("there is no pool {pool} that the token may see"), advice)
        }
    }
}

pub(super) fn nodes(
    cluster: &Cluster,
    settings: &MachineSettings,
    templates: &BTreeMap<NodeName, VmId>,
) -> Check {
    let entries = match &cluster.nodes {
        Ok(entries) => entries,
        Err(obstacle) => {
            return Check::bad(NODES, obstacle.to_string(), "see that the cluster answers");
        }
    };
    let is_there = |name: &&NodeName| entries.iter().any(|entry| entry.name == **name);
    let is_named = settings.templates.named().is_some();
    let unknown: Vec<_> = templates.keys().filter(|name| is_named && !is_there(name)).collect();
    if !unknown.is_empty() {
        let found = format!(
            "{} in proxmox.templates is no node of this cluster, which has: {}",
            list(unknown),
            list(entries.iter().map(|entry| &entry.name))
        );
        return Check::bad(NODES, found, "write the names of nodes as `pvecm nodes` shows them");
    }
    let offline = cluster.offline();
    // Those that are nowhere are told of as templates.
    if !templates.is_empty() && !templates.keys().any(|name| cluster.is_online(name)) {
        let found = format!("no node that has a template is there: {} offline", list(offline));
        return Check::bad(NODES, found, "start one of them; until then no machine is made");
    }
    if offline.is_empty() {
        let all = list(entries.iter().map(|entry| &entry.name));
        return Check::ok(NODES, format!("all are online: {all}"));
    }
    let found = format!("{} offline: no machine is made there meanwhile", list(offline));
    Check::warn(NODES, found, "start it; what is on it was not looked at")
}

pub(super) fn quorum(cluster: &Cluster) -> Check {
    const ADVICE: &str = "without a majority nothing can be changed: start nodes, and see `pvecm status` on one of them";
    let online = cluster.entries().len() - cluster.offline().len();
    let told = format!("{online} of {} nodes are online", cluster.entries().len());
    let findings: Vec<_> = match &cluster.status {
        Ok(status) if !status.is_quorate => {
            vec![(format!("the cluster has lost its majority: {told}"), ADVICE.to_owned())]
        }
        Ok(_) => Vec::new(),
        Err(obstacle) if !obstacle.is_forbidden() => {
            vec![(obstacle.to_string(), "see that the cluster answers".to_owned())]
        }
        Err(_) if online * 2 <= cluster.entries().len() => {
            vec![(format!("it cannot have a majority: {told}"), ADVICE.to_owned())]
        }
        Err(_) => {
            let well = format!(
                "{told}; whether they have a majority is only told with Sys.Audit on /, which Warren does not need"
            );
            return Check::ok(QUORUM, well);
        }
    };
    verdict(QUORUM, format!("the cluster has a majority: {told}"), &findings)
}
