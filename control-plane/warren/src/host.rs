//! What the configuration says about the host cluster.

use crate::config::{Config, Delivery, UserNamespaces};
use anyhow::{Context as _, Result};
use ipnet::IpNet;
use planning::{Cidr, HostSettings, Images, KubernetesDelivery};

/// The settings that tenants' objects are rendered with. Where the host's API servers and nodes are, it
/// alone knows: see [`execution::Settings::find_addresses`].
///
/// # Errors
/// If a block of addresses is malformed.
pub(crate) fn settings(config: &Config) -> Result<HostSettings> {
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
        api_servers: Vec::new(),
        nodes: Vec::new(),
        name_servers: config.host_cluster.name_servers.clone(),
        own_nodes: config.proxmox.as_ref().map(|proxmox| proxmox.own_nodes.clone()),
        run_endpoint: config.run_endpoint.advertise,
        run_gate: config.run_endpoint.gate_advertise,
    })
}

fn cidr(net: &IpNet) -> Result<Cidr> {
    net.to_string().parse().with_context(|| format!("{net} as a block of addresses"))
}
