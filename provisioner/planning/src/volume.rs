//! How a volume on the disk of one node comes to another node: what is made for that on the host, and what takes the
//! place of what.
//!
//! A claim stays what it is. The volume under it is replaced by one of the same name that lies elsewhere. Everything that
//! is needed meanwhile is in a namespace of its own, in which the tenant has no rights: what is written there decides
//! which folder of a node becomes the tenant's.

mod objects;
mod swap;

pub use objects::{
    Tokens, render_in, render_namespace, render_out, render_policy, render_secret, render_source,
    render_target,
};
pub use swap::{Swap, swap_key};

use crate::{
    moving::{hostname, tenant_name},
    object::{Key, Kind, MANAGED_BY, MANAGED_BY_VALUE},
    pod::{self, is_alive, text},
};
use domain::{Bytes, ClusterName};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The label of what a copy needs outside of its namespace; its value is the cluster's name.
pub const COPY: &str = "warren.dev/volume-copy";
/// The pod and the claim that bytes come from.
pub const OUT: &str = "out";
/// The pod and the claim that bytes go to.
pub const IN: &str = "in";

/// A volume that lies on a node which is not right, and the claim that has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// The claim as its tenant knows it: `namespace/name`.
    pub claim: String,
    /// The claim's name on the host.
    pub name: String,
    /// The node.
    pub node: String,
    /// How much it may hold.
    pub size: Bytes,
    /// The volume.
    pub volume: Value,
}

impl Bound {
    /// Why it cannot be copied; nothing if it can.
    #[must_use]
    pub fn obstacle(&self) -> Option<&'static str> {
        if path(&self.volume).is_none() {
            return Some("it is no folder of its node");
        }
        let is_block = text(&self.volume, "/spec/volumeMode") == "Block";
        is_block.then_some("it is a block device")
    }
}

/// The namespace in which the volumes of a tenant are copied.
#[must_use]
pub fn namespace(cluster: &ClusterName) -> String {
    format!("warren-copy-{cluster}")
}

/// The address of that namespace.
#[must_use]
pub fn namespace_key(cluster: &ClusterName) -> Key {
    Key::global(Kind::Namespace, &namespace(cluster))
}

/// The address of something in that namespace.
#[must_use]
pub fn key(kind: Kind, cluster: &ClusterName, name: &str) -> Key {
    Key::namespaced(kind, &namespace(cluster), name)
}

/// The volume by which the old folder is read, and the one by which it is removed.
#[must_use]
pub fn volume_key(cluster: &ClusterName, purpose: &str) -> Key {
    Key::global(Kind::PersistentVolume, &format!("warren-copy-{cluster}-{purpose}"))
}

/// The claims whose volume is a folder, or something else, of a node that is not right.
#[must_use]
pub fn bound(claims: &[Value], volumes: &[Value], is_right: impl Fn(&str) -> bool) -> Vec<Bound> {
    let of = |claim: &Value| {
        let name = text(claim, "/spec/volumeName");
        let volume = volumes.iter().find(|volume| text(volume, "/metadata/name") == name)?;
        let node = hostname(volume).filter(|node| !is_right(node))?;
        Some(Bound {
            claim: tenant_name(claim)?,
            name: text(claim, "/metadata/name").to_owned(),
            node: node.to_owned(),
            size: Bytes::parse(text(volume, "/spec/capacity/storage")).unwrap_or(Bytes(0)),
            volume: volume.clone(),
        })
    };
    claims.iter().filter_map(of).collect()
}

/// The pods among `pods`, all of the same namespace, that may be using a claim now: they have a node.
#[must_use]
pub fn users<'a>(pods: &'a [Value], claim: &str) -> Vec<&'a Value> {
    let is_user =
        |pod: &&Value| is_alive(pod) && !text(pod, "/spec/nodeName").is_empty() && uses(pod, claim);
    pods.iter().filter(is_user).collect()
}

/// Whether a tenant's pod uses one of these claims, which are told as `namespace/name`.
#[must_use]
pub fn uses_any(pod: &Value, claims: &[String]) -> bool {
    let namespace = text(pod, "/metadata/namespace");
    let is_meant = |claim: &str| claims.contains(&format!("{namespace}/{claim}"));
    claims_of(pod).any(is_meant)
}

/// All claims that have to be on the same node as this one, because pods use them together; itself included.
#[must_use]
pub fn together(pods: &[Value], claim: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::from([claim.to_owned()]);
    loop {
        let count = found.len();
        for pod in pods.iter().filter(|pod| is_alive(pod)) {
            if claims_of(pod).any(|claim| found.contains(claim)) {
                found.extend(claims_of(pod).map(str::to_owned));
            }
        }
        if found.len() == count {
            return found;
        }
    }
}

/// The names of the claims of a pod.
fn claims_of<'a>(pod: &'a Value) -> impl Iterator<Item = &'a str> {
    let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array);
    let claim = |volume: &'a Value| volume.pointer("/persistentVolumeClaim/claimName")?.as_str();
    volumes.into_iter().flatten().filter_map(claim)
}

fn uses(pod: &Value, claim: &str) -> bool {
    claims_of(pod).any(|name| name == claim)
}

/// The node that a volume lies on; empty if it can be anywhere.
#[must_use]
pub fn at(volume: &Value) -> &str {
    hostname(volume).unwrap_or_default()
}

/// The folder of a node that a volume is.
fn path(volume: &Value) -> Option<&str> {
    let places = ["/spec/hostPath/path", "/spec/local/path"];
    places.iter().find_map(|place| volume.pointer(place)?.as_str())
}

/// Lets a volume lie where another one does.
fn set_place(spec: &mut Value, other: &Value) {
    for kind in ["hostPath", "local"] {
        if let Some(spec) = spec.as_object_mut() {
            spec.remove(kind);
        }
        if !other[kind].is_null() {
            spec[kind] = other[kind].clone();
        }
    }
}

/// Whether a pod that copies has failed, and its last words.
#[must_use]
pub fn failure(pod: &Value) -> Option<String> {
    if text(pod, "/status/phase") != "Failed" {
        return None;
    }
    let ended = pod.pointer("/status/containerStatuses/0/state/terminated/message");
    let said = ended.and_then(Value::as_str).unwrap_or_else(|| text(pod, "/status/message"));
    let said = said.trim();
    Some(if said.is_empty() { "it said nothing".to_owned() } else { said.to_owned() })
}

/// Why a pod that copies does not run yet, as far as the host says.
#[must_use]
pub fn waiting(pod: &Value) -> Option<String> {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let refused = conditions.into_iter().flatten().find(|condition| {
        text(condition, "/type") == "PodScheduled" && text(condition, "/status") == "False"
    });
    let why = refused.map(|condition| text(condition, "/message").to_owned());
    why.or_else(|| {
        let waiting = pod.pointer("/status/containerStatuses/0/state/waiting")?;
        Some(format!("{} {}", text(waiting, "/reason"), text(waiting, "/message")))
    })
    .filter(|_| !pod::is_ready(pod))
}

fn labels(cluster: &ClusterName) -> Value {
    json!({ MANAGED_BY: MANAGED_BY_VALUE, COPY: cluster.as_str() })
}

/// Completes an object with what its address says.
fn object(key: &Key, mut body: Value) -> Value {
    body["apiVersion"] = key.kind.api_version().into();
    body["kind"] = key.kind.as_str().into();
    body["metadata"]["name"] = key.name.clone().into();
    if let Some(namespace) = &key.namespace {
        body["metadata"]["namespace"] = namespace.clone().into();
    }
    body
}

#[cfg(test)]
mod tests;
