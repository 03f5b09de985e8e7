//! What the host cluster is like: the same for all of its tenants.

use crate::cidr::Cidr;
use domain::Plan;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The images that Warren starts. References must name a registry, e.g. `ghcr.io/loft-sh/vcluster-oss:0.36.1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// The syncer (vCluster's open version, with `sh` and `sed`).
    pub syncer: String,
    /// kube-apiserver, kube-controller-manager and kine in `/kubernetes`.
    pub kubernetes: String,
    /// The tenants' DNS server.
    pub coredns: String,
    /// The program that starts agents, as the image's entry point.
    pub runner: String,
}

/// How the Kubernetes programs get into the control plane's pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KubernetesDelivery {
    /// The image is mounted: quicker, and tenants share the pages. Needs Kubernetes 1.35 and containerd 2.1.
    ImageVolume,
    /// An init container copies them.
    InitContainer,
}

/// Whether tenants' pods get user namespaces of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserNamespaces {
    /// Every pod of a tenant, by force.
    Forced,
    /// The host's nodes cannot (runc before 1.2, file systems without id-mapped mounts).
    Unavailable,
}

/// Everything about a host cluster that rendering needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSettings {
    /// What is started.
    pub images: Images,
    /// How the Kubernetes programs get into the control plane's pod.
    pub kubernetes_delivery: KubernetesDelivery,
    /// Whether tenants' pods get user namespaces of their own.
    pub user_namespaces: UserNamespaces,
    /// The host's range of service addresses, as the syncer would otherwise have to find out.
    pub service_cidr: Cidr,
    /// The class of all volumes; nothing for the host's default class.
    pub storage_class: Option<String>,
    /// Addresses that tenants may not reach although they are public: the host's own.
    pub denied_cidrs: Vec<Cidr>,
    /// From where Warren reaches tenants' API servers.
    pub control_plane_clients: Vec<Cidr>,
    /// The host's API servers as packets see them, behind the service `default/kubernetes`: its endpoints.
    pub api_servers: Vec<SocketAddr>,
    /// Public addresses of the host's nodes. The others are closed anyway, see [`crate::is_public`].
    pub nodes: Vec<Ipv4Addr>,
    /// Name servers of the nodes that are not public: tenants' DNS servers forward to them.
    pub name_servers: Vec<IpAddr>,
    /// Where nodes for tenants are made: the nodes that are the operator's own, which may register without Warren's
    /// leave. Nothing where no nodes are made.
    pub own_nodes: Option<Vec<String>>,
    /// Where runs report to.
    pub run_endpoint: SocketAddr,
    /// What runs must not reach: while it answers, network policies do not bite yet.
    pub run_gate: SocketAddr,
}

impl HostSettings {
    /// Whether pods would run without a user namespace of their own although the plan demands one.
    #[must_use]
    pub const fn lacks_user_namespaces(&self, plan: &Plan) -> bool {
        match self.user_namespaces {
            UserNamespaces::Forced => false,
            UserNamespaces::Unavailable => !plan.may_lack_user_namespaces,
        }
    }
}
