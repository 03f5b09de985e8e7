//! The sagas about a tenant's nodes.

use super::{
    check,
    history::{Played, Rehearsed, operation, run},
    it::fake::Fake,
    mishap::{Mishap, Trouble},
    world::{World, proof, put_pod},
};
use crate::machines::{ATTACH, REBOOT, RELEASE, START, STOP};
use domain::{Node, NodeId, OperationId, OperationState, PlanName, PowerChange, Scope};
use futures::FutureExt as _;
use planning::{
    Key,
    machine::{PASSWORD_TYPE, password_key},
};
use serde_json::json;

pub(super) static SAGAS: [Rehearsed; 5] = [
    Rehearsed {
        name: "attach",
        saga: &ATTACH,
        plan: PlanName::DedicatedS,
        has_tenant: false,
        steps: &[
            "reserve",
            "clone",
            "configure",
            "seed",
            "admit",
            "start",
            "join",
            "verify",
            "tidy",
        ],
        begin: |world, mishaps| {
            let is_later = |mishap: &Mishap| AFTER_ADMISSION.contains(&mishap.step);
            let is_hashed = mishaps.iter().any(is_later);
            async move { begin_attach(world, is_hashed).await.1 }.boxed()
        },
        done: |world, operation| async move { check::ready(world, &operation).await }.boxed(),
        undone: |world, operation| async move { check::gone(world, &operation).await }.boxed(),
    },
    Rehearsed {
        name: "release",
        saga: &RELEASE,
        plan: PlanName::DedicatedS,
        has_tenant: false,
        steps: &["cordon", "drain", "stop", "remove", "destroy", "absence"],
        begin: |world, _| begin_release(world).boxed(),
        done: |world, operation| async move { check::gone(world, &operation).await }.boxed(),
        undone: |_, _| async { vec!["a release only goes forward".to_owned()] }.boxed(),
    },
    Rehearsed {
        name: "stop",
        saga: &STOP,
        plan: PlanName::DedicatedS,
        has_tenant: false,
        steps: &["cordon", "drain", "stop"],
        begin: |world, _| begin_power(world, PowerChange::Stop).boxed(),
        done: |world, operation| async move { check::stopped(world, &operation).await }.boxed(),
        undone: |world, operation| async move { check::in_use(world, &operation).await }.boxed(),
    },
    Rehearsed {
        name: "start",
        saga: &START,
        plan: PlanName::DedicatedS,
        has_tenant: false,
        steps: &["start", "verify", "uncordon"],
        begin: |world, _| begin_start(world).boxed(),
        done: |world, operation| async move { check::in_use(world, &operation).await }.boxed(),
        undone: |world, operation| async move { check::stopped(world, &operation).await }.boxed(),
    },
    Rehearsed {
        name: "reboot",
        saga: &REBOOT,
        plan: PlanName::DedicatedS,
        has_tenant: false,
        steps: &["cordon", "drain", "stop", "start", "verify", "uncordon"],
        begin: |world, _| begin_power(world, PowerChange::Reboot).boxed(),
        done: |world, operation| async move { check::in_use(world, &operation).await }.boxed(),
        undone: |world, operation| {
            async move { check::on_or_stopped(world, &operation).await }.boxed()
        },
    },
];

/// What comes when the host has the password of a node's name.
const AFTER_ADMISSION: [&str; 4] = ["start", "join", "verify", "tidy"];

/// Begins to attach a node. To hash its password takes long on purpose: where that is not looked at, it has been done.
pub(super) async fn begin_attach(world: &World, is_hashed: bool) -> (NodeId, OperationId) {
    let shape = world.tenant.plan.node_shape().expect("a plan with nodes");
    let begun = world.store.node_attach(world.tenant.id, shape).await.expect("writable");
    let (node, operation) = begun.expect("it pays for one");
    if is_hashed {
        put_password(&world.host, &node);
    }
    (node.id, operation.id)
}

/// Puts a node's password there as if it had been hashed. Its address.
pub(super) fn put_password(host: &Fake, node: &Node) -> Key {
    let key = password_key(&node.name);
    let metadata = json!({ "name": key.name, "namespace": key.namespace });
    let password = json!({ "metadata": metadata, "type": PASSWORD_TYPE });
    host.objects(|objects| objects.put("v1", "secrets", password));
    key
}

/// Attaches a node without any trouble, lets pods run there, and gives it up.
async fn begin_release(world: &World) -> OperationId {
    let node = attached(world).await;
    world.store.node_release(node.id).await.expect("writable").id
}

/// The same, and it is to be switched off, for good or for a moment.
async fn begin_power(world: &World, change: PowerChange) -> OperationId {
    let node = attached(world).await;
    power(world, node.id, change).await
}

/// The same, and when it is off it is to be switched on again.
async fn begin_start(world: &World) -> OperationId {
    let node = attached(world).await;
    stop(world, node.id).await;
    power(world, node.id, PowerChange::Start).await
}

pub(super) async fn power(world: &World, id: NodeId, change: PowerChange) -> OperationId {
    let proof = proof(Scope::tenant(world.tenant.id));
    world.store.node_power(&proof, id, change).await.expect("nothing is in the way").id
}

/// Switches a node off without any trouble.
pub(super) async fn stop(world: &World, id: NodeId) {
    let stop = power(world, id, PowerChange::Stop).await;
    calmly(world, &STOP, stop).await;
}

/// Takes an operation to its end without any trouble.
pub(super) async fn calmly(world: &World, saga: &dyn Played, id: OperationId) {
    let trouble = Trouble::new(Vec::new(), Box::new(|| async {}.boxed()));
    run(world, saga, id, &trouble).await;
    let over = operation(world, id).await;
    assert_eq!(over.state, OperationState::Succeeded, "nothing was in its way: {over:?}");
}

/// Attaches a node without any trouble, and lets pods run there.
pub(super) async fn attached(world: &World) -> Node {
    let (id, attach) = begin_attach(world, true).await;
    calmly(world, &ATTACH, attach).await;
    let node = world.node(id).await;
    world.host.objects(|objects| {
        let namespace = world.tenant.cluster.host_namespace();
        put_pod(objects, &namespace, "one", node.name.as_str());
        put_pod(objects, "kube-system", "of-the-node", node.name.as_str());
    });
    node
}
