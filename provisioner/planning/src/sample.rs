//! What tests in other crates begin with.

use crate::{HostSettings, Images, KubernetesDelivery, UserNamespaces};

/// A host with one API server, and Warren at an address of its own.
///
/// # Panics
/// Never: all of it is constant.
#[must_use]
pub fn settings() -> HostSettings {
    let image = |name: &str| format!("lab.local/{name}:1");
    HostSettings {
        images: Images {
            syncer: image("syncer"),
            kubernetes: image("kubernetes"),
            coredns: image("coredns"),
            runner: image("runner"),
        },
        kubernetes_delivery: KubernetesDelivery::ImageVolume,
        user_namespaces: UserNamespaces::Forced,
        service_cidr: "10.79.0.0/16".parse().expect("a block of addresses"),
        storage_class: None,
        denied_cidrs: Vec::new(),
        control_plane_clients: vec!["10.77.0.20/32".parse().expect("a block of addresses")],
        api_servers: vec!["10.77.0.11:6443".parse().expect("an address")],
        nodes: vec!["25.77.0.12".parse().expect("an address")],
        name_servers: Vec::new(),
        own_nodes: None,
        run_endpoint: "10.77.0.20:7443".parse().expect("an address"),
        run_gate: "10.77.0.20:7444".parse().expect("an address"),
    }
}
