//! What rendering needs to know about the host cluster: from the configuration, and from asking it.

use crate::config::{Config, Delivery, UserNamespaces};
use anyhow::{Context as _, Result, ensure};
use clusters::HostCluster;
use ipnet::IpNet;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, api::ListParams};
use planning::{Cidr, HostSettings, Images, KubernetesDelivery};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// How long the host may take to name its API servers.
const PATIENCE: Duration = Duration::from_secs(15);
/// The label of slices with the endpoints of the Service `default/kubernetes`.
const OF_KUBERNETES: &str = "kubernetes.io/service-name=kubernetes";

/// The settings that tenants' objects are rendered with.
///
/// # Errors
/// If the host does not say where its API servers are.
pub(crate) async fn settings(config: &Config, host: &HostCluster) -> Result<HostSettings> {
    let api_servers = tokio::time::timeout(PATIENCE, api_servers(host))
        .await
        .context("the host cluster did not answer in time")?
        .context("ask the host cluster for its API servers")?;
    ensure!(
        !api_servers.is_empty(),
        "the host's Service default/kubernetes has no endpoints: is its API server ready?"
    );
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
async fn api_servers(host: &HostCluster) -> Result<Vec<SocketAddr>> {
    let slices: Api<EndpointSlice> = Api::namespaced(host.client(), "default");
    let slices = slices.list(&ListParams::default().labels(OF_KUBERNETES)).await?;
    let mut found = Vec::new();
    for slice in &slices.items {
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
    Ok(found)
}
