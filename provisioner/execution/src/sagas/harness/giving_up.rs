//! A node whose volumes were to come along, and whose machine does not let them: nothing is lost until somebody says so,
//! and whoever says so is not kept waiting.

use super::{
    check::expected,
    history::operation,
    plan_change::replace,
    tenant,
    time::quickly,
    world::{Beginning, World, proof},
};
use crate::{machines::RELEASE, sagas::executor};
use domain::{
    NodeId, NodeState, OperationId, OperationState, PlanName, ReplaceNode, Scope, StepState,
    VolumesOnDisk,
};
use proxmox_simulator::Act;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Longer than a node is believed that is not heard of.
const MISSED: Duration = Duration::from_mins(1);
/// Longer than a drain waits for pods.
const LONG: Duration = Duration::from_mins(10);
/// Longer than a release takes.
const SOON: Duration = Duration::from_mins(10);

/// A world in which a node is being replaced whose machine something has happened to.
async fn replaced(seed: u64, act: impl FnOnce(u32) -> Act) -> (World, NodeId, OperationId) {
    let world = World::with_tenant(&Beginning::new().await, PlanName::DedicatedS, seed).await;
    tenant::live(&world).await;
    let nodes = world.store.node_of_tenant(world.tenant.id).await.expect("readable");
    let [node] = &nodes[..] else { panic!("its nodes are {nodes:?}") };
    let vm = node.vm.expect("it has a machine").0;
    world.simulator.act(act(vm)).await.expect("the machine is there");
    sleep(MISSED).await;
    let (id, release) = (node.id, replace(&world).await);
    let cx = world.process();
    tokio::spawn(async move { executor::drive(&cx, &RELEASE, release).await });
    (world, id, release)
}

/// Waits for the end of it, of which nothing is left then.
async fn is_over(world: &World, node: NodeId, release: OperationId) {
    let end = async {
        while !operation(world, release).await.state.is_final() {
            sleep(Duration::from_secs(1)).await;
        }
    };
    let in_time = timeout(SOON, end).await;
    let over = operation(world, release).await;
    assert!(in_time.is_ok() && over.state == OperationState::Succeeded, "{over:?}");
    let node = world.node(node).await;
    assert_eq!(node.state(), NodeState::Released);
    world.host.objects(|objects| {
        assert!(!expected(objects).iter().any(|name| name == node.name.as_str()));
        for plural in ["namespaces", "persistentvolumes"] {
            for object in objects.list(plural) {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                assert!(!name.starts_with("warren-copy-"), "{name} is left");
            }
        }
    });
}

#[test]
fn volumes_that_cannot_be_read_are_waited_for_until_somebody_gives_them_up() {
    quickly(async {
        let (world, node, release) = replaced(1, |vm| Act::StopVm { vm }).await;
        sleep(LONG).await;
        let waiting = operation(&world, release).await;
        let drain = waiting.steps.iter().find(|step| step.name == "drain").expect("it has one");
        assert_eq!(drain.state, StepState::Running, "{waiting:?}");
        for said in ["apps/data", "its kubelet does not answer", "--volumes lose"] {
            assert!(drain.message.contains(said), "{said}: {}", drain.message);
        }
        let proof = proof::<ReplaceNode>(Scope::Tenant(world.tenant.id));
        let given_up = world.store.node_replace(&proof, node, VolumesOnDisk::Lose).await;
        assert_eq!(given_up.expect("it waits").id, release);
        is_over(&world, node, release).await;
    });
}

#[test]
fn volumes_whose_machine_is_gone_are_not_waited_for() {
    quickly(async {
        let (world, node, release) = replaced(2, |vm| Act::DestroyVm { vm }).await;
        is_over(&world, node, release).await;
    });
}
