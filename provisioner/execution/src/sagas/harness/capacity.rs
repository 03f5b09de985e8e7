//! How much room there is for more machines is known before any is made, and holds when one is.

use super::{
    history::operation,
    it::grants::{TOKEN, USER},
    node::{attached, begin_attach},
    site::{Site, Storage},
    time::quickly,
    world::{Beginning, World, put_pod},
};
use crate::{
    machines::ATTACH,
    plan_change::{CapacityError, capacity, survey},
    sagas::executor,
};
use domain::{
    Capacity, Needs, Operation, OperationState, PlanName, Resource, Subscription, Verdict,
};
use planning::Kind;
use proxmox_simulator::Act;
use serde_json::json;

/// What the token has to have to be told of memory.
const SEES_MEMORY: [(&str, &str); 2] = [("/nodes/pve1", "Sys.Audit"), ("/nodes/pve2", "Sys.Audit")];

async fn world(site: Site) -> World {
    World::at(site, &Beginning::new().await, PlanName::DedicatedS, 1).await
}

/// Of nodes that have so much memory, and tell it.
async fn small(memory_gib: u64) -> World {
    world(Site { more: SEES_MEMORY.to_vec(), memory_gib, ..Site::default() }).await
}

async fn asked(world: &World, plan: PlanName, machines: u64) -> Result<Capacity, CapacityError> {
    let needs = Needs { machines, ..Needs::default() };
    Ok(capacity(&world.process(), plan).await?.needing(&needs))
}

async fn fill(world: &World, free_gib: u64) {
    let full = Act::FillStorage { storage: "local-lvm".to_owned(), free_mib: free_gib << 10 };
    world.simulator.act(full).await.expect("it is there");
}

async fn switch_off(world: &World, node: &str) {
    let off = Act::NodeOffline { node: node.to_owned() };
    world.simulator.act(off).await.expect("it is there");
}

/// How an attempt to make a machine ends.
async fn attempt(world: &World) -> Operation {
    let (_, attach) = begin_attach(world, true).await;
    executor::drive(&world.process(), &ATTACH, attach).await;
    operation(world, attach).await
}

fn free(capacity: &Capacity) -> Vec<(Resource, Option<u64>)> {
    capacity.bounds.iter().map(|bound| (bound.resource, bound.free)).collect()
}

fn verdict(capacity: &Capacity, resource: Resource) -> Verdict {
    let bound = capacity.bounds.iter().find(|bound| bound.resource == resource);
    bound.expect("it is told").verdict()
}

fn tightest(capacity: &Capacity) -> Option<Resource> {
    capacity.tightest().map(|bound| bound.resource)
}

#[test]
fn what_is_tightest_is_told_with_figures_and_what_is_offline_does_not_count() {
    quickly(async {
        use Resource::{Addresses, Memory, Numbers, Storage};
        let world = small(64).await;
        // 62 of 64 GiB and 3996 GiB of disk on each of two nodes; S is 16 GiB and 200 GiB, L is 64 GiB.
        let small = asked(&world, PlanName::DedicatedS, 2).await.expect("it answers");
        let all =
            [(Memory, Some(6)), (Storage, Some(38)), (Numbers, Some(11)), (Addresses, Some(8))];
        assert_eq!(free(&small), all);
        assert_eq!((tightest(&small), small.blocker()), (Some(Memory), None));
        let large = asked(&world, PlanName::DedicatedL, 1).await.expect("it answers");
        let figures = "124Gi of memory are free on 2 nodes of Proxmox VE, for 0 machines of 64Gi; 1 to be made";
        assert!(large.bounds[0].to_string().starts_with(figures), "{large:?}");

        attached(&world).await;
        let after = asked(&world, PlanName::DedicatedS, 2).await.expect("it answers");
        assert_eq!(free(&after)[0], (Memory, Some(5)), "one runs");
        let left = [(Numbers, Some(9)), (Addresses, Some(7))];
        assert_eq!(free(&after)[2..], left, "one is taken, one rests");
        switch_off(&world, "pve2").await;
        let half = asked(&world, PlanName::DedicatedS, 3).await.expect("the other one answers");
        assert_eq!(tightest(&half), Some(Memory), "{half:?}");
        assert!(half.bounds[0].detail.contains("on 1 nodes"), "{half:?}");
        fill(&world, 300).await;
        let full = asked(&world, PlanName::DedicatedS, 2).await.expect("it answers");
        assert_eq!(tightest(&full), Some(Storage), "{full:?}");
        switch_off(&world, "pve1").await;
        switch_off(&world, "pve3").await;
        let silent = asked(&world, PlanName::DedicatedS, 1).await;
        assert!(matches!(silent, Err(CapacityError::Proxmox(_))), "{silent:?}");
    });
}

#[test]
fn a_thin_storage_that_is_given_out_more_often_than_it_is_there_takes_machines() {
    quickly(async {
        let world = world(Site::default()).await;
        fill(&world, 0).await;
        let full = asked(&world, PlanName::DedicatedS, 1).await.expect("it answers");
        assert_eq!(verdict(&full, Resource::Storage), Verdict::Short, "nothing can be written");
        let refused = attempt(&world).await.problem.expect("it says why");
        assert_eq!(refused.code, "no-capacity", "{refused:?}");

        fill(&world, 20).await;
        let capacity = asked(&world, PlanName::DedicatedS, 2).await.expect("it answers");
        let storage = &capacity.bounds[1];
        assert_eq!((storage.free, storage.verdict()), (Some(0), Verdict::Doubtful), "{storage:?}");
        assert!(storage.to_string().ends_with("as long as not all is used"), "{storage}");
        assert_eq!(capacity.blocker(), None);
        let made = attempt(&world).await;
        assert_eq!(made.state, OperationState::Succeeded, "{made:?}");
    });
}

#[test]
fn a_storage_that_takes_the_whole_size_of_disks_takes_none_that_is_too_large() {
    quickly(async {
        let world = world(Site { storage: Storage::Thick, ..Site::default() }).await;
        fill(&world, 150).await;
        let capacity = asked(&world, PlanName::DedicatedS, 1).await.expect("it answers");
        let problem = capacity.blocker().expect("200 GiB do not go into 150");
        assert!(problem.detail.contains("296Gi of disk are free on 2 nodes"), "{problem:?}");
        let refused = attempt(&world).await.problem.expect("it says why");
        assert_eq!(refused.code, "no-capacity", "{refused:?}");
        assert!(world.others().compare(&world.simulator).0.vms.is_empty(), "none was begun");

        fill(&world, 250).await;
        let made = attempt(&world).await;
        assert_eq!(made.state, OperationState::Succeeded, "{made:?}");
    });
}

#[test]
fn memory_that_the_token_may_not_know_is_told_as_unknown_and_refuses_nobody() {
    quickly(async {
        let world = world(Site { memory_gib: 15, ..Site::default() }).await;
        let capacity = asked(&world, PlanName::DedicatedS, 3).await.expect("it answers");
        let memory = &capacity.bounds[0];
        assert_eq!((memory.free, memory.verdict()), (None, Verdict::Unknown));
        assert!(memory.detail.contains("Sys.Audit"), "{memory:?}");
        assert_eq!((tightest(&capacity), capacity.blocker()), (Some(Resource::Addresses), None));
        let made = attempt(&world).await;
        assert_eq!(made.state, OperationState::Succeeded, "{made:?}");
    });
}

#[test]
fn a_template_that_the_token_may_copy_and_not_read_is_copied() {
    quickly(async {
        let world = world(Site::default()).await;
        for template in ["/vms/9001", "/vms/9002"] {
            for who in [USER, TOKEN] {
                let (path, who, privilege) =
                    (template.to_owned(), who.to_owned(), "VM.Audit".to_owned());
                let taken = Act::TakePrivilege { path, who, privilege };
                world.simulator.act(taken).await.expect("it is there");
            }
        }
        let capacity = asked(&world, PlanName::DedicatedS, 1).await.expect("it answers");
        assert_eq!(verdict(&capacity, Resource::Storage), Verdict::Unknown, "{capacity:?}");
        let made = attempt(&world).await;
        assert_eq!(made.state, OperationState::Succeeded, "{made:?}");
    });
}

#[test]
fn memory_that_others_use_at_the_moment_refuses_nobody() {
    quickly(async {
        // 2 of it are in use.
        let world = small(17).await;
        let capacity = asked(&world, PlanName::DedicatedS, 1).await.expect("it answers");
        assert_eq!(verdict(&capacity, Resource::Memory), Verdict::Doubtful, "{capacity:?}");
        let made = attempt(&world).await;
        assert_eq!(made.state, OperationState::Succeeded, "{made:?}");
    });
}

#[test]
fn no_machine_is_made_where_there_is_no_room_and_the_tightest_thing_is_named() {
    quickly(async {
        let world = small(15).await;
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
        let to = Subscription { plan: PlanName::Pro, nodes: 0 };
        let found = survey(&world.process(), &world.tenant().await, to).await;
        let requests = found.expect("the tenant answers").requests;
        let room = capacity(&world.process(), to.plan).await.expect("the host answers");
        let room = room.needing(&Needs { requests, ..Needs::default() });
        let problem = room.blocker().expect("it does not fit");
        let figures = "2 of 2 CPUs are free on the 1 nodes that everybody uses; 3 to come";
        assert!(problem.detail.contains(figures), "{problem:?}");
        assert_eq!(
            free(&room)[1..],
            [(Resource::Memory, Some(4 << 30)), (Resource::Pods, Some(110))]
        );
    });
}
