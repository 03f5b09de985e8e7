//! How a volume on the disk of one node comes to another node: what is made for that on the host, and what takes the
//! place of what.
//!
//! A claim stays what it is. The volume under it is replaced by one of the same name that lies elsewhere. Everything that
//! is needed meanwhile is in a namespace of its own, in which the tenant has no rights: what is written there decides
//! which folder of a node becomes the tenant's.

use crate::{
    cidr::Cidr,
    machine::{LABEL, NO_SCHEDULE, TAINT},
    moving::hostname,
    object::{Key, Kind, MANAGED_BY, MANAGED_BY_VALUE},
    pod::{self, is_alive, text},
    settings::HostSettings,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{Bytes, ClusterName, Isolation};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The label of what a copy needs outside of its namespace; its value is the cluster's name.
pub const COPY: &str = "warren.dev/volume-copy";
/// The pod and the claim that bytes come from.
pub const OUT: &str = "out";
/// The pod and the claim that bytes go to.
pub const IN: &str = "in";
/// The entry in which the configuration map has what is replaced by what.
const SWAP: &str = "swap";
/// Who made a volume and removes it (Kubernetes, well-known annotations).
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// How long a pod may copy, in seconds: longer than the step that waits for it.
const LONGEST_SECONDS: u32 = 26 * 60 * 60;

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

/// What a pod that copies shows to Warren.
#[derive(Clone, Copy)]
pub struct Tokens<'a> {
    /// Of the pod that bytes come from.
    pub out: &'a str,
    /// Of the pod that they go to.
    pub into: &'a str,
    /// The authority behind the run endpoint's certificate, as PEM.
    pub authority: &'a str,
}

impl std::fmt::Debug for Tokens<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(…)")
    }
}

/// What is to be replaced by what, written down before anything is.
#[derive(Debug, Clone, PartialEq)]
pub struct Swap {
    /// The volume as it was.
    pub old: Value,
    /// The one in which the copy is.
    pub copy: Value,
    /// The claim's name on the host.
    pub claim: String,
    /// The identifier of the claim by which the copy was made: it is gone when the old folder is removed.
    pub gone: String,
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

/// Where the swap that is under way is written down.
#[must_use]
pub fn swap_key(cluster: &ClusterName) -> Key {
    key(Kind::ConfigMap, cluster, SWAP)
}

/// The volume by which the old folder is read, and the one by which it is removed.
#[must_use]
pub fn volume_key(cluster: &ClusterName, purpose: &str) -> Key {
    Key::global(Kind::PersistentVolume, &format!("warren-copy-{cluster}-{purpose}"))
}

/// The namespace: with what copying takes, which a tenant's own does not allow.
#[must_use]
pub fn render_namespace(cluster: &ClusterName) -> Value {
    let mut labels = labels(cluster);
    for (label, level) in [("enforce", "baseline"), ("warn", "privileged"), ("audit", "privileged")]
    {
        labels[format!("pod-security.kubernetes.io/{label}")] = level.into();
    }
    object(&namespace_key(cluster), json!({ "metadata": { "labels": labels } }))
}

/// Its pods reach the run endpoint, and nobody reaches them.
#[must_use]
pub fn render_policy(cluster: &ClusterName, host: &HostSettings) -> Value {
    let endpoint = host.run_endpoint;
    let to = json!([{ "ipBlock": { "cidr": Cidr::single(endpoint.ip()).to_string() } }]);
    let ports = json!([{ "protocol": "TCP", "port": endpoint.port() }]);
    object(
        &key(Kind::NetworkPolicy, cluster, "run-endpoint"),
        json!({
            "metadata": { "labels": labels(cluster) },
            "spec": {
                "podSelector": {}, "policyTypes": ["Ingress", "Egress"],
                "egress": [{ "to": to, "ports": ports }],
            },
        }),
    )
}

/// What the two pods show.
#[must_use]
pub fn render_secret(cluster: &ClusterName, tokens: Tokens<'_>) -> Value {
    object(
        &key(Kind::Secret, cluster, "tokens"),
        json!({
            "metadata": { "labels": labels(cluster) },
            "type": "Opaque",
            "data": {
                OUT: STANDARD.encode(tokens.out),
                IN: STANDARD.encode(tokens.into),
                "ca.crt": STANDARD.encode(tokens.authority),
            },
        }),
    )
}

/// A second volume at the place of the one that is copied, for the pod that reads it, and its claim. Nobody removes
/// anything when it goes.
#[must_use]
pub fn render_source(cluster: &ClusterName, bound: &Bound) -> [Value; 2] {
    let (volume, claim) =
        (volume_key(cluster, OUT), key(Kind::PersistentVolumeClaim, cluster, OUT));
    let spec = &bound.volume["spec"];
    let mut copy = json!({
        "accessModes": spec["accessModes"],
        "capacity": spec["capacity"],
        "nodeAffinity": spec["nodeAffinity"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "",
        "claimRef": { "namespace": namespace(cluster), "name": OUT },
    });
    set_place(&mut copy, spec);
    let claimed = json!({
        "accessModes": spec["accessModes"],
        "resources": { "requests": { "storage": spec["capacity"]["storage"] } },
        "storageClassName": "",
        "volumeName": volume.name,
    });
    let with = |spec: Value| json!({ "metadata": { "labels": labels(cluster) }, "spec": spec });
    [object(&volume, with(copy)), object(&claim, with(claimed))]
}

/// The claim by which the new place is made.
#[must_use]
pub fn render_target(cluster: &ClusterName, bound: &Bound) -> Value {
    let spec = &bound.volume["spec"];
    object(
        &key(Kind::PersistentVolumeClaim, cluster, IN),
        json!({
            "metadata": { "labels": labels(cluster) },
            "spec": {
                "accessModes": spec["accessModes"],
                "resources": { "requests": { "storage": spec["capacity"]["storage"] } },
                "storageClassName": spec["storageClassName"],
            },
        }),
    )
}

/// The pod that bytes come from. Its volume says where it runs.
#[must_use]
pub fn render_out(cluster: &ClusterName, host: &HostSettings) -> Value {
    // The node is closed by then, if it is the tenant's own.
    let mut all = tolerations(cluster);
    if let Some(all) = all.as_array_mut() {
        let closed = "node.kubernetes.io/unschedulable";
        all.push(json!({ "key": closed, "operator": "Exists", "effect": NO_SCHEDULE }));
    }
    pod(cluster, host, OUT, (json!({}), all))
}

/// The pod that bytes go to. On nodes of the tenant's own, or on those of everybody, or on this one.
#[must_use]
pub fn render_in(
    cluster: &ClusterName,
    host: &HostSettings,
    isolation: Isolation,
    node: Option<&str>,
) -> Value {
    let (mut selector, tolerations) = match isolation {
        Isolation::Shared => (json!({}), json!([])),
        Isolation::Dedicated => (json!({ LABEL: cluster.as_str() }), tolerations(cluster)),
    };
    if let Some(node) = node {
        selector["kubernetes.io/hostname"] = node.into();
    }
    pod(cluster, host, IN, (selector, tolerations))
}

/// Lets a pod onto the tenant's own nodes.
fn tolerations(cluster: &ClusterName) -> Value {
    let value = cluster.as_str();
    json!([{ "key": TAINT, "operator": "Equal", "value": value, "effect": NO_SCHEDULE }])
}

/// Root in a user namespace of its own, with what is needed to read and to give away other users' files.
fn pod(
    cluster: &ClusterName,
    host: &HostSettings,
    side: &str,
    (selector, tolerations): (Value, Value),
) -> Value {
    let capabilities = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID"];
    let container = json!({
        "name": "copy",
        "image": host.images.runner,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/warren-runner", "copy", side, "/volume"],
        "env": [
            { "name": "WARREN_RUN_ENDPOINT", "value": format!("https://{}", host.run_endpoint) },
            { "name": "WARREN_RUN_DIR", "value": "/warren/run" },
        ],
        "resources": {
            "limits": { "cpu": "1", "memory": "64Mi" },
            "requests": { "cpu": "10m", "memory": "32Mi" },
        },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": { "drop": ["ALL"], "add": capabilities },
            "readOnlyRootFilesystem": true,
            "runAsUser": 0,
            "runAsGroup": 0,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            { "name": "volume", "mountPath": "/volume", "readOnly": side == OUT },
            { "name": "run", "mountPath": "/warren/run", "readOnly": true },
        ],
    });
    let items = json!([{ "key": side, "path": "token" }, { "key": "ca.crt", "path": "ca.crt" }]);
    object(
        &key(Kind::Pod, cluster, side),
        json!({
            "metadata": { "labels": labels(cluster) },
            "spec": {
                "activeDeadlineSeconds": LONGEST_SECONDS,
                "automountServiceAccountToken": false,
                "containers": [container],
                "enableServiceLinks": false,
                "hostUsers": false,
                "nodeSelector": selector,
                "restartPolicy": "Never",
                "securityContext": { "seccompProfile": { "type": "RuntimeDefault" } },
                "terminationGracePeriodSeconds": 1,
                "tolerations": tolerations,
                "volumes": [
                    { "name": "volume", "persistentVolumeClaim": { "claimName": side } },
                    { "name": "run", "secret": { "secretName": "tokens", "items": items } },
                ],
            },
        }),
    )
}

impl Swap {
    /// What is written down of it.
    #[must_use]
    pub fn render(&self, cluster: &ClusterName) -> Value {
        let Self { old, copy, claim, gone } = self;
        let swap = json!({ "old": kept(old), "copy": kept(copy), "claim": claim, "gone": gone });
        object(
            &swap_key(cluster),
            json!({
                "metadata": { "labels": labels(cluster) },
                "data": { SWAP: swap.to_string() },
            }),
        )
    }

    /// Reads it again; nothing if it is not what was written.
    #[must_use]
    pub fn read(map: &Value) -> Option<Self> {
        let mut swap: Value = serde_json::from_str(map["data"][SWAP].as_str()?).ok()?;
        Some(Self {
            old: swap["old"].take(),
            copy: swap["copy"].take(),
            claim: swap["claim"].as_str()?.to_owned(),
            gone: swap["gone"].as_str()?.to_owned(),
        })
    }

    /// The address of the tenant's volume, before and after.
    #[must_use]
    pub fn volume(&self) -> Key {
        Key::global(Kind::PersistentVolume, text(&self.old, "/metadata/name"))
    }

    /// The address of the volume in which the copy is.
    #[must_use]
    pub fn copied(&self) -> Key {
        Key::global(Kind::PersistentVolume, text(&self.copy, "/metadata/name"))
    }

    /// Whether a volume lies where the copy is.
    #[must_use]
    pub fn is_new(&self, volume: &Value) -> bool {
        path(volume).is_some() && path(volume) == path(&self.copy) && at(volume) == at(&self.copy)
    }

    /// What takes the old volume's place: it has its name and its claim, and lies where the copy is.
    #[must_use]
    pub fn render_new(&self) -> Value {
        let mut new = self.old.clone();
        new["spec"]["persistentVolumeReclaimPolicy"] = "Delete".into();
        new["spec"]["nodeAffinity"] = self.copy["spec"]["nodeAffinity"].clone();
        set_place(&mut new["spec"], &self.copy["spec"]);
        object(&self.volume(), new)
    }

    /// A volume whose claim is gone: whoever makes volumes removes the old folder with it.
    #[must_use]
    pub fn render_rest(&self, cluster: &ClusterName) -> Value {
        let mut rest = self.old.clone();
        rest["metadata"]["labels"] = labels(cluster);
        rest["spec"]["persistentVolumeReclaimPolicy"] = "Delete".into();
        rest["spec"]["claimRef"] = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "namespace": namespace(cluster), "name": IN, "uid": self.gone,
        });
        object(&volume_key(cluster, "rest"), rest)
    }

    /// The node that the old folder is on.
    #[must_use]
    pub fn node(&self) -> &str {
        at(&self.old)
    }
}

/// What of a volume is its own: not what the API server says of this object.
fn kept(volume: &Value) -> Value {
    let annotations = volume.pointer("/metadata/annotations").and_then(Value::as_object);
    let kept = annotations.into_iter().flatten().filter(|(name, _)| *name == PROVISIONED_BY);
    let annotations: Value = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
    let mut spec = volume["spec"].clone();
    if let Some(claim) = spec.get_mut("claimRef").and_then(Value::as_object_mut) {
        claim.remove("resourceVersion");
    }
    let name = text(volume, "/metadata/name");
    json!({ "metadata": { "name": name, "annotations": annotations }, "spec": spec })
}

/// The claims whose volume is a folder, or something else, of a node that is not right.
#[must_use]
pub fn bound(claims: &[Value], volumes: &[Value], is_right: impl Fn(&str) -> bool) -> Vec<Bound> {
    let of = |claim: &Value| {
        let name = text(claim, "/spec/volumeName");
        let volume = volumes.iter().find(|volume| text(volume, "/metadata/name") == name)?;
        let node = hostname(volume).filter(|node| !is_right(node))?;
        Some(Bound {
            claim: crate::moving::tenant_name(claim)?,
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
