//! What rendering needs to know about the host cluster: from the configuration, and from asking it.

use crate::config::{Config, Delivery, UserNamespaces};
use anyhow::{Context as _, Result};
use clusters::HostCluster;
use execution::Obstacle;
use ipnet::IpNet;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, api::ListParams};
use planning::{Cidr, HostSettings, Images, KubernetesDelivery};
use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// How long the host may take to name its API servers.
const PATIENCE: Duration = Duration::from_secs(15);
/// The label of slices with the endpoints of the Service `default/kubernetes`.
const OF_KUBERNETES: &str = "kubernetes.io/service-name=kubernetes";

/// The settings that tenants' objects are rendered with. Where the host's API servers are, it alone
/// knows: see [`api_servers`].
///
/// # Errors
/// If a block of addresses is malformed.
pub(crate) fn settings(config: &Config, api_servers: Vec<SocketAddr>) -> Result<HostSettings> {
    let images = &config.images;
    Ok(HostSettings {
        images: Images {
            syncer: images.syncer.clone(),
            kubernetes: images.kubernetes.clone(),
            coredns: images.coredns.clone(),
            runner: images.runner.clone(),
        },
        kubernetes_delivery: match images.kubernetes_delivery {
            Delivery::ImageVolume => KubernetesDelivery::ImageVolume,
            Delivery::InitContainer => KubernetesDelivery::InitContainer,
        },
        user_namespaces: match config.host_cluster.user_namespaces {
            UserNamespaces::Forced => planning::UserNamespaces::Forced,
            UserNamespaces::Unavailable => planning::UserNamespaces::Unavailable,
        },
        service_cidr: cidr(&config.host_cluster.service_cidr)?,
        storage_class: config.host_cluster.storage_class.clone().filter(|name| !name.is_empty()),
        denied_cidrs: config.host_cluster.denied_cidrs.iter().map(cidr).collect::<Result<_>>()?,
        control_plane_clients: config
            .host_cluster
            .control_plane_clients
            .iter()
            .map(cidr)
            .collect::<Result<_>>()?,
        api_servers,
        name_servers: config.host_cluster.name_servers.clone(),
        run_endpoint: config.run_endpoint.advertise,
        run_gate: config.run_endpoint.gate_advertise,
    })
}

fn cidr(net: &IpNet) -> Result<Cidr> {
    net.to_string().parse().with_context(|| format!("{net} as a block of addresses"))
}

/// The host's API servers as packets see them: network policies are judged after the Service's
/// address was replaced.
///
/// # Errors
/// What the host said instead, or that it said nothing.
pub(crate) async fn api_servers(host: &HostCluster) -> Result<Vec<SocketAddr>, Obstacle> {
    let slices: Api<EndpointSlice> = Api::namespaced(host.client(), "default");
    let query = ListParams::default().labels(OF_KUBERNETES);
    let obstacle = |reason: &str, what: String, is_refusal| Obstacle {
        reason: reason.to_owned(),
        message: format!("list EndpointSlice default/* on the host cluster: {what}"),
        is_refusal,
    };
    let found = match tokio::time::timeout(PATIENCE, slices.list(&query)).await {
        Ok(Ok(slices)) => addresses(&slices.items),
        Ok(Err(kube::Error::Api(status))) => {
            let reason = if status.reason.is_empty() { "Refused" } else { &status.reason };
            return Err(obstacle(reason, format!("{} {}", status.code, status.message), true));
        }
        Ok(Err(error)) => {
            let what = format!("no answer ({})", innermost(&error));
            return Err(obstacle("Unreachable", what, false));
        }
        Err(_) => return Err(obstacle("NoAnswer", "no answer in time".to_owned(), false)),
    };
    if found.is_empty() {
        let what = "the Service default/kubernetes has no endpoints; is its API server ready?";
        return Err(obstacle("NoApiServers", what.to_owned(), false));
    }
    Ok(found)
}

/// The deepest cause says what happened; the layers above only say where.
fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

fn addresses(slices: &[EndpointSlice]) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for slice in slices {
        let addresses: Vec<IpAddr> = slice
            .endpoints
            .iter()
            .flat_map(|endpoint| &endpoint.addresses)
            .filter_map(|a| a.parse().ok())
            .collect();
        let ports = slice
            .ports
            .iter()
            .flatten()
            .filter_map(|port| port.port)
            .filter_map(|port| u16::try_from(port).ok());
        for port in ports {
            found.extend(addresses.iter().map(|address| SocketAddr::new(*address, port)));
        }
    }
    found.sort();
    found.dedup();
    found
}
