//! Looks after nodes that are to run: one whose machine is gone, off or silent for long, or where Proxmox VE has lost the
//! node that it was on, is given up, and its tenant gets another one. One that somebody switched off is left alone.

use super::{
    Machines,
    owned::{Machine, look_for, placed},
};
use crate::{Context, api_server::ApiServer, node};
use domain::{Node, NodeId, NodeState, TenantId};
use jiff::{SignedDuration, Timestamp};
use proxmox_client::VmState;
use std::{
    collections::{HashMap, HashSet},
    error::Error,
    time::Duration,
};
use store::StoreError;
use tokio_util::sync::CancellationToken;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(10);
/// How long a node may be silent before its machine is looked at.
const SILENT: SignedDuration = SignedDuration::from_secs(20);
/// How long a node may be silent whose machine runs, or was on a node of Proxmox VE that is away: then it is switched off,
/// at once or when that node is back, and before that nothing of it counts as gone.
const LOST: SignedDuration = SignedDuration::from_mins(5);

/// Looks after all nodes until cancelled.
pub(crate) async fn run(cx: Context, cancel: CancellationToken) {
    let mut silent = HashMap::new();
    loop {
        if cancel.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
            return;
        }
        let look = Box::pin(look(&cx, &mut silent));
        match cancel.run_until_cancelled(look).await {
            None => return,
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::warn!(error = &error as &dyn Error, "nodes could not be looked after");
            }
        }
    }
}

/// Looks at all of them once. `silent` is since when nothing was heard of which.
pub(crate) async fn look(
    cx: &Context,
    silent: &mut HashMap<NodeId, Timestamp>,
) -> Result<(), StoreError> {
    let nodes = cx.store.node_open().await?;
    let is_to_run = |node: &&Node| node.state() == NodeState::Ready;
    silent.retain(|id, _| nodes.iter().filter(is_to_run).any(|node| node.id == *id));
    let Some(machines) = &cx.machines else { return Ok(()) };
    // One at a time for each tenant: whatever ails a node may ail all of them, and they are needed.
    let mut busy: HashSet<TenantId> = nodes
        .iter()
        // One that somebody has replaced may wait for its volumes for long, and ails from nothing.
        .filter(|node| node.state() == NodeState::Releasing && !node.is_copied())
        .map(|node| node.tenant)
        .collect();
    for node in nodes.iter().filter(is_to_run) {
        if busy.contains(&node.tenant) || !is_lost(cx, machines, node, silent).await {
            continue;
        }
        // Somebody may have switched it off since the list was read.
        if cx.store.node_release_lost(node.id).await?.is_some() {
            tracing::warn!(node.id = %node.id, node.name = %node.name, "a node is lost and given up");
            busy.insert(node.tenant);
        }
    }
    Ok(())
}

/// Whether a node has been silent for so long that it is given up.
async fn is_lost(
    cx: &Context,
    machines: &Machines,
    node: &Node,
    silent: &mut HashMap<NodeId, Timestamp>,
) -> bool {
    let host = ApiServer::host(cx.host.client());
    // Nobody is blamed for a host that does not answer.
    let Ok(ready) = node::ready(&host, node.name.as_str()).await else { return false };
    if ready.is_some_and(|ready| ready.holds()) {
        silent.remove(&node.id);
        return false;
    }
    let now = cx.clock.now();
    let silence = now.duration_since(*silent.entry(node.id).or_insert(now));
    if silence < SILENT {
        return false;
    }
    match look_for(machines, node).await {
        Ok(Machine::Absent | Machine::Foreign(_)) => true,
        Ok(Machine::Ours { vm, .. }) => match vm.status().await {
            Ok(status) => status.state() == VmState::Stopped || silence > LOST,
            Err(_) => false,
        },
        Err(_) => silence > LOST && is_away(machines, node).await,
    }
}

/// Whether a majority of the nodes of Proxmox VE is there, and that which a machine was made on is not among them. A
/// minority cannot know, and could make no other machine.
async fn is_away(machines: &Machines, node: &Node) -> bool {
    let Ok(Some(place)) = placed(node) else { return false };
    let Ok(entries) = machines.client.nodes().await else { return false };
    let (online, away): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| entry.is_online());
    online.len() > away.len() && away.iter().any(|entry| entry.name == place)
}
