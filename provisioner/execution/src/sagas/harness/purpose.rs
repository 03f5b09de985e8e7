//! A node that somebody switched off is nobody's loss, and one that is to run is looked after.

use super::{
    check,
    history::operation,
    node::{attached, calmly, power, stop},
    time::quickly,
    world::{Beginning, World},
};
use crate::machines::{REBOOT, RELEASE, START, care};
use domain::{NodeState, OperationKind, PlanName, PowerChange};
use proxmox_simulator::Act;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Longer than a silent node is waited for.
const LONG: Duration = Duration::from_mins(7);
/// Until a machine that is gone is missed: its node is believed for a while, and silent for another.
const MISSED: Duration = Duration::from_mins(2);

#[test]
fn a_node_that_is_off_on_purpose_is_left_alone_and_looked_after_when_it_is_back() {
    quickly(async {
        let world = World::of(&Beginning::new().await, PlanName::DedicatedS, 1).await;
        let node = attached(&world).await;
        let cancel = CancellationToken::new();
        let caring = tokio::spawn(care(world.process(), cancel.clone()));
        let state = async || world.node(node.id).await.state();
        stop(&world, node.id).await;
        assert_eq!(world.kubelets.shutdowns(), 1, "its guest was told to shut down");
        sleep(LONG).await;
        assert_eq!(state().await, NodeState::Stopped, "nobody gives it up");
        for (change, saga) in [(PowerChange::Start, &START), (PowerChange::Reboot, &REBOOT)] {
            let operation = power(&world, node.id, change).await;
            calmly(&world, saga, operation).await;
            sleep(MISSED).await;
            assert_eq!(state().await, NodeState::Ready, "{change:?}: it was silent for a reason");
        }

        let vm = node.vm.expect("it has one").0;
        world.simulator.act(Act::DestroyVm { vm }).await.expect("it is there");
        sleep(MISSED).await;
        assert_eq!(state().await, NodeState::Releasing, "it is missed");
        let about = world.store.node_operation(node.id).await.expect("readable");
        assert_eq!(about.map(|about| about.kind), Some(OperationKind::NodeRelease));
        cancel.cancel();
        caring.await.expect("it ends");
    });
}

#[test]
fn a_node_that_is_off_is_released_like_any_other() {
    quickly(async {
        let world = World::of(&Beginning::new().await, PlanName::DedicatedS, 2).await;
        let node = attached(&world).await;
        stop(&world, node.id).await;
        let release = world.store.node_release(node.id).await.expect("it is there").id;
        calmly(&world, &RELEASE, release).await;
        let release = operation(&world, release).await;
        assert_eq!(check::gone(&world, &release).await, Vec::<String>::new());
    });
}
