//! Who may talk to whom on the host.
//!
//! Policies add up: each one only opens what the first one closes. Peers are chosen by labels that the tenant cannot
//! forge through its API server: the syncer sets `vcluster.loft.sh/managed-by` and `vcluster.loft.sh/namespace` itself
//! on everything that it makes, and renames a tenant's label `release` (vCluster 0.36.1, pkg/util/translate/labels.go).
//! `app` and any other label are the tenant's. What a tenant's pod may reach it may reach with any labels; a pod that
//! looks like the DNS server gains the nodes' name servers, which it can ask through the real one anyway.

use crate::{
    cidr::Cidr,
    cluster::ClusterSpec,
    object::{Kind, Rendered},
    settings::HostSettings,
    syncer::{SYNCED, SYNCED_NAMESPACE},
};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The port of the control plane's pod.
pub(crate) const API_PORT: u16 = 8443;

/// What is not public, whoever owns the host.
///
/// Source: IANA IPv4 Special-Purpose Address Registry; multicast and future use (RFC 5771, RFC 1112).
const NOT_PUBLIC: [&str; 15] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

fn not_public() -> impl Iterator<Item = Cidr> {
    let parse =
        |block: &str| block.parse().expect("the blocks above are well-formed: a test reads them");
    NOT_PUBLIC.into_iter().map(parse)
}

/// Whether tenants reach an address unless it is denied by name.
#[must_use]
pub fn is_public(address: Ipv4Addr) -> bool {
    !not_public().any(|block| block.contains(address.into()))
}

pub(crate) fn render(spec: &ClusterSpec, host: &HostSettings) -> Vec<Rendered> {
    let policy =
        |name: &str, body: Value| spec.object(Kind::NetworkPolicy, name, json!({ "spec": body }));
    let mut policies = vec![
        policy(
            "warren-default-deny",
            json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] }),
        ),
        policy("warren-control-plane", control_plane(spec, host)),
        policy("warren-tenant", tenant(spec, host)),
    ];
    if !host.name_servers.is_empty() {
        policies.push(policy("warren-dns", dns(spec, host)));
    }
    policies
}

/// Pods of the tenant: not those of its control plane, which the syncer has not made.
fn tenant_pods(spec: &ClusterSpec) -> Value {
    json!({ "matchLabels": { SYNCED: spec.cluster.as_str() } })
}

/// The pod of the control plane: made by the stateful set, so the syncer's label is not on it.
fn control_plane_pod(spec: &ClusterSpec) -> Value {
    json!({
        "matchLabels": { "app": "vcluster", "release": spec.cluster.as_str() },
        "matchExpressions": [{ "key": SYNCED, "operator": "DoesNotExist" }],
    })
}

/// In: the tenant's pods and Warren. Out: the host's API servers, and the tenant's pods (admission webhooks and
/// aggregated APIs). No DNS: the syncer finds the host by address, and the host's DNS server knows other tenants.
fn control_plane(spec: &ClusterSpec, host: &HostSettings) -> Value {
    let mut clients = vec![json!({ "podSelector": tenant_pods(spec) })];
    clients.extend(host.control_plane_clients.iter().map(|cidr| block(*cidr)));
    let mut egress = vec![json!({ "to": [{ "podSelector": tenant_pods(spec) }] })];
    egress.extend(host.api_servers.iter().map(|address| to_address(*address)));
    json!({
        "podSelector": control_plane_pod(spec),
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{ "from": clients, "ports": [port("TCP", API_PORT)] }],
        "egress": egress,
    })
}

/// In: pods of the same tenant, and its control plane. Out: pods of the same tenant (its DNS server is one), its
/// control plane, where runs report to, and public addresses. IPv6 stays closed.
fn tenant(spec: &ClusterSpec, host: &HostSettings) -> Value {
    let mut except: Vec<Cidr> = not_public().collect();
    let mut own = host.denied_cidrs.clone();
    own.push(host.service_cidr);
    own.extend(host.api_servers.iter().map(|address| Cidr::single(address.ip())));
    own.extend([host.run_endpoint, host.run_gate].map(|address| Cidr::single(address.ip())));
    own.extend(host.nodes.iter().map(|address| Cidr::single((*address).into())));
    except.extend(own.into_iter().filter(|cidr| cidr.is_ipv4()));
    except.sort_unstable();
    except.dedup();
    let except: Vec<String> = except.iter().map(Cidr::to_string).collect();
    json!({
        "podSelector": tenant_pods(spec),
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{
            "from": [{ "podSelector": tenant_pods(spec) }, { "podSelector": control_plane_pod(spec) }],
        }],
        "egress": [
            { "to": [{ "podSelector": tenant_pods(spec) }] },
            {
                "to": [{ "podSelector": control_plane_pod(spec) }],
                "ports": [port("TCP", API_PORT)],
            },
            to_address(host.run_endpoint),
            { "to": [{ "ipBlock": { "cidr": "0.0.0.0/0", "except": except } }] },
        ],
    })
}

/// The tenant's DNS server forwards to the name servers of its node.
fn dns(spec: &ClusterSpec, host: &HostSettings) -> Value {
    let servers: Vec<Value> =
        host.name_servers.iter().map(|address: &IpAddr| block(Cidr::single(*address))).collect();
    json!({
        "podSelector": { "matchLabels": {
            SYNCED: spec.cluster.as_str(),
            SYNCED_NAMESPACE: "kube-system",
            "k8s-app": "vcluster-kube-dns",
        } },
        "policyTypes": ["Egress"],
        "egress": [{ "to": servers, "ports": [port("UDP", 53), port("TCP", 53)] }],
    })
}

fn block(cidr: Cidr) -> Value {
    json!({ "ipBlock": { "cidr": cidr.to_string() } })
}

fn to_address(address: SocketAddr) -> Value {
    json!({ "to": [block(Cidr::single(address.ip()))], "ports": [port("TCP", address.port())] })
}

fn port(protocol: &str, number: u16) -> Value {
    json!({ "protocol": protocol, "port": number })
}
