//! How much room there is for more machines is known before any is made, and holds when one is.

use super::{
    history::operation,
    node::{attached, begin_attach},
    site::Site,
    time::quickly,
    world::{Beginning, World, put_pod},
};
use crate::{
    machines::ATTACH,
    plan_change::{RoomError, room},
    sagas::executor,
};
use domain::{Capacity, OperationState, PlanName, Resource, Subscription};
use planning::Kind;
use proxmox_simulator::Act;
use serde_json::json;

/// What the token has to have to be told of memory.
const SEES_MEMORY: [(&str, &str); 2] = [("/nodes/pve1", "Sys.Audit"), ("/nodes/pve2", "Sys.Audit")];

async fn world(site: Site) -> World {
    World::at(site, &Beginning::new().await, PlanName::DedicatedS, 1).await
}

async fn asked(world: &World, plan: PlanName, machines: u32) -> Result<Capacity, RoomError> {
    let to = Subscription { plan, nodes: machines };
    room(&world.process(), &world.tenant().await, to, machines).await
}

fn free(capacity: &Capacity) -> Vec<(Resource, u64)> {
    capacity.bounds.iter().map(|bound| (bound.resource, bound.free)).collect()
}

fn tightest(capacity: &Capacity) -> Option<Resource> {
    capacity.tightest().map(|bound| bound.resource)
}

#[test]
fn what_is_tightest_is_told_with_figures_and_what_is_offline_does_not_count() {
    quickly(async {
        use Resource::{Addresses, Memory, Numbers, Storage};
        let world = world(Site { more: SEES_MEMORY.to_vec(), ..Site::default() }).await;
        // 62 of 64 GiB and 3996 GiB of disk on each of two nodes; S is 16 GiB and 200 GiB, L is 64 GiB.
        let small = asked(&world, PlanName::DedicatedS, 2).await.expect("it answers");
        assert_eq!(free(&small), [(Memory, 6), (Storage, 38), (Numbers, 11), (Addresses, 8)]);
        assert_eq!((tightest(&small), small.blocker()), (Some(Memory), None));
        let large = asked(&world, PlanName::DedicatedL, 1).await.expect("it answers");
        let problem = large.blocker().expect("no node has that much");
        assert_eq!(problem.code, "no-capacity");
        let figures = "124Gi of memory are free on 2 nodes of Proxmox VE, for 0 machines of 64Gi; 1 are to be made";
        assert!(problem.detail.contains(figures), "{problem:?}");

        attached(&world).await;
        let after = asked(&world, PlanName::DedicatedS, 2).await.expect("it answers");
        assert_eq!(free(&after)[0], (Memory, 5), "one runs");
        assert_eq!(free(&after)[2..], [(Numbers, 9), (Addresses, 7)], "one is taken, one rests");
        world
            .simulator
            .act(Act::NodeOffline { node: "pve2".to_owned() })
            .await
            .expect("it is there");
        let half = asked(&world, PlanName::DedicatedS, 3).await.expect("the other one answers");
        assert_eq!(tightest(&half), Some(Memory), "{half:?}");
        assert!(half.bounds[0].detail.contains("on 1 nodes"), "{half:?}");
        let full = Act::FillStorage { storage: "local-lvm".to_owned(), free_mib: 300 << 10 };
        world.simulator.act(full).await.expect("it is there");
        let full = asked(&world, PlanName::DedicatedS, 2).await.expect("it answers");
        assert_eq!((tightest(&full), full.blocker().is_some()), (Some(Storage), true), "{full:?}");
        world
            .simulator
            .act(Act::NodeOffline { node: "pve1".to_owned() })
            .await
            .expect("it is there");
        world
            .simulator
            .act(Act::NodeOffline { node: "pve3".to_owned() })
            .await
            .expect("it is there");
        let silent = asked(&world, PlanName::DedicatedS, 1).await;
        assert!(matches!(silent, Err(RoomError::Proxmox(_))), "{silent:?}");
    });
}

#[test]
fn memory_that_the_token_may_not_know_is_told_as_unknown_and_holds_nobody_up() {
    quickly(async {
        let world = world(Site { memory_gib: 17, ..Site::default() }).await;
        let capacity = asked(&world, PlanName::DedicatedS, 3).await.expect("it answers");
        let memory = &capacity.bounds[0];
        assert_eq!((memory.resource, memory.needed), (Resource::Memory, 0));
        assert!(memory.detail.contains("Sys.Audit"), "{memory:?}");
        assert_eq!((tightest(&capacity), capacity.blocker()), (Some(Resource::Addresses), None));
    });
}

#[test]
fn no_machine_is_made_where_there_is_no_room_and_the_tightest_thing_is_named() {
    quickly(async {
        let world =
            world(Site { more: SEES_MEMORY.to_vec(), memory_gib: 17, ..Site::default() }).await;
        let (id, attach) = begin_attach(&world, true).await;
        executor::drive(&world.process(), &ATTACH, attach).await;
        let refused = operation(&world, attach).await;
        assert_eq!(refused.state, OperationState::Failed);
        let problem = refused.problem.expect("it says why");
        assert_eq!(problem.code, "no-capacity", "{problem:?}");
        assert!(problem.detail.contains("memory") && !problem.hint.is_empty(), "{problem:?}");
        assert!(world.others().compare(&world.simulator).0.vms.is_empty(), "none was begun");
        assert!(world.node(id).await.released_at.is_some(), "its number and address are free");
    });
}

#[test]
fn what_comes_to_shared_nodes_is_measured_by_what_it_requests() {
    quickly(async {
        let world = world(Site::default()).await;
        let node = attached(&world).await;
        world.host.objects(|objects| {
            objects.put(
                "v1",
                Kind::Node.plural(),
                json!({
                    "metadata": { "name": "shared-1" },
                    "status": {
                        "allocatable": { "cpu": "2", "memory": "4Gi", "pods": "110" },
                        "conditions": [{ "type": "Ready", "status": "True" }],
                    },
                }),
            );
            let namespace = world.tenant.cluster.host_namespace();
            put_pod(objects, &namespace, "large", node.name.as_str());
            objects.change("pods", &namespace, "large", |pod| {
                let requests = json!({ "cpu": "3", "memory": "1Gi" });
                pod["spec"]["containers"] = json!([{ "resources": { "requests": requests } }]);
            });
        });
        let room = asked(&world, PlanName::Pro, 0).await.expect("the host answers");
        let problem = room.blocker().expect("it does not fit");
        let figures = "2 of 2 CPUs are free, and 3 come on the 1 nodes that everybody uses";
        assert!(problem.detail.contains(figures), "{problem:?}");
        assert_eq!(free(&room)[1..], [(Resource::Memory, 4 << 30), (Resource::Pods, 110)]);
    });
}
