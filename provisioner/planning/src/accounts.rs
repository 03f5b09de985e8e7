//! The accounts of a tenant on the host, and what they may do.

use crate::{
    cluster::ClusterSpec,
    object::{Key, Kind, Rendered},
};
use serde_json::json;

/// What every control plane may do in the namespace that it is bound in.
const CONTROL_PLANE_ROLE: &str = "warren-control-plane";

/// The account of the control plane.
pub(crate) fn control_plane(cluster: &str) -> String {
    format!("vc-{cluster}")
}

/// The account of every pod of the tenant; it may do nothing.
pub(crate) fn workload(cluster: &str) -> String {
    format!("vc-workload-{cluster}")
}

pub(crate) fn render_accounts(spec: &ClusterSpec) -> Vec<Rendered> {
    let account = |name: String| {
        let body = json!({ "automountServiceAccountToken": false });
        spec.object(Kind::ServiceAccount, &name, body)
    };
    let cluster = spec.cluster.as_str();
    vec![account(control_plane(cluster)), account(workload(cluster))]
}

/// What the syncer needs, as vCluster's chart grants it for a host of 1.35 or newer, but for workloads: it may change
/// a stateful set (it rolls its own after renewing certificates), of which there is one in a tenant's namespace.
///
/// One role for all tenants, which Warren may bind by name. For a role in each namespace the API server would find out
/// each time that nobody grants what they do not have, which takes it about a second (Kubernetes, "Privilege escalation
/// prevention").
///
/// Source: vCluster 0.36.1, chart/templates/role.yaml.
pub(crate) fn render_role() -> Rendered {
    let all = json!(["create", "delete", "patch", "update", "get", "list", "watch"]);
    let read = json!(["get", "list", "watch"]);
    let change = json!(["patch", "update"]);
    let synced = json!([
        "configmaps",
        "secrets",
        "services",
        "pods",
        "pods/attach",
        "pods/portforward",
        "pods/exec",
        "persistentvolumeclaims",
        "endpoints"
    ]);
    let parts = json!(["pods/status", "pods/ephemeralcontainers", "pods/resize"]);
    let workloads = json!(["statefulsets", "replicasets", "deployments"]);
    let rules = json!([
        { "apiGroups": [""], "resources": synced, "verbs": all },
        { "apiGroups": [""], "resources": parts, "verbs": change },
        { "apiGroups": [""], "resources": ["pods/log"], "verbs": read },
        { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": all },
        {
            "apiGroups": ["", "events.k8s.io"],
            "resources": ["events"],
            "verbs": ["create", "get", "list", "watch"],
        },
        { "apiGroups": ["apps"], "resources": workloads, "verbs": read },
        {
            "apiGroups": ["apps"],
            "resources": ["statefulsets"],
            "verbs": change,
        },
    ]);
    let key = Key::global(Kind::ClusterRole, CONTROL_PLANE_ROLE);
    Rendered::new(key, None, json!({ "rules": rules }))
}

pub(crate) fn render_role_binding(spec: &ClusterSpec) -> Rendered {
    let name = control_plane(spec.cluster.as_str());
    let body = json!({
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": CONTROL_PLANE_ROLE,
        },
        "subjects": [
            { "kind": "ServiceAccount", "name": name, "namespace": spec.namespace() },
        ],
    });
    spec.object(Kind::RoleBinding, &name, body)
}
