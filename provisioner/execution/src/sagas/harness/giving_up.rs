//! A node whose volumes were to come along, and whose machine does not let them: nothing is lost until somebody says so,
//! and whoever says so is not kept waiting.

use super::{
    check::expected,
    history::operation,
    plan_change::{own_node, replace},
    tenant,
    time::quickly,
    world::{Beginning, World},
};
use crate::{machines::RELEASE, sagas::executor};
use domain::{
    Node, NodeId, NodeState, OperationId, OperationState, PlanName, Step, StepState, VolumesOnDisk,
};
use planning::volume::namespace;
use proxmox_simulator::Act;
use serde_json::json;
use std::time::Duration;
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Longer than a node is believed that is not heard of.
const MISSED: Duration = Duration::from_mins(1);
/// Longer than a drain waits for pods.
const LONG: Duration = Duration::from_mins(10);
/// Longer than a release takes.
const SOON: Duration = Duration::from_mins(10);

/// A volume that nobody removes.
const LEFT: &str = "left-by-a-copy";

/// The operation, and who takes it to its end.
struct Release {
    id: OperationId,
    driving: JoinHandle<()>,
}

/// A world with a tenant that uses a volume on a node of its own.
async fn lived_in(seed: u64) -> (World, Node) {
    let world = World::with_tenant(&Beginning::new().await, PlanName::DedicatedS, seed).await;
    tenant::live(&world).await;
    let node = own_node(&world).await;
    (world, node)
}

/// A world in which a node is being replaced whose machine something has happened to.
async fn replaced(seed: u64, act: impl FnOnce(u32) -> Act) -> (World, NodeId, Release) {
    let (world, node) = lived_in(seed).await;
    let vm = node.vm.expect("it has a machine").0;
    world.simulator.act(act(vm)).await.expect("the machine is there");
    sleep(MISSED).await;
    let release = begin(&world, &node).await;
    (world, node.id, release)
}

async fn begin(world: &World, node: &Node) -> Release {
    let (cx, id) = (world.process(), replace(world, node.id, VolumesOnDisk::Copy).await);
    Release { id, driving: tokio::spawn(async move { executor::drive(&cx, &RELEASE, id).await }) }
}

/// How it is about the drain.
async fn drain(world: &World, release: &Release) -> Step {
    let steps = operation(world, release.id).await.steps;
    steps.into_iter().find(|step| step.name == "drain").expect("it has one")
}

/// Waits for the end of it, of which nothing is left then.
async fn is_over(world: &World, node: NodeId, release: Release) {
    let in_time = timeout(SOON, release.driving).await;
    let over = operation(world, release.id).await;
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
        let drain = drain(&world, &release).await;
        assert_eq!(drain.state, StepState::Running, "{drain:?}");
        for said in ["apps/data", "its kubelet does not answer", "--volumes lose"] {
            assert!(drain.message.contains(said), "{said}: {}", drain.message);
        }
        assert_eq!(replace(&world, node, VolumesOnDisk::Lose).await, release.id, "it goes on");
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

#[test]
fn nobody_tidies_up_for_volumes_that_are_given_up() {
    quickly(async {
        let (world, node) = lived_in(3).await;
        // What an earlier copy left where its provisioner does not care for it.
        let left = json!({
            "metadata": { "name": LEFT },
            "spec": { "claimRef": {
                "namespace": namespace(&world.tenant.cluster), "name": "in", "uid": "of an earlier one",
            } },
        });
        world.host.objects(|objects| objects.put("v1", "persistentvolumes", left));
        let release = begin(&world, &node).await;
        sleep(MISSED).await;
        let waiting = drain(&world, &release).await;
        assert!(waiting.message.contains(LEFT), "{waiting:?}");
        replace(&world, node.id, VolumesOnDisk::Lose).await;
        sleep(SOON / 2).await;
        let drained = drain(&world, &release).await;
        assert_eq!(drained.state, StepState::Done, "{drained:?}");
        world.host.objects(|objects| objects.remove("persistentvolumes", "", LEFT));
        is_over(&world, node.id, release).await;
    });
}
