//! How much room there is for those who come to a plan, and what they bring with them.

use super::places::Places;
use crate::{
    Context,
    api_server::{ApiError, ApiServer},
    machines::{LookError, for_machines},
};
use domain::{Bound, Capacity, PlanName, Requests, Resource, RunId, Tenant, Unit};
use planning::{
    Kind,
    capacity::{requests, shared},
    moving,
};
use std::collections::BTreeMap;
use store::StoreError;

/// Why nobody can say how much room there is.
#[derive(Debug, thiserror::Error)]
pub enum CapacityError {
    /// The record failed.
    #[error("read the record")]
    Store(#[from] StoreError),
    /// The host cluster did not answer.
    #[error("look at the nodes that everybody uses: {0}")]
    Host(String),
    /// Proxmox VE did not answer.
    #[error("look at the cluster of Proxmox VE")]
    Proxmox(#[source] proxmox_client::Error),
}

impl From<ApiError> for CapacityError {
    fn from(error: ApiError) -> Self {
        Self::Host(error.to_string())
    }
}

impl From<LookError> for CapacityError {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Store(error) => Self::Store(error),
            LookError::Proxmox(error) => Self::Proxmox(error),
        }
    }
}

/// How much room there is for those who come to `plan`: on Proxmox VE for machines of its shape, or on the nodes that
/// everybody uses.
///
/// # Errors
/// If the record, the host cluster or Proxmox VE does not answer.
pub async fn capacity(cx: &Context, plan: PlanName) -> Result<Capacity, CapacityError> {
    match (plan.node_shape(), &cx.machines) {
        (Some(shape), Some(machines)) => Ok(for_machines(machines, &cx.store, shape).await?),
        (Some(_), None) => Ok(Capacity::default()),
        (None, _) => on_host(cx).await,
    }
}

/// What comes to the nodes that everybody uses when a tenant leaves its own. The host is asked: its limits give requests
/// to pods that have none. Sessions do not count: they end where they are, or wait for room.
pub(super) async fn coming(
    cx: &Context,
    tenant: &Tenant,
    places: &Places,
    sessions: &BTreeMap<RunId, String>,
) -> Result<Requests, ApiError> {
    let own = places.left();
    if own.is_empty() {
        return Ok(Requests::default());
    }
    let host = ApiServer::host(cx.host.client());
    let mut pods = host.list(Kind::Pod, Some(&tenant.cluster.host_namespace()), "").await?;
    pods.retain(|pod| moving::run_of(pod).is_none_or(|run| !sessions.contains_key(&run)));
    let is_there = |at: &str| own.iter().any(|node| node.name.as_str() == at);
    Ok(requests(&pods, is_there))
}

async fn on_host(cx: &Context) -> Result<Capacity, CapacityError> {
    let host = ApiServer::host(cx.host.client());
    let nodes = host.list(Kind::Node, None, "").await?;
    let pods = host.list(Kind::Pod, None, "").await?;
    let found = shared(&nodes, &pods);
    let (free, all, count) = (found.free, found.all, found.nodes);
    // The scheduler goes by requests: what is free by them is all that there is.
    let bound = |resource, unit, amount, told: String| Bound {
        resource,
        unit,
        needed: 0,
        free: Some(amount),
        at_most: Some(amount),
        detail: format!("{told} are free on the {count} nodes that everybody uses"),
        hint: "an operator adds a node to the host cluster; or delete pods that are not needed"
            .to_owned(),
    };
    let cpu = format!("{} of {} CPUs", free.cpu, all.cpu);
    let memory = format!("{} of {} of memory", free.memory.rounded(), all.memory.rounded());
    let pods = format!("{} of {} pods", free.pods, all.pods);
    let bounds = vec![
        bound(Resource::Cpu, Unit::Millicores, free.cpu.0, cpu),
        bound(Resource::Memory, Unit::Bytes, free.memory.0, memory),
        bound(Resource::Pods, Unit::Pods, free.pods, pods),
    ];
    Ok(Capacity { bounds })
}
