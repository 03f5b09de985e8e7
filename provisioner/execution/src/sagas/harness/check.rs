//! What has to be so when an operation about a node is over.

use super::{it::fake::Objects, tenant::SHARED, world::World};
use domain::{Node, NodeState, Operation, OperationState};
use planning::machine::{HEARD_LAST, LABEL, TAINT, UNPROVEN, expected_key, password_key};
use serde_json::Value;
use std::sync::atomic::Ordering;
use store::StoreError;

/// What violates it, in words.
pub(super) type Violations = Vec<String>;

pub(super) fn ensure(violations: &mut Violations, holds: bool, otherwise: impl Into<String>) {
    if !holds {
        violations.push(otherwise.into());
    }
}

/// What holds after every operation, whatever came of it.
pub(super) async fn always(world: &World, operation: &Operation) -> Violations {
    let mut violations = world.kubelets.violations();
    violations.extend(world.others().compare(&world.simulator).1);
    violations.extend(world.host.denied());
    if !operation.state.is_final() {
        let open = world.store.operation_sagas().await.expect("readable");
        violations.extend(open.iter().map(|open| format!("stuck: {}", told(open))));
    }
    violations
}

/// Where an operation is, in one line.
fn told(operation: &Operation) -> String {
    let steps: Vec<String> = operation
        .steps
        .iter()
        .map(|step| format!("{} {:?} ({})", step.name, step.state, step.message))
        .collect();
    format!("{:?} {:?}: {}", operation.kind, operation.state, steps.join(", "))
}

/// The node is proven, and of what it needed to join nothing is left.
pub(super) async fn ready(world: &World, operation: &Operation) -> Violations {
    let problem = operation.problem.clone().map(|problem| problem.detail);
    let mut violations = in_use(world, operation).await;
    ensure(
        &mut violations,
        operation.state == OperationState::Succeeded,
        format!("it failed: {problem:?}"),
    );
    violations
}

/// The node runs, is proven and takes pods, and of what it needed to join nothing is left.
pub(super) async fn in_use(world: &World, operation: &Operation) -> Violations {
    let mut violations = Vec::new();
    let node = node(world, operation).await;
    let state = node.state();
    ensure(&mut violations, state == NodeState::Ready, format!("in the record it is {state:?}"));
    violations.extend(machine(world, &node, true));
    violations.extend(alone(world, &node).await);
    world.host.objects(|objects| {
        let secrets: Vec<String> = listed(objects, "secrets").iter().map(name).collect();
        let password = password_key(&node.name).name;
        ensure(&mut violations, secrets == [password], format!("its secrets are {secrets:?}"));
        let is_expected = expected(objects).iter().any(|name| name == node.name.as_str());
        ensure(&mut violations, is_expected, "the host does not expect it any more");
        let Some(object) = objects.get("nodes", "", node.name.as_str()) else {
            return violations.push("the host does not have it".to_owned());
        };
        let label = object["metadata"]["labels"][LABEL].as_str();
        let cluster = world.tenant.cluster.as_str();
        ensure(&mut violations, label == Some(cluster), format!("its label is {label:?}"));
        let taints = object["spec"]["taints"].as_array().cloned().unwrap_or_default();
        let keys: Vec<&str> = taints.iter().filter_map(|taint| taint["key"].as_str()).collect();
        let is_proven = keys.contains(&TAINT) && !keys.contains(&UNPROVEN);
        ensure(&mut violations, is_proven, format!("its taints are {keys:?}"));
        let before = &object["metadata"]["annotations"][HEARD_LAST];
        let heard = &object["status"]["conditions"][0]["lastHeartbeatTime"];
        ensure(
            &mut violations,
            before != heard,
            "nobody has heard of it since it was switched off",
        );
        let is_open = object["spec"]["unschedulable"].is_null();
        ensure(&mut violations, is_open, "no pod is placed on it");
    });
    violations
}

/// The node is off, stays its tenant's, and can be switched on again.
pub(super) async fn stopped(world: &World, operation: &Operation) -> Violations {
    let mut violations = Vec::new();
    let node = node(world, operation).await;
    let state = node.state();
    ensure(&mut violations, state == NodeState::Stopped, format!("in the record it is {state:?}"));
    violations.extend(machine(world, &node, false));
    violations.extend(alone(world, &node).await);
    let secrets = world.store.node_secrets(node.id).await;
    ensure(&mut violations, secrets.is_ok(), "the record has forgotten its password");
    world.host.objects(|objects| {
        let is_expected = expected(objects).iter().any(|name| name == node.name.as_str());
        ensure(&mut violations, is_expected, "the host does not expect it any more");
        let password = objects.get("secrets", "kube-system", &password_key(&node.name).name);
        ensure(&mut violations, password.is_some(), "the host has forgotten its password");
        let Some(object) = objects.get("nodes", "", node.name.as_str()) else {
            return violations.push("the host does not have it".to_owned());
        };
        let is_closed = object["spec"]["unschedulable"] == true;
        ensure(&mut violations, is_closed, "pods are placed on it");
        for pod in objects.list("pods") {
            let is_of_node = pod["metadata"]["namespace"] == "kube-system";
            ensure(&mut violations, is_of_node, format!("{} is left on it", name(&pod)));
        }
    });
    violations
}

/// A node that was to be off for a moment: it runs as before, or it is off and known to be.
pub(super) async fn on_or_stopped(world: &World, operation: &Operation) -> Violations {
    match node(world, operation).await.state() {
        NodeState::Stopped => stopped(world, operation).await,
        NodeState::Attaching
        | NodeState::Ready
        | NodeState::Stopping
        | NodeState::Starting
        | NodeState::Rebooting
        | NodeState::Releasing
        | NodeState::Released => in_use(world, operation).await,
    }
}

/// Nobody took its place, and nothing more is done about it.
async fn alone(world: &World, node: &Node) -> Violations {
    let mut violations = Vec::new();
    let more = world.store.node_attach(world.tenant.id, node.shape).await;
    ensure(&mut violations, matches!(more, Ok(None)), "another one is made in its place");
    let open = world.store.node_operation(node.id).await.expect("readable");
    let kind = open.map(|operation| operation.kind);
    ensure(&mut violations, kind.is_none(), format!("there is still {kind:?} about it"));
    violations
}

/// Its machine: there is one, it runs or does not, and there is nothing in its drive.
fn machine(world: &World, node: &Node, is_on: bool) -> Violations {
    let (own, _) = world.others().compare(&world.simulator);
    let mut violations = Vec::new();
    if world.is_robbed.load(Ordering::Relaxed) {
        ensure(&mut violations, own.vms.is_empty(), "there is a machine that nobody asked for");
        return violations;
    }
    let numbers: Vec<&String> = own.vms.keys().collect();
    let number = node.vm.map(|vm| vm.to_string());
    if numbers.len() != 1 || numbers.first().copied() != number.as_ref() {
        violations.push(format!("its machines are {numbers:?} instead of {number:?}"));
    }
    for vm in own.vms.values() {
        let (runs, onboot) = (!vm["run"].is_null(), if is_on { "1" } else { "0" });
        ensure(&mut violations, runs == is_on, format!("that its machine runs is {runs}"));
        let config = &vm["config"];
        ensure(&mut violations, config["name"] == node.name.as_str(), "it has another name");
        ensure(&mut violations, config["ide2"].is_null(), "an image is left in its drive");
        ensure(&mut violations, config["lock"].is_null(), "it is locked");
        let found = &config["onboot"];
        ensure(&mut violations, found == onboot, format!("its onboot is {found}"));
    }
    for (volume, of) in &own.volumes {
        let is_disk = of["content"] == "images" && number == Some(of["vm"].to_string());
        ensure(&mut violations, is_disk, format!("{volume} is left"));
    }
    violations
}

/// Nothing is left of the node anywhere, and its number rests.
pub(super) async fn gone(world: &World, operation: &Operation) -> Violations {
    let mut violations = Vec::new();
    let node = node(world, operation).await;
    let state = node.state();
    ensure(&mut violations, state == NodeState::Released, format!("in the record it is {state:?}"));
    let secrets = world.store.node_secrets(node.id).await;
    let is_forgotten = matches!(secrets, Err(StoreError::Stale));
    ensure(&mut violations, is_forgotten, "the record still has what it joined with");
    let (left, _) = world.others().compare(&world.simulator);
    for vm in left.vms.keys() {
        violations.push(format!("machine {vm} is left"));
    }
    for volume in left.volumes.keys() {
        violations.push(format!("{volume} is left"));
    }
    world.host.objects(|objects| {
        for plural in ["nodes", "secrets", "pods"] {
            for object in listed(objects, plural) {
                violations.push(format!("of {plural}, {} is left", name(&object)));
            }
        }
        let is_expected = expected(objects).iter().any(|name| name == node.name.as_str());
        ensure(&mut violations, !is_expected, "the host still expects it");
    });
    violations.extend(rest(world, &node).await);
    violations
}

/// Nobody is given its number.
async fn rest(world: &World, node: &Node) -> Option<String> {
    let number = node.vm?.0;
    let next = world.store.node_attach(world.tenant.id, node.shape).await;
    let Some((next, _)) = next.expect("the tenant is there") else {
        return Some("no other node is made instead of it".to_owned());
    };
    let given = world.store.node_reserve_vm(next.id, number..=number).await;
    given.expect("writable").map(|vm| format!("number {vm} is given away at once"))
}

/// What the host has of a kind; the list of nodes that may register is always there, and so is the node of all tenants.
pub(super) fn listed(objects: &Objects, plural: &str) -> Vec<Value> {
    let mut found = objects.list(plural);
    let always = [expected_key().name, SHARED.to_owned()];
    found.retain(|object| !always.contains(&name(object)));
    found
}

/// The names of the nodes that may register.
pub(super) fn expected(objects: &Objects) -> Vec<String> {
    let list = objects.get("secrets", "kube-system", &expected_key().name);
    let entries = list.and_then(|list| list["data"].as_object().cloned()).unwrap_or_default();
    entries.keys().filter_map(|entry| Some(entry.split_once('.')?.0.to_owned())).collect()
}

async fn node(world: &World, operation: &Operation) -> Node {
    world.node(operation.node.expect("it is about a node")).await
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}
