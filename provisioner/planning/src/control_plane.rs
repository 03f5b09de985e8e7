//! The pod that a tenant's API server runs in, and the services in front of it.

use crate::{
    accounts,
    cluster::ClusterSpec,
    network::API_PORT,
    object::{Kind, Rendered},
    quota,
    settings::{HostSettings, KubernetesDelivery},
    syncer::CONFIG_HASH,
};
use serde_json::{Value, json};

/// The user and group of everything in the pod; upstream tests its rootless form with it.
const USER: u32 = 12345;

/// Tells the programs of Warren's own image to start an empty store with what Kubernetes would write into it; see
/// `docs/adr/0004-planted-store.md`. Upstream's programs do not know it.
const NEW_STORE: &str = "WARREN_NEW_STORE";

/// The service that owns everything that is synced.
///
/// The annotation spares the syncer a dozen test services (vCluster 0.36.1, pkg/util/servicecidr). There is one
/// pod: whether it is ready is what a caller finds out by calling, not what the host has noticed a second later.
pub(crate) fn render_service(spec: &ClusterSpec, host: &HostSettings) -> Rendered {
    let body = json!({
        "metadata": {
            "labels": labels(spec, &[("vcluster.loft.sh/service", "true")]),
            "annotations": { "vcluster.loft.sh/service-cidr": host.service_cidr.to_string() },
        },
        "spec": {
            "type": "ClusterIP",
            "publishNotReadyAddresses": true,
            "selector": selector(spec),
            "ports": [
                { "name": "https", "port": 443, "targetPort": API_PORT, "protocol": "TCP" },
                { "name": "kubelet", "port": 10250, "targetPort": API_PORT, "protocol": "TCP" },
            ],
        },
    });
    let service = spec.object(Kind::Service, spec.cluster.as_str(), body);
    if spec.was_ready {
        service.never_again(
            "it owns everything that was synced, and the host deletes what it owned; a new one would only hide that. \
             Look at what is left in the namespace before anything else",
        )
    } else {
        service
    }
}

/// The service that the stateful set demands.
pub(crate) fn render_headless_service(spec: &ClusterSpec) -> Rendered {
    let body = json!({
        "metadata": { "labels": labels(spec, &[]) },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "publishNotReadyAddresses": true,
            "selector": selector(spec),
            "ports": [{ "name": "https", "port": 443, "targetPort": API_PORT, "protocol": "TCP" }],
        },
    });
    spec.object(Kind::Service, &format!("{}-headless", spec.cluster), body)
}

/// The control plane. `spec.replicas` is left out: it belongs to whoever pauses and resumes.
///
/// Names of container and volumes are those that vCluster's own command line looks for.
pub(crate) fn render_stateful_set(
    spec: &ClusterSpec,
    host: &HostSettings,
    config: &Rendered,
) -> Rendered {
    let cluster = spec.cluster.as_str();
    let mut claim = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": { "requests": { "storage": spec.plan.overhead.storage.to_string() } },
    });
    if let Some(class) = &host.storage_class {
        claim["storageClassName"] = json!(class);
    }
    let body = json!({
        "metadata": { "labels": labels(spec, &[]) },
        "spec": {
            "serviceName": format!("{cluster}-headless"),
            "podManagementPolicy": "Parallel",
            "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Retain", "whenScaled": "Retain" },
            "selector": { "matchLabels": selector(spec) },
            "template": {
                "metadata": {
                    "labels": labels(spec, &[]),
                    // A new configuration has to restart the pod: the syncer reads it once.
                    "annotations": { CONFIG_HASH: config.hash().unwrap_or_default() },
                },
                "spec": pod(spec, host),
            },
            "volumeClaimTemplates": [{ "metadata": { "name": "data" }, "spec": claim }],
        },
    });
    spec.object(Kind::StatefulSet, cluster, body)
}

/// What the syncer's container may use.
pub(crate) fn resources() -> Value {
    let limit = quota::CONTROL_PLANE;
    json!({
        "limits": {
            "cpu": limit.cpu.to_string(),
            "memory": limit.memory.to_string(),
            "ephemeral-storage": "4Gi",
        },
        "requests": { "cpu": "100m", "memory": "448Mi", "ephemeral-storage": "64Mi" },
    })
}

fn labels(spec: &ClusterSpec, more: &[(&str, &str)]) -> Value {
    let mut labels = selector(spec);
    for (name, value) in more {
        labels[*name] = json!(value);
    }
    labels
}

fn selector(spec: &ClusterSpec) -> Value {
    json!({ "app": "vcluster", "release": spec.cluster.as_str() })
}

fn pod(spec: &ClusterSpec, host: &HostSettings) -> Value {
    let cluster = spec.cluster.as_str();
    let binaries = match host.kubernetes_delivery {
        KubernetesDelivery::ImageVolume => json!({
            "name": "binaries",
            "image": { "reference": host.images.kubernetes, "pullPolicy": "IfNotPresent" },
        }),
        KubernetesDelivery::InitContainer => json!({ "name": "binaries", "emptyDir": {} }),
    };
    let mut pod = json!({
        "serviceAccountName": accounts::control_plane(cluster),
        "automountServiceAccountToken": true,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": 15,
        "securityContext": {
            "fsGroup": USER,
            "runAsGroup": USER,
            "runAsNonRoot": true,
            "runAsUser": USER,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "containers": [syncer(spec, host)],
        "volumes": [
            binaries,
            { "name": "certs", "emptyDir": {} },
            { "name": "helm-cache", "emptyDir": {} },
            { "name": "tmp", "emptyDir": {} },
            { "name": "vcluster-config", "secret": { "secretName": format!("vc-config-{cluster}") } },
        ],
    });
    if host.kubernetes_delivery == KubernetesDelivery::InitContainer {
        pod["initContainers"] = json!([copy_binaries(host)]);
    }
    pod
}

fn syncer(spec: &ClusterSpec, host: &HostSettings) -> Value {
    let field = |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    let mount = |name: &str, path: &str| json!({ "name": name, "mountPath": path });
    let mut binaries = mount("binaries", "/binaries");
    let mut env = vec![
        json!({ "name": "VCLUSTER_NAME", "value": spec.cluster.as_str() }),
        json!({ "name": "LOFT_LOG_ENCODING", "value": "json" }),
        field("POD_NAME", "metadata.name"),
        field("POD_IP", "status.podIP"),
        field("NODE_NAME", "spec.nodeName"),
        field("NODE_IP", "status.hostIP"),
    ];
    if host.kubernetes_delivery == KubernetesDelivery::ImageVolume {
        binaries["subPath"] = json!("kubernetes");
        env.push(json!({ "name": NEW_STORE, "value": "planted" }));
    }
    binaries["readOnly"] = json!(true);
    json!({
        "name": "syncer",
        "image": host.images.syncer,
        "imagePullPolicy": "IfNotPresent",
        "resources": resources(),
        "securityContext": container_security(),
        // As upstream: a control plane that is only slow is not killed.
        "livenessProbe": probe("/healthz", 2, 60, 60),
        // Once a second: upstream's six would be the largest part of the time to the first answer.
        "readinessProbe": probe("/readyz", 1, 10, 0),
        "startupProbe": probe("/readyz", 1, 900, 0),
        "env": env,
        "volumeMounts": [
            mount("data", "/data"),
            binaries,
            mount("certs", "/pki"),
            mount("helm-cache", "/.cache/helm"),
            mount("vcluster-config", "/var/lib/vcluster"),
            mount("tmp", "/tmp"),
        ],
    })
}

fn copy_binaries(host: &HostSettings) -> Value {
    json!({
        "name": "kubernetes",
        "image": host.images.kubernetes,
        "imagePullPolicy": "IfNotPresent",
        "command": ["cp"],
        "args": ["-r", "/kubernetes/.", "/binaries/"],
        "resources": {
            "limits": { "cpu": "1", "memory": "256Mi", "ephemeral-storage": "4Gi" },
            "requests": { "cpu": "40m", "memory": "64Mi", "ephemeral-storage": "64Mi" },
        },
        "securityContext": container_security(),
        "volumeMounts": [{ "name": "binaries", "mountPath": "/binaries" }],
    })
}

fn container_security() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
        "readOnlyRootFilesystem": true,
        "runAsGroup": USER,
        "runAsNonRoot": true,
        "runAsUser": USER,
        "seccompProfile": { "type": "RuntimeDefault" },
    })
}

fn probe(path: &str, period: u32, failures: u32, delay: u32) -> Value {
    let mut probe = json!({
        "httpGet": { "path": path, "port": API_PORT, "scheme": "HTTPS" },
        "timeoutSeconds": 3,
        "periodSeconds": period,
        "failureThreshold": failures,
    });
    if delay > 0 {
        probe["initialDelaySeconds"] = json!(delay);
    }
    probe
}
