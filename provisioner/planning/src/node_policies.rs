//! What nodes may do to the host cluster. A node is a machine that a tenant's workload may have broken out to: it has a
//! certificate of its own, and on K3s one that all nodes share.

use crate::{
    admission::{GLOBAL, Refusal, Rule, Target, WRITES},
    machine::{NO_SCHEDULE, TAINT, UNPROVEN, expected_key},
    object::Rendered,
};
use domain::NodeName;
use serde_json::json;

/// The user of K3s' agents: one for all nodes of a cluster.
///
/// Source: K3s 1.36, `pkg/daemons/control/deps`.
const SHARED_AGENT: &str = "system:k3s-controller";

/// Renders the policies. `own` are the nodes that are the operator's.
pub(crate) fn render(own: &[String]) -> Vec<Rendered> {
    let everywhere = json!({});
    let expected = expected_key();
    let registration = Refusal {
        name: "warren-node-registration",
        target: nodes(&["nodes"], &["CREATE"]),
        conditions: &[("is-node", "'system:nodes' in request.userInfo.groups")],
        variables: vec![
            ("own", format!("{}", json!(own))),
            ("expected", "has(params.data) ? params.data : {}".to_owned()),
            ("name", "object.metadata.name".to_owned()),
            ("entry", "variables.name + '.'".to_owned()),
            (
                "is_expected",
                "variables.expected.exists(entry, entry.startsWith(variables.entry))".to_owned(),
            ),
            ("taints", "has(object.spec.taints) ? object.spec.taints : []".to_owned()),
        ],
        rules: registration_rules(),
        namespaces: &everywhere,
        params: Some(&expected),
    };
    let shared_user = format!("request.userInfo.username == '{SHARED_AGENT}'");
    let is_shared = [("is-shared-agent", shared_user.as_str())];
    let shared = Refusal {
        name: "warren-node-agents",
        target: nodes(&["nodes", "nodes/status"], WRITES),
        conditions: &is_shared,
        variables: Vec::new(),
        rules: shared_rules(),
        namespaces: &everywhere,
        params: None,
    };
    let machine =
        format!("request.userInfo.username.startsWith('system:node:{}')", NodeName::PREFIX);
    let is_machine = [("is-tenant-node", machine.as_str())];
    let pods = Refusal {
        name: "warren-node-pods",
        target: Target { operations: &["CREATE"], resources: &["pods"], ..Target::PODS },
        conditions: &is_machine,
        variables: Vec::new(),
        rules: vec![Rule::new(
            "false",
            "A tenant's node makes no pods, also none of its own (static pods).",
        )],
        namespaces: &everywhere,
        params: None,
    };
    let labels = Refusal {
        name: "warren-node-labels",
        target: nodes(&["nodes", "nodes/status"], WRITES),
        conditions: &is_machine,
        variables: vec![(
            "labels",
            "has(object.metadata.labels) ? object.metadata.labels : {}".to_owned(),
        )],
        rules: vec![Rule::new(
            "!variables.labels.exists(name, name.startsWith('svccontroller.k3s.cattle.io/'))",
            "A tenant's node does not decide where load balancers run.",
        )],
        namespaces: &everywhere,
        params: None,
    };
    [registration, shared, pods, labels].into_iter().flat_map(Refusal::render).collect()
}

fn nodes(resources: &'static [&'static str], operations: &'static [&'static str]) -> Target {
    Target { group: "", resources, operations, scope: GLOBAL }
}

fn registration_rules() -> Vec<Rule> {
    let has_taint = |key: &str, value: &str| {
        format!(
            "variables.taints.exists(t, t.key == '{key}' && has(t.value) && {value} && t.effect == '{NO_SCHEDULE}')"
        )
    };
    vec![
        Rule::new(
            "variables.name in variables.own || variables.is_expected",
            "This node is not expected now. Nodes of tenants are made by Warren; the host cluster's own are named in \
             proxmox.own_nodes.",
        ),
        Rule::new(
            format!(
                "!variables.is_expected || ({} && {})",
                has_taint(TAINT, "(variables.entry + t.value) in variables.expected"),
                has_taint(UNPROVEN, "t.value == 'true'")
            ),
            "A tenant's node registers with the taint of its tenant and as one that is not proven yet.",
        ),
    ]
}

/// What every agent of K3s may write with the identity that all of them share: how its network is made, nothing else.
fn shared_rules() -> Vec<Rule> {
    let same = |part: &str| {
        format!(
            "has(object.{part}) == has(oldObject.{part}) && (!has(object.{part}) || object.{part} == oldObject.{part})"
        )
    };
    vec![
        Rule::new(
            format!("request.operation == 'UPDATE' && {}", same("spec")),
            "The identity that all nodes share changes no node's taints and makes no nodes.",
        ),
        Rule::new(
            same("metadata.labels"),
            "The identity that all nodes share changes no node's labels.",
        ),
        Rule::new(
            "(has(object.metadata.annotations) ? object.metadata.annotations : {}).all(name, \
             name.startsWith('flannel.alpha.coreos.com/') || (has(oldObject.metadata.annotations) && name in \
             oldObject.metadata.annotations && oldObject.metadata.annotations[name] == \
             object.metadata.annotations[name]))",
            "The identity that all nodes share writes annotations of its network only.",
        ),
    ]
}
