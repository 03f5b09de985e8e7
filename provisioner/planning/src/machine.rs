//! A tenant's own node: what its machine is told, what the host cluster is told of it, and how both know that the
//! other is the one that was meant.
//!
//! The names and forms are those of K3s 1.36: bootstrap tokens and node passwords are Secrets in `kube-system`, a
//! machine reads `/etc/rancher/k3s/config.yaml`.

use crate::{
    exclusive::SYSTEM,
    object::{Key, Kind, Rendered},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use domain::{ClusterName, Node, NodeId, NodeName};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::net::{IpAddr, Ipv4Addr};

/// The label of a proven node; its value is the tenant's cluster. A node cannot put it on itself: the API server
/// refuses every label of this domain from nodes (admission plugin `NodeRestriction`).
pub const LABEL: &str = "node-restriction.kubernetes.io/warren-cluster";
/// The taint that keeps everybody else away; its value is the tenant's cluster.
pub const TAINT: &str = "warren.dev/cluster";
/// The taint that keeps everybody away until the node is proven.
pub const UNPROVEN: &str = "warren.dev/unproven";
/// The annotation of a node whose machine was switched off on purpose: when its kubelet was heard of last. For a while
/// the host still says that it is ready; what was said at another time was said after that.
pub const HEARD_LAST: &str = "warren.dev/heard-last";
/// The effect of both: a volume's helper pod, which is placed by name, may still run.
pub const NO_SCHEDULE: &str = "NoSchedule";
/// How the names of passwords of nodes end.
const PASSWORD: &str = ".node-password.k3s";
/// The type of a Secret that is a join token.
///
/// Source: Kubernetes 1.36, "Authenticating with Bootstrap Tokens".
pub const TOKEN_TYPE: &str = "bootstrap.kubernetes.io/token";
/// The type of a Secret that is the password of a node's name.
///
/// Source: K3s 1.36, `pkg/nodepassword`.
pub const PASSWORD_TYPE: &str = "k3s.cattle.io/node-password";
/// Which nodes may register, each with the cluster that it is for.
const EXPECTED: &str = "warren-expected-nodes";
const EXPECTED_TYPE: &str = "warren.dev/expected-nodes";

/// How a machine finds its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// It asks for an address.
    Dhcp,
    /// It is given one.
    Static {
        /// Its address.
        address: Ipv4Addr,
        /// How many bits of it name the network.
        prefix: u8,
        /// Where everything else is.
        gateway: Ipv4Addr,
        /// Who knows names.
        name_servers: Vec<IpAddr>,
    },
}

/// What a machine has to know to join.
#[derive(Debug, Clone)]
pub struct Seed<'a> {
    /// The node.
    pub node: &'a Node,
    /// Whose it is.
    pub cluster: &'a ClusterName,
    /// Where the host's servers take new nodes, e.g. `https://10.0.0.1:6443`.
    pub server: &'a str,
    /// The certificate of the host's authority, as its servers show it: the exact bytes count.
    pub authority: &'a str,
    /// Both halves of its join token.
    pub token: (&'a str, &'a str),
    /// The password of its name.
    pub password: &'a str,
    /// Its network.
    pub network: Network,
}

/// The files of a volume for cloud-init's data source `NoCloud`, each with its name.
#[must_use]
pub fn render_seed(seed: &Seed<'_>) -> [(&'static str, String); 3] {
    [
        ("meta-data", meta_data(seed.node).to_string()),
        ("network-config", network_config(seed).to_string()),
        // The first line says what it is; JSON is YAML.
        ("user-data", format!("#cloud-config\n{}\n", user_data(seed))),
    ]
}

/// What the firmware and the kubelet tell of a node's machine.
#[must_use]
pub fn provider_id(node: &Node) -> String {
    format!("proxmox://{}", node.machine)
}

fn meta_data(node: &Node) -> Value {
    json!({ "instance-id": node.id.to_string(), "local-hostname": node.name.as_str() })
}

fn network_config(seed: &Seed<'_>) -> Value {
    let mac = seed.node.hardware_address.to_ascii_lowercase();
    let mut card = json!({ "match": { "macaddress": mac } });
    match &seed.network {
        Network::Dhcp => card["dhcp4"] = true.into(),
        Network::Static { address, prefix, gateway, name_servers } => {
            card["addresses"] = json!([format!("{address}/{prefix}")]);
            card["routes"] = json!([{ "to": "0.0.0.0/0", "via": gateway }]);
            card["nameservers"] = json!({ "addresses": name_servers });
        }
    }
    json!({ "version": 2, "ethernets": { "net0": card } })
}

fn user_data(seed: &Seed<'_>) -> Value {
    let file = |path: &str, content: String| json!({ "path": path, "permissions": "0600", "owner": "root:root", "content": content });
    json!({
        "package_update": false,
        "package_upgrade": false,
        "users": [],
        "ssh_pwauth": false,
        "disable_root": true,
        "write_files": [
            file("/etc/rancher/k3s/config.yaml", agent_config(seed).to_string()),
            file("/etc/rancher/node/password", format!("{}\n", seed.password)),
        ],
        // cloud-init does this at the first start only; at all others the unit has to come by itself.
        "runcmd": [["systemctl", "enable", "--now", "--no-block", "k3s-agent.service"]],
    })
}

/// Source: K3s 1.36, `k3s agent --help`. Nothing here is secret but the token, which K3s masks in what it publishes.
fn agent_config(seed: &Seed<'_>) -> Value {
    let (id, secret) = seed.token;
    let taint = |key: &str, value: &str| format!("{key}={value}:{NO_SCHEDULE}");
    let mut config = json!({
        "server": seed.server,
        "token": format!("K10{}::{id}.{secret}", authority_digest(seed.authority)),
        "node-name": seed.node.name.as_str(),
        "node-taint": [taint(TAINT, seed.cluster.as_str()), taint(UNPROVEN, "true")],
        "kubelet-arg": [format!("provider-id={}", provider_id(seed.node))],
    });
    if let Network::Static { address, .. } = &seed.network {
        config["node-ip"] = address.to_string().into();
    }
    config
}

/// The SHA-256 of the authority's certificate, byte for byte as the servers show it.
fn authority_digest(pem: &str) -> String {
    hex::encode(Sha256::digest(pem.as_bytes()))
}

/// The address of a join token. `token_id` is its public half.
#[must_use]
pub fn token_key(token_id: &str) -> Key {
    Key::namespaced(Kind::Secret, SYSTEM, &format!("bootstrap-token-{token_id}"))
}

/// A join token that dies by itself at `expiration` and may be used for nothing else.
///
/// Source: Kubernetes 1.36, "Authenticating with Bootstrap Tokens"; K3s asks for the group `system:bootstrappers` only.
#[must_use]
pub fn render_token(node: &Node, token: (&str, &str), expiration: Timestamp) -> Rendered {
    let (id, secret) = token;
    let encoded = |text: &str| STANDARD.encode(text);
    let body = json!({
        "type": TOKEN_TYPE,
        "data": {
            "token-id": encoded(id),
            "token-secret": encoded(secret),
            "expiration": encoded(&format!("{expiration:.0}")),
            "usage-bootstrap-authentication": encoded("true"),
            "description": encoded(&node.id.to_string()),
        },
    });
    Rendered::new(token_key(id), None, body)
}

/// The node that a join token was made for, as the token says itself; nothing if Warren did not make it.
#[must_use]
pub fn node_of_token(secret: &Value) -> Option<NodeId> {
    let description = secret.pointer("/data/description")?.as_str()?;
    String::from_utf8(STANDARD.decode(description).ok()?).ok()?.parse().ok()
}

/// The address of the password of a node's name.
#[must_use]
pub fn password_key(name: &NodeName) -> Key {
    Key::namespaced(Kind::Secret, SYSTEM, &format!("{name}{PASSWORD}"))
}

/// The name of the node that a password is of, by the password's own name.
#[must_use]
pub fn node_of_password(name: &str) -> Option<&str> {
    name.strip_suffix(PASSWORD)
}

/// The password of a node's name, hashed: whoever comes with another one is not let in. `salt` is random.
///
/// Source: K3s 1.36, `pkg/authenticator/hash/scrypt.go` and `pkg/nodepassword`: scrypt with N 2^15, r 8, p 1 and 64
/// bytes of output.
///
/// # Panics
/// Never: parameters and length are scrypt's.
#[must_use]
pub fn render_password(name: &NodeName, password: &str, salt: [u8; 8]) -> Rendered {
    let cost =
        scrypt::Params::new(15, 8, 1, 64).expect("the parameters are within scrypt's bounds");
    let mut hash = [0; 64];
    scrypt::scrypt(password.as_bytes(), &salt, &cost, &mut hash)
        .expect("64 bytes are a length that scrypt makes");
    let text = format!("$1:{}:15:8:1:{}", hex::encode(salt), STANDARD_NO_PAD.encode(hash));
    let body = json!({
        "type": PASSWORD_TYPE,
        "immutable": true,
        "data": { "hash": STANDARD.encode(text) },
    });
    Rendered::new(password_key(name), None, body)
}

/// The address of the list of nodes that may register.
///
/// A policy reads it as its parameters. There is nothing secret in it: it is a Secret because the API server itself
/// never stops reading those. Of configuration maps it keeps the last state that it knew, until it is restarted,
/// once nobody's policy has been bound to one for a second.
///
/// Source: Kubernetes 1.36, `apiserver/pkg/admission/plugin/policy/generic/policy_source.go` and
/// kubernetes/kubernetes#130887.
#[must_use]
pub fn expected_key() -> Key {
    Key::namespaced(Kind::Secret, SYSTEM, EXPECTED)
}

/// The list of nodes that may register, each with the cluster that its taint has to name.
#[must_use]
pub fn render_expected<'a>(
    nodes: impl IntoIterator<Item = (&'a NodeName, &'a ClusterName)>,
) -> Rendered {
    let entries = nodes.into_iter().map(|(name, cluster)| format!("{name}.{cluster}"));
    let data: serde_json::Map<String, Value> = entries.map(|entry| (entry, "".into())).collect();
    Rendered::new(expected_key(), None, json!({ "type": EXPECTED_TYPE, "data": data }))
}

/// The address of a node.
#[must_use]
pub fn node_key(name: &NodeName) -> Key {
    Key::global(Kind::Node, name.as_str())
}

/// Why a node that registered is not the machine that was made for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {found} instead of {expected}")]
pub struct Impostor {
    what: &'static str,
    found: String,
    expected: String,
}

/// Compares what a node's kubelet tells with what its machine was given.
///
/// # Errors
/// The first thing that differs.
pub fn prove(object: &Value, node: &Node, cluster: &ClusterName) -> Result<(), Impostor> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("");
    let address = object
        .pointer("/status/addresses")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|address| address["type"] == "InternalIP")
        .and_then(|address| address["address"].as_str());
    let provider = provider_id(node);
    let machine = node.machine.to_string();
    let mut facts = vec![
        ("its provider id", text("/spec/providerID").to_owned(), provider),
        (
            "the identifier of its firmware",
            text("/status/nodeInfo/systemUUID").to_ascii_lowercase(),
            machine,
        ),
    ];
    if let Some(expected) = node.address {
        let found = address.unwrap_or("none").to_owned();
        facts.push(("its address", found, expected.to_string()));
    }
    let taint = taint(object, TAINT).unwrap_or("none").to_owned();
    facts.push(("its taint", taint, cluster.to_string()));
    match facts.into_iter().find(|(_, found, expected)| found != expected) {
        Some((what, found, expected)) => Err(Impostor { what, found, expected }),
        None => Ok(()),
    }
}

/// The value of a node's taint.
fn taint<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    let taints = object.pointer("/spec/taints").and_then(Value::as_array)?;
    let found = taints.iter().find(|taint| taint["key"] == key && taint["effect"] == NO_SCHEDULE);
    found.map(|taint| taint["value"].as_str().unwrap_or(""))
}

/// A merge patch that lets the tenant's pods onto a node that is proven. `object` is the node as it was when it was
/// looked at; if it changed meanwhile, the patch is refused.
#[must_use]
pub fn admit_patch(object: &Value, cluster: &ClusterName) -> Value {
    let taints = object.pointer("/spec/taints").and_then(Value::as_array);
    let stay: Vec<&Value> =
        taints.into_iter().flatten().filter(|taint| taint["key"] != UNPROVEN).collect();
    json!({
        "metadata": {
            "resourceVersion": object["metadata"]["resourceVersion"],
            "labels": { LABEL: cluster.as_str() },
        },
        "spec": { "taints": stay },
    })
}
