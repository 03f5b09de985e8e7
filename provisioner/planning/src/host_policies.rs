//! What the host's API server enforces in every tenant's namespace, whatever a tenant's control plane asks for, and
//! what it lets control planes do there.

use crate::{
    accounts,
    admission::{self, Refusal, Rule, Target},
    machine::{self, NO_SCHEDULE},
    node_policies,
    object::{CLUSTER_LABEL, Rendered},
    rules,
    settings::{HostSettings, UserNamespaces},
};
use serde_json::{Value, json};

/// Renders the policies and their bindings, each binding after its policy, and the control planes' role. They are the
/// same for all tenants of a host and have to be there before the first tenant.
#[must_use]
pub fn render_host_policies(host: &HostSettings) -> Vec<Rendered> {
    let namespaces = tenant_namespaces();
    let mut objects = vec![accounts::render_role()];
    if host.user_namespaces == UserNamespaces::Forced {
        objects.extend(user_namespaces(&namespaces));
    }
    objects.extend(pods(host, &namespaces).render());
    objects.extend(services(&namespaces).render());
    objects.extend(claims(host, &namespaces).render());
    objects.extend(secrets(&namespaces).render());
    objects.extend(stateful_sets(&namespaces).render());
    objects.extend(deletions(&namespaces).render());
    if let Some(own) = &host.own_nodes {
        objects.extend(node_policies::render(own));
    }
    objects
}

/// Namespaces of tenants: only Warren labels namespaces, and a tenant's control plane has no rights on its own.
fn tenant_namespaces() -> Value {
    json!({ "matchExpressions": [{ "key": CLUSTER_LABEL, "operator": "Exists" }] })
}

/// Root inside a tenant's pod is nobody outside. The account cannot be chosen by the tenant; labels could.
fn user_namespaces(namespaces: &Value) -> [Rendered; 2] {
    let target = Target { operations: &["CREATE"], resources: &["pods"], ..Target::PODS };
    admission::mutation(
        "warren-user-namespaces",
        target,
        (
            "is-workload",
            "has(object.spec.serviceAccountName) && object.spec.serviceAccountName.startsWith('vc-workload-')",
        ),
        "Object{spec: Object.spec{hostUsers: false}}",
        namespaces,
    )
}

fn cluster_variable() -> (&'static str, String) {
    ("cluster", format!("namespaceObject.metadata.labels['{CLUSTER_LABEL}']"))
}

/// The account of the namespace's own control plane, as a user of the host's API server.
fn own_user_variable() -> (&'static str, String) {
    let text = "'system:serviceaccount:' + request.namespace + ':vc-' + variables.cluster";
    ("controlPlaneUser", text.to_owned())
}

fn pods<'a>(host: &HostSettings, namespaces: &'a Value) -> Refusal<'a> {
    let mut variables = vec![
        cluster_variable(),
        own_user_variable(),
        (
            "account",
            "has(object.spec.serviceAccountName) ? object.spec.serviceAccountName : ''".to_owned(),
        ),
        ("isControlPlane", "variables.account == 'vc-' + variables.cluster".to_owned()),
        ("isWorkload", "variables.account == 'vc-workload-' + variables.cluster".to_owned()),
        ("labels", "has(object.metadata.labels) ? object.metadata.labels : {}".to_owned()),
    ];
    variables.extend(rules::pod_variables());
    let mut rules = account_rules();
    rules.extend(workload_rules(host));
    let own_taint = format!(
        "has(t.key) && t.key == '{}' && has(t.value) && t.value == variables.cluster && has(t.effect) && \
         t.effect == '{NO_SCHEDULE}'",
        machine::TAINT
    );
    rules.extend(rules::pod_rules(Some(&own_taint)));
    Refusal {
        name: "warren-tenant-pods",
        target: Target::PODS,
        conditions: &[rules::STAYS],
        variables,
        rules,
        namespaces,
        params: None,
    }
}

/// A pod is either the tenant's or its control plane, and only the stateful set makes the latter.
fn account_rules() -> Vec<Rule> {
    vec![
        Rule::new(
            "variables.isWorkload || variables.isControlPlane",
            "Pods in a tenant's namespace run as the account of the tenant's workloads and as no other.",
        ),
        Rule::new(
            "!variables.isControlPlane || request.operation != 'CREATE' || request.userInfo.username in \
             ['system:serviceaccount:kube-system:statefulset-controller', 'system:kube-controller-manager']",
            "Only the host's own stateful set controller makes pods with the account of a control plane.",
        ),
        Rule::new(
            "!variables.isControlPlane || ('app' in variables.labels && variables.labels['app'] == 'vcluster' && \
             'release' in variables.labels && variables.labels['release'] == variables.cluster && \
             !('vcluster.loft.sh/managed-by' in variables.labels))",
            "The pod of a control plane carries the labels app=vcluster and release, and none of the syncer.",
        ),
        Rule::new(
            "!variables.isControlPlane || request.operation != 'UPDATE' || \
             request.userInfo.username != variables.controlPlaneUser || object.spec == oldObject.spec",
            "A control plane does not change its own pod.",
        ),
        Rule::new(
            "!variables.isWorkload || ('vcluster.loft.sh/managed-by' in variables.labels && \
             variables.labels['vcluster.loft.sh/managed-by'] == variables.cluster && \
             !('release' in variables.labels))",
            "A tenant's pod carries the syncer's label vcluster.loft.sh/managed-by and no label release: network \
             policies tell pods apart by them.",
        ),
    ]
}

/// What only the host can judge about a tenant's pod.
fn workload_rules(host: &HostSettings) -> Vec<Rule> {
    let workload =
        |must: &str, message| Rule::new(format!("!variables.isWorkload || ({must})"), message);
    let mut rules = vec![
        workload(
            "has(object.spec.automountServiceAccountToken) && !object.spec.automountServiceAccountToken",
            "A tenant's pod gets no token of the host.",
        ),
        workload(
            "variables.volumes.all(v, !has(v.projected) || !has(v.projected.sources) || \
             v.projected.sources.all(s, !has(s.serviceAccountToken) && !has(s.clusterTrustBundle) && \
             !has(s.podCertificate)))",
            "A tenant's pod gets no token and no certificate of the host.",
        ),
        workload(
            "(!has(object.spec.priority) || object.spec.priority <= 0) && (!has(object.spec.priorityClassName) || \
             !object.spec.priorityClassName.startsWith('system-'))",
            "A tenant's pod has no priority over other tenants' pods. Leave priorityClassName out.",
        ),
        Rule::new(
            "!variables.annotations.exists(name, name.startsWith('vcluster.loft.sh/token-'))",
            "Tokens in annotations are not allowed: everybody who may read pods would read them. The syncer has to keep \
             them in Secrets.",
        ),
    ];
    if host.user_namespaces == UserNamespaces::Forced {
        rules.push(workload(
            "has(object.spec.hostUsers) && !object.spec.hostUsers",
            "A tenant's pod runs in a user namespace of its own: hostUsers must be false.",
        ));
    }
    rules
}

fn services(namespaces: &Value) -> Refusal<'_> {
    Refusal {
        name: "warren-tenant-services",
        target: Target::SERVICES,
        conditions: &[rules::STAYS],
        variables: Vec::new(),
        rules: rules::service_rules(),
        namespaces,
        params: None,
    }
}

/// A claim may not take a volume that somebody else left, or one that was made by hand.
fn claims<'a>(host: &HostSettings, namespaces: &'a Value) -> Refusal<'a> {
    let mut rules = rules::claim_rules();
    if let Some(class) = &host.storage_class {
        rules.push(Rule::new(
            format!(
                "!has(object.spec.storageClassName) || object.spec.storageClassName == '{class}'"
            ),
            "This storage class is not part of the plan. Leave storageClassName out.",
        ));
    }
    let resources = &["persistentvolumeclaims"];
    Refusal {
        name: "warren-tenant-volumes",
        target: Target { resources, ..Target::SERVICES },
        conditions: &[rules::STAYS],
        variables: Vec::new(),
        rules,
        namespaces,
        params: None,
    }
}

/// Such a Secret would make the host issue a token that lives as long as the Secret.
fn secrets(namespaces: &Value) -> Refusal<'_> {
    Refusal {
        name: "warren-tenant-secrets",
        target: Target { resources: &["secrets"], ..Target::SERVICES },
        conditions: &[rules::STAYS],
        variables: Vec::new(),
        rules: vec![Rule::new(
            "!has(object.type) || !(object.type in ['kubernetes.io/service-account-token', \
             'bootstrap.kubernetes.io/token'])",
            "Secrets that make the host issue tokens are not allowed.",
        )],
        namespaces,
        params: None,
    }
}

/// The syncer may roll its stateful set, not make it into something else.
fn stateful_sets(namespaces: &Value) -> Refusal<'_> {
    Refusal {
        name: "warren-tenant-control-planes",
        target: Target { group: "apps", resources: &["statefulsets"], ..Target::SERVICES },
        conditions: &[rules::STAYS],
        variables: vec![cluster_variable(), own_user_variable()],
        rules: vec![Rule::new(
            "request.userInfo.username != variables.controlPlaneUser || (request.operation == 'UPDATE' && \
             object.spec.template.spec == oldObject.spec.template.spec)",
            "A control plane may restart itself, and change nothing else about itself.",
        )],
        namespaces,
        params: None,
    }
}

/// The service that owns everything that is synced is not the tenant's to delete.
fn deletions(namespaces: &Value) -> Refusal<'_> {
    Refusal {
        name: "warren-tenant-owner",
        target: Target { operations: &["DELETE"], ..Target::SERVICES },
        conditions: &[],
        variables: vec![cluster_variable(), own_user_variable()],
        rules: vec![Rule::new(
            "request.userInfo.username != variables.controlPlaneUser || request.name != variables.cluster",
            "The service of a control plane owns everything that is synced; only Warren deletes it.",
        )],
        namespaces,
        params: None,
    }
}
