//! What a tenant's machine is told, and what the host cluster is told of it.

use crate::fixture;
use domain::{ClusterName, Node, NodeId, NodeName, NodeShape, TenantId};
use insta::{assert_json_snapshot, assert_snapshot};
use jiff::Timestamp;
use planning::{
    machine::{
        LABEL, Network, Seed, TAINT, UNPROVEN, admit_patch, prove, render_expected,
        render_password, render_seed, render_token,
    },
    render_host_policies,
};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use uuid::Uuid;

fn node() -> Node {
    Node {
        id: NodeId::new(Uuid::from_u128(7)),
        tenant: TenantId::new(Uuid::from_u128(1)),
        shape: NodeShape::S,
        name: NodeName::from_random([3; 32]),
        mark: "m".repeat(32),
        machine: Uuid::from_u128(9),
        hardware_address: "02:AA:BB:CC:DD:EE".to_owned(),
        place: Some("pve1".to_owned()),
        vm: None,
        address: Some(Ipv4Addr::new(10, 0, 0, 7)),
        power: domain::NodePower::On,
        volumes: None,
        created_at: Timestamp::UNIX_EPOCH,
        ready_at: None,
        release_requested_at: None,
        released_at: None,
    }
}

fn cluster() -> ClusterName {
    ClusterName::from_random([1; 32])
}

#[test]
fn a_machine_reads_where_and_with_what_to_join() {
    let node = node();
    let network = Network::Static {
        address: Ipv4Addr::new(10, 0, 0, 7),
        prefix: 24,
        gateway: Ipv4Addr::new(10, 0, 0, 1),
        name_servers: vec![Ipv4Addr::new(10, 0, 0, 2).into()],
    };
    let files = render_seed(&Seed {
        node: &node,
        cluster: &cluster(),
        server: "https://10.0.0.3:6443",
        authority: "-----BEGIN CERTIFICATE-----\n",
        token: ("abcdef", "0123456789abcdef"),
        password: "0123456789abcdef0123456789abcdef",
        network,
    });
    let texts = files.map(|(name, text)| format!("--- {name}\n{text}\n"));
    assert_snapshot!(texts.concat());
}

#[test]
fn the_host_is_told_of_a_machine_what_lets_it_in() {
    let (node, cluster) = (node(), cluster());
    let token = render_token(&node, ("abcdef", "0123456789abcdef"), Timestamp::UNIX_EPOCH);
    let password = render_password(&node.name, "0123456789abcdef0123456789abcdef", [7; 8]);
    let expected = render_expected([(&node.name, &cluster)]);
    assert_json_snapshot!([token.body, password.body, expected.body]);
}

#[test]
fn a_node_is_proven_by_what_only_its_machine_was_given() {
    let (node, cluster) = (node(), cluster());
    let good = json!({
        "metadata": { "name": node.name.as_str(), "resourceVersion": "5" },
        "spec": {
            "providerID": format!("proxmox://{}", node.machine),
            "taints": [
                { "key": TAINT, "value": cluster.as_str(), "effect": "NoSchedule" },
                { "key": UNPROVEN, "value": "true", "effect": "NoSchedule" },
            ],
        },
        "status": {
            "addresses": [{ "type": "InternalIP", "address": "10.0.0.7" }],
            "nodeInfo": { "systemUUID": node.machine.to_string().to_uppercase() },
        },
    });
    assert_eq!(prove(&good, &node, &cluster), Ok(()));
    for (pointer, value) in [
        ("/spec/providerID", json!("proxmox://other")),
        ("/spec/taints/0/value", json!("wother")),
        ("/spec/taints/0/effect", json!("PreferNoSchedule")),
        ("/status/addresses/0/address", json!("10.0.0.8")),
        ("/status/nodeInfo/systemUUID", json!("00000000-0000-0000-0000-000000000000")),
    ] {
        let mut other = good.clone();
        *other.pointer_mut(pointer).expect("it is there") = value;
        let refusal = prove(&other, &node, &cluster).expect_err(pointer);
        assert!(refusal.to_string().contains("instead of"), "{refusal}");
    }
    let patch = admit_patch(&good, &cluster);
    assert_eq!(patch["metadata"]["labels"][LABEL], cluster.as_str());
    assert_eq!(patch["metadata"]["resourceVersion"], "5", "not if it changed meanwhile");
    let keys: Vec<&Value> = patch["spec"]["taints"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|taint| &taint["key"])
        .collect();
    assert_eq!(keys, [TAINT], "the other tenants' taint stays");
}

#[test]
fn where_nodes_are_made_policies_say_what_nodes_may_do() {
    let mut host = fixture::host();
    let names = |host: &planning::HostSettings| -> Vec<String> {
        render_host_policies(host).into_iter().map(|object| object.key.name).collect()
    };
    let before = names(&host);
    assert!(!before.iter().any(|name| name.starts_with("warren-node")), "{before:?}");
    host.own_nodes = Some(vec!["server-1".to_owned()]);
    let policies = render_host_policies(&host);
    let policies: Vec<Value> = policies
        .into_iter()
        .filter(|object| object.key.name.starts_with("warren-node"))
        .map(|object| object.body)
        .collect();
    assert_json_snapshot!(policies);
}
