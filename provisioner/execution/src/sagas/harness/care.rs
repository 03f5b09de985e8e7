//! Who looks after nodes, on the parts that sagas are tried on.

use super::{
    history::operation,
    node::{attached, calmly},
    time::quickly,
    world::{Beginning, World},
};
use crate::{
    Context,
    machines::{RELEASE, look_after},
};
use domain::{Node, NodeId, NodeState, OperationKind, OperationState, PlanName};
use jiff::Timestamp;
use proxmox_simulator::Act;
use std::{collections::HashMap, time::Duration};
use tokio::time::{Instant, sleep};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(10);
/// The host has noticed a silence, and it has lasted long enough to look at the machine.
const NOTICED: Duration = Duration::from_secs(90);
/// Longer than any silence is borne.
const LONG: Duration = Duration::from_mins(7);

async fn world() -> World {
    World::of(&Beginning::new().await, PlanName::DedicatedS, 7).await
}

async fn act(world: &World, act: Act) {
    world.simulator.act(act).await.expect("anything may happen");
}

/// Looks for so long, or until the node is given up; whether it was.
async fn is_given_up(world: &World, cx: &Context, node: &Node, patience: Duration) -> bool {
    let mut silent: HashMap<NodeId, Timestamp> = HashMap::new();
    let until = Instant::now() + patience;
    while Instant::now() < until {
        look_after(cx, &mut silent).await.expect("the record answers");
        if world.node(node.id).await.state() != NodeState::Ready {
            return true;
        }
        sleep(LOOK).await;
    }
    false
}

#[test]
fn a_node_whose_place_is_lost_is_replaced_and_ends_when_the_place_is_back() {
    quickly(async {
        let world = world().await;
        let node = attached(&world).await;
        let place = node.place.clone().expect("it is somewhere");
        let cx = world.process();
        act(&world, Act::NodeOffline { node: place.clone() }).await;
        assert!(!is_given_up(&world, &cx, &node, NOTICED).await, "it may come back in a moment");
        assert!(is_given_up(&world, &cx, &node, LONG).await);

        let open = world.store.operation_sagas().await.expect("readable");
        let release = open.iter().find(|open| open.kind == OperationKind::NodeRelease);
        let release = release.expect("it is released").id;
        let patience = tokio::time::timeout(LONG, calmly(&world, &RELEASE, release)).await;
        assert!(patience.is_err(), "nothing proves that its machine is off");
        let now = operation(&world, release).await;
        assert_eq!(now.state, OperationState::Running, "{now:?}");
        let told = now.steps.iter().any(|step| step.message.contains(&place));
        assert!(told, "what it waits for is told: {now:?}");
        world.host.objects(|objects| {
            let is_there = objects.get("nodes", "", node.name.as_str()).is_some();
            assert!(is_there, "as long as its pods may run its node stays");
        });

        act(&world, Act::NodeOnline { node: place }).await;
        calmly(&world, &RELEASE, release).await;
        assert_eq!(world.node(node.id).await.state(), NodeState::Released);
    });
}

#[test]
fn a_minority_of_proxmox_ve_gives_nobody_up() {
    quickly(async {
        let world = world().await;
        let node = attached(&world).await;
        let place = node.place.clone().expect("it is somewhere");
        act(&world, Act::NodeOffline { node: place }).await;
        act(&world, Act::NodeOffline { node: "pve3".to_owned() }).await;
        assert!(!is_given_up(&world, &world.process(), &node, LONG * 2).await);
        act(&world, Act::NodeOnline { node: "pve3".to_owned() }).await;
        assert!(is_given_up(&world, &world.process(), &node, LONG).await);
    });
}
