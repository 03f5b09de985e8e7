//! Whether there is room for what a tenant would need.

use crate::{
    Context,
    api_server::{ApiError, ApiServer},
    machines::{LookError, room_for},
};
use domain::{Bound, Bytes, Capacity, Isolation, Millicores, Resource, Subscription, Tenant, Unit};
use planning::{
    Kind,
    room::{requests, shared},
};
use std::collections::HashSet;
use store::StoreError;

/// Why nobody can say how much room there is.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
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

impl From<ApiError> for RoomError {
    fn from(error: ApiError) -> Self {
        Self::Host(error.to_string())
    }
}

impl From<LookError> for RoomError {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Store(error) => Self::Store(error),
            LookError::Proxmox(error) => Self::Proxmox(error),
        }
    }
}

/// How much room there is for what `tenant` would need if it paid for `to`: on Proxmox VE for `machines` more, or on the
/// nodes that everybody uses for what runs on its own.
///
/// # Errors
/// If the record, the host cluster or Proxmox VE does not answer.
pub async fn room(
    cx: &Context,
    tenant: &Tenant,
    to: Subscription,
    machines: u32,
) -> Result<Capacity, RoomError> {
    match (to.isolation(), to.plan.node_shape(), &cx.machines) {
        (Isolation::Dedicated, Some(shape), Some(made)) if machines > 0 => {
            Ok(room_for(made, &cx.store, shape, u64::from(machines)).await?)
        }
        (Isolation::Dedicated, _, _) => Ok(Capacity::default()),
        (Isolation::Shared, _, _) => on_host(cx, tenant).await,
    }
}

async fn on_host(cx: &Context, tenant: &Tenant) -> Result<Capacity, RoomError> {
    let host = ApiServer::host(cx.host.client());
    let nodes = host.list(Kind::Node, None, "").await?;
    let pods = host.list(Kind::Pod, None, "").await?;
    let own: HashSet<String> = cx
        .store
        .node_of_tenant(tenant.id)
        .await?
        .into_iter()
        .map(|node| node.name.to_string())
        .collect();
    let namespace = tenant.cluster.host_namespace();
    // What runs on its own nodes for every node is not the tenant's and stays there.
    let moves = requests(&pods, |pod| {
        let at = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        pod["metadata"]["namespace"] == namespace.as_str() && own.contains(at)
    });
    let found = shared(&nodes, &pods);
    let count = found.nodes;
    let bound = |resource, unit, needed, free, detail: String| Bound {
        resource,
        unit,
        needed,
        free,
        detail: format!("{detail} on the {count} nodes that everybody uses"),
        hint: "an operator adds a node to the host cluster; or delete pods that are not needed"
            .to_owned(),
    };
    let told = |needed: &dyn ToString, free: &dyn ToString, all: &dyn ToString, what: &str| {
        let (needed, free, all) = (needed.to_string(), free.to_string(), all.to_string());
        format!("{free} of {all} {what} are free, and {needed} come")
    };
    let mebi = |bytes: Bytes| Bytes(bytes.0 >> 20 << 20);
    let cpu = |of: Millicores| of.0;
    let (free, all) = (found.free, found.all);
    Ok(Capacity {
        bounds: vec![
            bound(
                Resource::Cpu,
                Unit::Millicores,
                cpu(moves.cpu),
                cpu(free.cpu),
                told(&moves.cpu, &free.cpu, &all.cpu, "CPUs"),
            ),
            bound(
                Resource::Memory,
                Unit::Bytes,
                moves.memory.0,
                free.memory.0,
                told(&mebi(moves.memory), &mebi(free.memory), &mebi(all.memory), "of memory"),
            ),
            bound(
                Resource::Pods,
                Unit::Pods,
                moves.pods,
                free.pods,
                told(&moves.pods, &free.pods, &all.pods, "pods"),
            ),
        ],
    })
}
