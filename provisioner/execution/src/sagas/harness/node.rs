//! The sagas about a tenant's nodes.

use super::{
    check,
    history::{Rehearsed, operation, run},
    mishap::{Mishap, Trouble},
    world::{World, put_pod},
};
use crate::machines::{ATTACH, RELEASE};
use domain::{NodeId, OperationId, OperationState, PlanName};
use futures::FutureExt as _;
use planning::machine::password_key;
use serde_json::json;

pub(super) static SAGAS: [Rehearsed; 2] = [
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
];

/// What comes when the host has the password of a node's name.
const AFTER_ADMISSION: [&str; 4] = ["start", "join", "verify", "tidy"];

/// Begins to attach a node. To hash its password takes long on purpose: where that is not looked at, it has been done.
pub(super) async fn begin_attach(world: &World, is_hashed: bool) -> (NodeId, OperationId) {
    let shape = world.tenant.plan.node_shape().expect("a plan with nodes");
    let begun = world.store.node_attach(world.tenant.id, shape).await.expect("writable");
    let (node, operation) = begun.expect("it pays for one");
    if is_hashed {
        let key = password_key(&node.name);
        let metadata = json!({ "name": key.name, "namespace": key.namespace });
        let password = json!({ "metadata": metadata, "type": "k3s.cattle.io/node-password" });
        world.host.objects(|objects| objects.put("v1", "secrets", password));
    }
    (node.id, operation.id)
}

/// Attaches a node without any trouble, lets pods run there, and gives it up.
async fn begin_release(world: &World) -> OperationId {
    let (id, attach) = begin_attach(world, true).await;
    let trouble = Trouble::new(Vec::new(), Box::new(|| async {}.boxed()));
    run(world, &ATTACH, attach, &trouble).await;
    let attached = operation(world, attach).await;
    assert_eq!(attached.state, OperationState::Succeeded, "nothing was in its way: {attached:?}");
    let node = world.node(id).await;
    world.host.objects(|objects| {
        let namespace = world.tenant.cluster.host_namespace();
        put_pod(objects, &namespace, "one", node.name.as_str());
        put_pod(objects, "kube-system", "of-the-node", node.name.as_str());
    });
    world.store.node_release(id).await.expect("writable").id
}
