//! What Warren puts into a tenant's own API server.

use crate::{
    admission::{self, Refusal, Target},
    namespace,
    object::{Key, Kind, Rendered},
    quota, rules,
    settings::{HostSettings, UserNamespaces},
};
use domain::ProjectName;
use serde_json::{Value, json};

/// The account that agents run as; it may read its own namespace's configuration maps and nothing else.
pub const AGENT: &str = "agent";
/// The name of what Warren puts into project namespaces.
const NAME: &str = "warren";

/// Renders the standard project and the policies that say in the tenant's own words what the host refuses. The tenant may
/// change them; they come back, and the host's own stay.
#[must_use]
pub fn render_baseline(host: &HostSettings) -> Vec<Rendered> {
    let mut objects = people();
    objects.extend(render_project(&ProjectName::standard()));
    objects.extend(policies());
    if host.user_namespaces == UserNamespaces::Forced {
        objects.extend(user_namespaces());
    }
    objects
}

/// What people may do with the credentials that Warren mints, by the group in their certificate; the
/// cluster roles are Kubernetes' own.
fn people() -> Vec<Rendered> {
    const GROUPS: [(&str, &str); 3] =
        [("admins", "cluster-admin"), ("developers", "edit"), ("viewers", "view")];
    let binding = |(group, role): (&str, &str)| {
        let name = format!("warren:{group}");
        let body = json!({
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": role,
            },
            "subjects": [
                { "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name },
            ],
        });
        Rendered::new(Key::global(Kind::ClusterRoleBinding, &name), None, body)
    };
    GROUPS.into_iter().map(binding).collect()
}

/// Renders a project: the namespace that runs are in, in the order in which it has to be applied.
#[must_use]
pub fn render_project(project: &ProjectName) -> Vec<Rendered> {
    let namespace = project.as_str();
    let object = |kind, name: &str, body: Value| {
        Rendered::new(Key::namespaced(kind, namespace, name), None, body)
    };
    let role_ref = json!({
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "Role",
        "name": AGENT,
    });
    vec![
        Rendered::new(
            Key::global(Kind::Namespace, namespace),
            None,
            json!({ "metadata": { "labels": namespace::restricted() } }),
        ),
        object(Kind::LimitRange, NAME, json!({ "spec": quota::limits() })),
        object(Kind::ServiceAccount, AGENT, json!({ "automountServiceAccountToken": false })),
        object(
            Kind::Role,
            AGENT,
            json!({ "rules": [
                { "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"] },
            ] }),
        ),
        object(
            Kind::RoleBinding,
            AGENT,
            json!({
                "roleRef": role_ref,
                "subjects": [{ "kind": "ServiceAccount", "name": AGENT, "namespace": namespace }],
            }),
        ),
    ]
}

/// A pod that says nothing of it is in a user namespace, as it will be on the host. Pod Security lets root run in one,
/// and would not know otherwise: it judges here first. Pods that want the node's namespaces are for it to refuse.
fn user_namespaces() -> [Rendered; 2] {
    let target = Target { operations: &["CREATE"], resources: &["pods"], ..Target::PODS };
    let condition = "!has(object.spec.hostUsers) && !(has(object.spec.hostNetwork) && object.spec.hostNetwork) \
        && !(has(object.spec.hostPID) && object.spec.hostPID) && !(has(object.spec.hostIPC) && object.spec.hostIPC)";
    admission::mutation(
        "warren-pod-users",
        target,
        ("says-nothing", condition),
        "Object{spec: Object.spec{hostUsers: false}}",
        &json!({}),
    )
}

fn policies() -> Vec<Rendered> {
    let everywhere = json!({});
    let refusal = |name, target, variables, rules| {
        let conditions = &[rules::STAYS];
        let namespaces = &everywhere;
        Refusal { name, target, conditions, variables, rules, namespaces, params: None }.render()
    };
    let claims = Target { resources: &["persistentvolumeclaims"], ..Target::SERVICES };
    let mut objects = Vec::new();
    objects.extend(refusal(
        "warren-pods",
        Target::PODS,
        rules::pod_variables(),
        rules::pod_rules(None),
    ));
    objects.extend(refusal(
        "warren-services",
        Target::SERVICES,
        Vec::new(),
        rules::service_rules(),
    ));
    objects.extend(refusal("warren-volumes", claims, Vec::new(), rules::claim_rules()));
    objects
}
