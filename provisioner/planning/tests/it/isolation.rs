//! What network policies let through, judged by a small reading of them.

use crate::fixture::{CLUSTER, bundle, host};
use planning::{Cidr, HostSettings, Rendered};
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};

type Labels<'a> = &'a [(&'a str, &'a str)];

const CONTROL_PLANE: Labels<'_> = &[("app", "vcluster"), ("release", CLUSTER)];
const TENANT_POD: Labels<'_> =
    &[("vcluster.loft.sh/managed-by", CLUSTER), ("vcluster.loft.sh/namespace", "agents")];
/// What a tenant can make through its API server when it imitates the control plane: `release` is renamed.
const FORGED: Labels<'_> = &[
    ("app", "vcluster"),
    ("vcluster.loft.sh/label-x", CLUSTER),
    ("k8s-app", "vcluster-kube-dns"),
    ("vcluster.loft.sh/managed-by", CLUSTER),
    ("vcluster.loft.sh/namespace", "agents"),
];
const DNS: Labels<'_> = &[
    ("k8s-app", "vcluster-kube-dns"),
    ("vcluster.loft.sh/managed-by", CLUSTER),
    ("vcluster.loft.sh/namespace", "kube-system"),
];
/// Made by nobody that Warren knows.
const STRANGER: Labels<'_> = &[("app", "vcluster")];

#[derive(Clone, Copy)]
enum Peer<'a> {
    Pod(Labels<'a>),
    Address(&'a str),
}

fn selects(selector: &Value, labels: Labels<'_>) -> bool {
    let get = |key: &str| labels.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
    let exact = selector.get("matchLabels").and_then(Value::as_object);
    let rules = selector.get("matchExpressions").and_then(Value::as_array);
    exact.is_none_or(|map| map.iter().all(|(key, value)| get(key) == value.as_str()))
        && rules.is_none_or(|rules| {
            rules.iter().all(|rule| {
                assert_eq!(rule["operator"], "DoesNotExist");
                get(rule["key"].as_str().expect("text")).is_none()
            })
        })
}

fn is_peer(peer: &Value, other: Peer<'_>) -> bool {
    match (other, peer.get("podSelector"), peer.get("ipBlock")) {
        (Peer::Pod(labels), Some(selector), None) => selects(selector, labels),
        (Peer::Address(address), None, Some(block)) => {
            let address: IpAddr = address.parse().expect("an address");
            let text = block["cidr"].as_str().expect("text");
            let inside = text == "0.0.0.0/0" && address.is_ipv4()
                || text.parse::<Cidr>().is_ok_and(|cidr| cidr.contains(address));
            let except = block.get("except").and_then(Value::as_array);
            let is_except = except.is_some_and(|blocks| {
                blocks.iter().any(|block| {
                    let block: Cidr = block.as_str().expect("text").parse().expect("a block");
                    block.contains(address)
                })
            });
            inside && !is_except
        }
        _ => false,
    }
}

/// Whether the policies let `pod` speak to (or, for `ingress`, be spoken to by) `other`.
fn lets(
    policies: &[Rendered],
    direction: &str,
    pod: Labels<'_>,
    other: Peer<'_>,
    port: u16,
) -> bool {
    let (key, peers) = if direction == "ingress" { ("Ingress", "from") } else { ("Egress", "to") };
    let selected: Vec<&Value> = policies
        .iter()
        .map(|policy| &policy.body["spec"])
        .filter(|spec| selects(&spec["podSelector"], pod))
        .filter(|spec| {
            spec["policyTypes"].as_array().is_some_and(|types| types.contains(&key.into()))
        })
        .collect();
    assert!(!selected.is_empty(), "no pod is without a policy");
    selected.iter().filter_map(|spec| spec.get(direction)?.as_array()).flatten().any(|rule| {
        let ports = rule.get("ports").and_then(Value::as_array);
        ports.is_none_or(|ports| ports.iter().any(|entry| entry["port"] == port))
            && rule[peers]
                .as_array()
                .is_some_and(|list| list.iter().any(|peer| is_peer(peer, other)))
    })
}

fn out(host: &HostSettings, pod: Labels<'_>, other: Peer<'_>, port: u16) -> bool {
    lets(&bundle(host).network_policies, "egress", pod, other, port)
}

#[test]
fn a_tenants_pod_reaches_its_own_public_addresses_and_where_it_reports_to() {
    let host = host();
    for (peer, port) in [
        (Peer::Pod(TENANT_POD), 80),
        (Peer::Pod(DNS), 1053),
        (Peer::Pod(CONTROL_PLANE), 8443),
        (Peer::Address("10.77.0.20"), 7443),
        (Peer::Address("93.184.215.14"), 443),
    ] {
        assert!(out(&host, TENANT_POD, peer, port));
    }
}

#[test]
fn no_pod_of_a_tenant_reaches_the_host_other_tenants_or_the_gate_whatever_it_looks_like() {
    let host = host();
    let refused: [SocketAddr; 12] = [
        "10.77.0.20:7444",
        "10.77.0.20:22",
        "10.77.0.11:6443",
        "10.77.0.11:10250",
        "10.78.1.5:8443",
        "10.79.0.1:443",
        "169.254.169.254:80",
        "100.100.0.1:80",
        "192.168.1.1:53",
        "127.0.0.1:80",
        "8.8.4.4:53",
        "224.0.0.1:5353",
    ]
    .map(|address| address.parse().expect("an address"));
    for pod in [TENANT_POD, FORGED] {
        for address in refused {
            let ip = address.ip().to_string();
            assert!(!out(&host, pod, Peer::Address(&ip), address.port()), "{address}");
        }
        assert!(!out(&host, pod, Peer::Address("2606:2800:21f::1"), 443), "IPv6 is closed");
        assert!(!out(&host, pod, Peer::Pod(CONTROL_PLANE), 10250));
        assert!(!out(&host, pod, Peer::Pod(STRANGER), 8443));
    }
}

#[test]
fn the_control_plane_reaches_the_hosts_api_servers_and_its_tenants_pods_only() {
    let host = host();
    assert!(out(&host, CONTROL_PLANE, Peer::Address("10.77.0.11"), 6443));
    assert!(out(&host, CONTROL_PLANE, Peer::Pod(TENANT_POD), 9443));
    for (address, port) in
        [("10.77.0.11", 10250), ("10.77.0.12", 6443), ("93.184.215.14", 443), ("10.77.0.1", 53)]
    {
        assert!(!out(&host, CONTROL_PLANE, Peer::Address(address), port), "{address}:{port}");
    }
}

#[test]
fn only_the_dns_server_reaches_the_nodes_name_servers() {
    let host = host();
    assert!(out(&host, DNS, Peer::Address("10.77.0.1"), 53));
    assert!(!out(&host, DNS, Peer::Address("10.77.0.1"), 22));
    assert!(!out(&host, FORGED, Peer::Address("10.77.0.1"), 53));
}

#[test]
fn only_warren_and_the_tenant_reach_the_control_plane_and_only_the_tenant_its_pods() {
    let policies = bundle(&host()).network_policies;
    let into = |pod, other, port| lets(&policies, "ingress", pod, other, port);
    assert!(into(CONTROL_PLANE, Peer::Pod(TENANT_POD), 8443));
    assert!(into(CONTROL_PLANE, Peer::Address("10.77.0.20"), 8443));
    assert!(!into(CONTROL_PLANE, Peer::Address("10.77.0.20"), 6443));
    assert!(!into(CONTROL_PLANE, Peer::Address("10.77.0.12"), 8443));
    assert!(!into(CONTROL_PLANE, Peer::Pod(STRANGER), 8443));
    assert!(into(TENANT_POD, Peer::Pod(TENANT_POD), 80));
    assert!(into(TENANT_POD, Peer::Pod(CONTROL_PLANE), 9443));
    assert!(!into(TENANT_POD, Peer::Address("10.77.0.20"), 80));
    assert!(!into(TENANT_POD, Peer::Pod(STRANGER), 80));
}

#[test]
fn a_pod_that_nobody_knows_reaches_nothing() {
    let host = host();
    for (peer, port) in
        [(Peer::Pod(TENANT_POD), 80), (Peer::Address("93.184.215.14"), 443), (Peer::Pod(DNS), 1053)]
    {
        assert!(!out(&host, STRANGER, peer, port));
    }
}
