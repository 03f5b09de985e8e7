//! What is made to copy a volume: a namespace, and in it two claims and two pods.

use super::{Bound, IN, OUT, key, labels, namespace, namespace_key, object, set_place, volume_key};
use crate::{
    cidr::Cidr,
    machine::{LABEL, NO_SCHEDULE, TAINT},
    object::Kind,
    settings::HostSettings,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{ClusterName, Isolation};
use serde_json::{Value, json};
use std::fmt;

/// How long a pod may copy, in seconds: longer than the step that waits for it.
const LONGEST_SECONDS: u32 = 26 * 60 * 60;

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

impl fmt::Debug for Tokens<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(…)")
    }
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
