//! The sagas in which a tenant moves with what it keeps: to another plan, in both directions, and from a node that is
//! replaced.

use super::{
    check::{Violations, ensure, expected},
    history::Rehearsed,
    inventory::Inventory,
    tenant::{self, SHARED},
    world::{World, proof},
};
use crate::{machines::RELEASE, plan_change::CHANGE};
use domain::{
    ChangePlan, Isolation, Node, NodeId, NodeState, OperationId, PlanName, PlanPreview,
    ReplaceNode, Scope, SessionsDuringMove, Subscription, VolumesDuringMove, VolumesOnDisk, sample,
};
use futures::FutureExt as _;
use planning::machine::password_key;
use serde_json::Value;

const STEPS: [&str; 7] = ["check", "nodes", "placement", "move", "verify", "commit", "release"];
/// On nodes of everybody.
const PRO: Subscription = Subscription { plan: PlanName::Pro, nodes: 0 };
/// On a node of its own.
const OWN: Subscription = Subscription { plan: PlanName::DedicatedS, nodes: 1 };

pub(super) static SAGAS: [Rehearsed; 3] = [
    Rehearsed {
        name: "change to own nodes",
        saga: &CHANGE,
        plan: PRO.plan,
        has_tenant: true,
        steps: &STEPS,
        begin: |world, _| begin(world, OWN).boxed(),
        done: |world, _| settled(world, OWN).boxed(),
        undone: |world, _| settled(world, PRO).boxed(),
    },
    Rehearsed {
        name: "change to shared nodes",
        saga: &CHANGE,
        plan: OWN.plan,
        has_tenant: true,
        steps: &STEPS,
        begin: |world, _| begin(world, PRO).boxed(),
        done: |world, _| settled(world, PRO).boxed(),
        undone: |world, _| settled(world, OWN).boxed(),
    },
    Rehearsed {
        name: "replace",
        saga: &RELEASE,
        plan: OWN.plan,
        has_tenant: true,
        steps: &["cordon", "drain", "stop", "remove", "destroy", "absence"],
        begin: |world, _| {
            async move {
                tenant::live(world).await;
                replace(world, own_node(world).await.id, VolumesOnDisk::Copy).await
            }
            .boxed()
        },
        done: |world, _| settled(world, OWN).boxed(),
        undone: |_, _| async { vec!["a release only goes forward".to_owned()] }.boxed(),
    },
];

/// Lets the tenant live, and asks for the change.
async fn begin(world: &World, to: Subscription) -> OperationId {
    tenant::live(world).await;
    let tenant = world.tenant().await;
    let proof = proof::<ChangePlan>(Scope::tenant(tenant.id));
    let preview = PlanPreview {
        machines_made: to.nodes,
        machines_freed: tenant.nodes,
        volumes: VolumesDuringMove::Copy,
        ..sample::preview(tenant.subscription(), to)
    };
    let sessions = SessionsDuringMove::Wait;
    let begun = world.store.plan_change_begin(&proof, tenant.id, &preview, sessions).await;
    begun.expect("nothing else is done about it").1.id
}

/// The one node that the tenant has for itself.
pub(super) async fn own_node(world: &World) -> Node {
    let nodes = world.store.node_of_tenant(world.tenant.id).await.expect("readable");
    let [node] = &nodes[..] else { panic!("its nodes are {nodes:?}") };
    node.clone()
}

/// Asks for another node in the place of this one.
pub(super) async fn replace(world: &World, node: NodeId, volumes: VolumesOnDisk) -> OperationId {
    let proof = proof::<ReplaceNode>(Scope::tenant(world.tenant.id));
    let begun = world.store.node_replace(&proof, node, volumes).await;
    begun.expect("it may be asked for").id
}

/// The tenant has exactly this plan, is there where it says, and nothing of another is left anywhere.
async fn settled(world: &World, plan: Subscription) -> Violations {
    let mut violations = world.incidents.all();
    ensure(&mut violations, tenant::complete(world).await, "it never came to rest");
    let tenant = world.tenant().await;
    let pays = tenant.subscription();
    ensure(&mut violations, pays == plan, format!("it pays for {pays:?}"));
    ensure(&mut violations, tenant.shift.is_none(), "the record still wants a change");
    let open = world.store.operation_sagas().await.expect("readable");
    let open: Vec<_> = open.iter().map(|operation| operation.kind).collect();
    ensure(&mut violations, open.is_empty(), format!("not over: {open:?}"));
    let nodes = world.store.node_of_tenant(tenant.id).await.expect("readable");
    let are_ready = nodes.iter().all(|node| node.state() == NodeState::Ready);
    let is_right = nodes.len() == plan.nodes as usize && are_ready;
    ensure(&mut violations, is_right, format!("its nodes are {nodes:?}"));
    let (left, _) = world.others().compare(&world.simulator);
    let numbers: Vec<u32> = nodes.iter().filter_map(|node| Some(node.vm?.0)).collect();
    violations.extend(machines(&left, &numbers));
    let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    world.host.objects(|objects| {
        let mut there: Vec<String> = objects.list("nodes").iter().map(name).collect();
        there.retain(|name| name != SHARED);
        ensure(&mut violations, there == names, format!("the host has nodes {there:?}"));
        let expected = expected(objects);
        ensure(&mut violations, expected == names, format!("the host expects {expected:?}"));
        for node in objects.list("nodes") {
            let is_open = node["spec"]["unschedulable"] != true;
            ensure(&mut violations, is_open, format!("{} is closed", name(&node)));
        }
        let mut secrets: Vec<String> = objects.list("secrets").iter().map(name).collect();
        secrets
            .retain(|name| name.starts_with("bootstrap-token-") || name.contains("node-password"));
        let wanted: Vec<String> = nodes.iter().map(|node| password_key(&node.name).name).collect();
        ensure(&mut violations, secrets == wanted, format!("its secrets are {secrets:?}"));
    });
    for pod in world.inside.objects(|objects| objects.list("pods")) {
        let place = pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
        let is_right = match plan.isolation() {
            Isolation::Shared => place == SHARED,
            Isolation::Dedicated => names.contains(&place.as_str()),
        };
        ensure(&mut violations, is_right, format!("{} is at {place}", name(&pod)));
    }
    violations.extend(tenant::keeps(world, &names));
    violations
}

/// Its machines and their disks, and nothing else.
fn machines(left: &Inventory, numbers: &[u32]) -> Violations {
    let mut violations = Vec::new();
    let there: Vec<&String> = left.vms.keys().collect();
    let wanted: Vec<String> = numbers.iter().map(u32::to_string).collect();
    let is_right = there.iter().copied().eq(&wanted);
    ensure(&mut violations, is_right, format!("its machines are {there:?} instead of {wanted:?}"));
    for (volume, of) in &left.volumes {
        let is_disk = of["content"] == "images" && wanted.contains(&of["vm"].to_string());
        ensure(&mut violations, is_disk, format!("{volume} is left"));
    }
    violations
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}
