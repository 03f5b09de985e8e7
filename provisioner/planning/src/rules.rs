//! What tenants' pods and services may not do, in the words that tenants read.
//!
//! The same rules hold twice: on the host, where they are the boundary even if the tenant's control plane is hostile, and
//! inside the tenant, where the refusal is seen by whoever made the object instead of in an event of the syncer.

use crate::admission::Rule;

/// Variables that [`pod_rules`] use.
pub(crate) fn pod_variables() -> Vec<(&'static str, String)> {
    let or_empty = |field: &str, empty: &str| format!("has({field}) ? {field} : {empty}");
    vec![
        ("initContainers", or_empty("object.spec.initContainers", "[]")),
        ("ephemeralContainers", or_empty("object.spec.ephemeralContainers", "[]")),
        ("volumes", or_empty("object.spec.volumes", "[]")),
        ("tolerations", or_empty("object.spec.tolerations", "[]")),
        ("annotations", or_empty("object.metadata.annotations", "{}")),
    ]
}

/// Does nothing to objects that are on their way out, so that a stricter rule cannot keep them.
pub(crate) const STAYS: (&str, &str) =
    ("is-not-being-deleted", "!has(object.metadata.deletionTimestamp)");

/// What holds for pods on the host and inside the tenant. `own_taint` says in CEL which toleration `t` is that of
/// the tenant's own nodes.
pub(crate) fn pod_rules(own_taint: Option<&str>) -> Vec<Rule> {
    let own_taint = own_taint.map(|own| format!(" || ({own})")).unwrap_or_default();
    let mut rules = vec![
        Rule::new(
            "request.operation != 'CREATE' || !has(object.spec.nodeName) || object.spec.nodeName == ''",
            "spec.nodeName is not allowed: the scheduler chooses the node. Leave the field out; use nodeSelector or \
             affinity if the place matters.",
        ),
        Rule::new(
            ["hostNetwork", "hostPID", "hostIPC"]
                .map(|field| format!("(!has(object.spec.{field}) || !object.spec.{field})"))
                .join(" && "),
            "hostNetwork, hostPID and hostIPC are not allowed: the node belongs to other tenants, too. Remove them.",
        ),
        Rule::new(
            "!variables.volumes.exists(v, has(v.hostPath))",
            "hostPath volumes are not allowed: the node's files belong to other tenants, too. Use an emptyDir or a \
             PersistentVolumeClaim.",
        ),
        Rule::new(
            format!("variables.volumes.all(v, {})", known_volume()),
            "Only these kinds of volumes are allowed: configMap, downwardAPI, emptyDir, ephemeral, image, \
             persistentVolumeClaim, projected, secret.",
        ),
        Rule::new(
            format!(
                "variables.tolerations.all(t, (has(t.key) && t.key in ['node.kubernetes.io/not-ready', \
                 'node.kubernetes.io/unreachable'] && has(t.effect) && t.effect == 'NoExecute'){own_taint})"
            ),
            "Only tolerations of node.kubernetes.io/not-ready and node.kubernetes.io/unreachable with effect NoExecute \
             are allowed: other taints keep nodes for somebody else. Remove the toleration.",
        ),
    ];
    rules.extend(container_rules());
    rules.extend([
        Rule::new(
            "!has(object.spec.runtimeClassName) || object.spec.runtimeClassName == ''",
            "runtimeClassName is not allowed: the plan decides how pods are run. Leave the field out.",
        ),
        Rule::new(
            "!has(object.spec.resourceClaims) || object.spec.resourceClaims.size() == 0",
            "resourceClaims are not allowed: this plan has no devices. Remove them.",
        ),
        Rule::new(
            "!variables.annotations.exists(name, ['k8s.v1.cni.cncf.io/', 'v1.multus-cni.io/', \
             'cni.projectcalico.org/', 'io.kubernetes.cri-o.', 'io.katacontainers.'].exists(prefix, \
             name.startsWith(prefix)))",
            "Annotations that change a pod's network or runtime on the node are not allowed. Remove annotations of \
             k8s.v1.cni.cncf.io, v1.multus-cni.io, cni.projectcalico.org, io.kubernetes.cri-o and io.katacontainers.",
        ),
    ]);
    rules
}

fn container_rules() -> [Rule; 3] {
    // Three lists of two types: they cannot be joined into one.
    let every = |what: &str| {
        ["object.spec.containers", "variables.initContainers", "variables.ephemeralContainers"]
            .map(|list| format!("{list}.all(c, {what})"))
            .join(" && ")
    };
    [
        Rule::new(
            every(
                "!has(c.securityContext) || !has(c.securityContext.privileged) || !c.securityContext.privileged",
            ),
            "Privileged containers are not allowed: the node belongs to other tenants, too. Remove \
             securityContext.privileged.",
        ),
        Rule::new(
            every(
                "!has(c.securityContext) || !has(c.securityContext.capabilities) || \
                 !has(c.securityContext.capabilities.add) || \
                 c.securityContext.capabilities.add.all(a, a == 'NET_BIND_SERVICE')",
            ),
            "No capability but NET_BIND_SERVICE may be added. Remove the others from \
             securityContext.capabilities.add.",
        ),
        Rule::new(
            every("!has(c.ports) || c.ports.all(p, !has(p.hostPort) || p.hostPort == 0)"),
            "hostPort is not allowed: the node's ports are shared with other tenants. Use a Service of type \
             ClusterIP.",
        ),
    ]
}

/// What holds for services on the host and inside the tenant.
pub(crate) fn service_rules() -> Vec<Rule> {
    let is_not = |kind: &str| format!("!has(object.spec.type) || object.spec.type != '{kind}'");
    vec![
        Rule::new(
            is_not("NodePort"),
            "Services of type NodePort are not allowed: the nodes' ports are shared with other tenants. Use type \
             ClusterIP, and port-forward to reach it from outside.",
        ),
        Rule::new(
            is_not("LoadBalancer"),
            "Services of type LoadBalancer are not allowed: this plan has no load balancers. Use type ClusterIP, and \
             port-forward to reach it from outside.",
        ),
        Rule::new(
            is_not("ExternalName"),
            "Services of type ExternalName are not allowed: they could point at other tenants' services. Use the \
             external name itself.",
        ),
        Rule::new(
            "!has(object.spec.externalIPs) || object.spec.externalIPs.size() == 0",
            "externalIPs are not allowed: they would take other tenants' traffic. Remove them.",
        ),
        Rule::new(
            "!has(object.spec.loadBalancerIP) || object.spec.loadBalancerIP == ''",
            "loadBalancerIP is not allowed: this plan has no load balancers. Remove it.",
        ),
    ]
}

/// What holds for claims on the host and inside the tenant.
pub(crate) fn claim_rules() -> Vec<Rule> {
    vec![
        Rule::new(
            "request.operation != 'CREATE' || !has(object.spec.volumeName) || object.spec.volumeName == ''",
            "volumeName is not allowed in a new claim: a volume is made for it. Leave the field out.",
        ),
        Rule::new(
            "!has(object.spec.selector)",
            "selector is not allowed in a claim: a volume is made for it. Leave the field out.",
        ),
        // Without a class the host fills in its default one; the empty text means: none, ever.
        Rule::new(
            "!has(object.spec.storageClassName) || object.spec.storageClassName != ''",
            "An empty storageClassName is not allowed: it would take a volume that was made by hand. Leave the field \
             out.",
        ),
    ]
}

/// A hostPath has a rule and a message of its own.
fn known_volume() -> String {
    let kinds = [
        "configMap",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "hostPath",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    kinds.map(|kind| format!("has(v.{kind})")).join(" || ")
}
