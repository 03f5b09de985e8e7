//! The sweep on the parts that sagas are tried on: real are record, client and everything that looks, proves and removes.

mod plant;

use super::{
    check,
    history::operation,
    inventory::Inventory,
    it::fake::Fault,
    node::begin_attach,
    time::quickly,
    world::{self, Beginning, NUMBER, World},
};
use crate::{
    Context,
    machines::{ATTACH, OwnNode, RELEASE, look_for_orphans, sweep},
    sagas::{Saga, executor},
};
use domain::{
    OperationId, Orphan, OrphanKind as Kind, OrphanProof as Proof, OrphanState as State, PlanName,
    Scope, StepState,
};
use http::Method;
use plant::{disk, image, leave, machine, token};
use proxmox_simulator::Act;
use std::{collections::BTreeSet, time::Duration};
use store::OrphanRemoveError;
use tokio::time::{Instant, advance, sleep};
use tokio_util::sync::CancellationToken;

/// More than has to lie between the first look and one that reports.
const LATER: Duration = Duration::from_secs(245);
/// With this Warren sees disks of machines that are gone.
const SEES_DISKS: [(&str, &str); 1] = [("/storage/local-lvm", "Datastore.Allocate")];

async fn world() -> World {
    World::with_rights(&Beginning::new().await, PlanName::DedicatedS, 7, &SEES_DISKS).await
}

async fn reported(world: &World) -> Vec<Orphan> {
    world.store.orphan_list(None, 100).await.expect("readable")
}

/// Looks twice, as far apart as it takes to be sure.
async fn look_twice(world: &World, cx: &Context) -> Vec<Orphan> {
    look_for_orphans(cx).await.expect("writable");
    advance(LATER).await;
    look_for_orphans(cx).await.expect("writable");
    reported(world).await
}

fn kinds(orphans: &[Orphan]) -> BTreeSet<Kind> {
    orphans.iter().map(|orphan| orphan.seen.kind).collect()
}

fn of_kind(orphans: &[Orphan], kind: Kind) -> Orphan {
    let found = orphans.iter().find(|orphan| orphan.seen.kind == kind);
    found.unwrap_or_else(|| panic!("no {kind:?} among {orphans:?}")).clone()
}

async fn ask(world: &World, orphans: &[Orphan]) {
    for orphan in orphans {
        world
            .store
            .orphan_remove(&world::proof(Scope::Platform), orphan.id)
            .await
            .expect("it is ours");
    }
}

/// What became of everything that is to be removed, after at most so long.
async fn removed(world: &World, cx: &Context, patience: Duration) -> Vec<Orphan> {
    let (until, cancel) = (Instant::now() + patience, CancellationToken::new());
    let over = async {
        while Instant::now() < until
            && !world.store.orphan_asked().await.expect("readable").is_empty()
        {
            sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        () = sweep(cx.clone(), cancel) => {}
        () = over => {}
    }
    reported(world).await
}

/// Nobody else's things were touched, and nobody asked for more than Warren may.
fn nothing_else_happened(world: &World) {
    assert_eq!(world.others().compare(&world.simulator).1, Vec::<String>::new());
    assert_eq!(world.host.denied(), Vec::<String>::new());
    assert_eq!(world.kubelets.violations(), Vec::<String>::new());
}

#[test]
fn what_is_left_of_a_released_node_is_reported_and_then_removed_across_crashes() {
    quickly(async {
        let world = world().await;
        let node = leave(&world).await;
        token(&world, &node);
        image(&world, node.name.as_str()).await;
        let cx = world.process();
        look_for_orphans(&cx).await.expect("writable");
        assert_eq!(reported(&world).await, [], "one look proves nothing");
        advance(LATER).await;
        assert_eq!(look_for_orphans(&cx).await.expect("writable"), 5);
        let found = reported(&world).await;
        let all = [Kind::Machine, Kind::Image, Kind::JoinToken, Kind::NodePassword, Kind::Node];
        assert_eq!(kinds(&found), BTreeSet::from(all));
        for orphan in &found {
            assert_eq!(
                (orphan.seen.proof, orphan.seen.node),
                (Proof::Ours, Some(node.id)),
                "{orphan:?}"
            );
        }
        let vm = of_kind(&found, Kind::Machine);
        assert_eq!((vm.seen.name, vm.seen.vm), (node.name.to_string(), node.vm));

        ask(&world, &found).await;
        for attempt in 1..60 {
            // Each process lives longer than the one before, and is killed wherever it is.
            let now = removed(&world, &world.process(), Duration::from_millis(attempt * 300)).await;
            if now.iter().all(|orphan| orphan.state == State::Removed) {
                break;
            }
        }
        let now = reported(&world).await;
        assert!(now.iter().all(|orphan| orphan.state == State::Removed), "{now:?}");
        world.simulator.settle().await;
        let (left, _) = world.others().compare(&world.simulator);
        assert_eq!(left, Inventory::default());
        world.host.objects(|objects| {
            for plural in ["nodes", "secrets", "pods"] {
                let left = check::listed(objects, plural);
                assert!(left.is_empty(), "{plural}: {left:?}");
            }
        });
        nothing_else_happened(&world);
        assert_eq!(look_twice(&world, &world.process()).await.len(), 5, "nothing new is found");
    });
}

#[test]
fn a_disk_without_a_machine_is_seen_by_whoever_may_and_removed() {
    quickly(async {
        let blind = World::of(&Beginning::new().await, PlanName::DedicatedS, 7).await;
        let node = leave(&blind).await;
        disk(&blind, &node).await;
        let found = look_twice(&blind, &blind.process()).await;
        assert!(!kinds(&found).contains(&Kind::Disk), "{found:?}");
        let areas = blind.store.orphan_areas().await.expect("readable");
        let told = areas.iter().find(|area| area.area == "storage local-lvm on pve1");
        let told = told.and_then(|area| area.obstacle.clone()).unwrap_or_default();
        assert!(told.contains("Datastore.Allocate"), "what cannot be seen is said: {areas:?}");

        let world = world().await;
        let node = leave(&world).await;
        disk(&world, &node).await;
        let found = look_twice(&world, &world.process()).await;
        let left = of_kind(&found, Kind::Disk);
        assert_eq!((left.seen.proof, left.seen.vm), (Proof::Ours, node.vm), "{left:?}");
        ask(&world, std::slice::from_ref(&left)).await;
        let now = removed(&world, &world.process(), Duration::from_mins(1)).await;
        assert_eq!(of_kind(&now, Kind::Disk).state, State::Removed, "{now:?}");
        let (left, _) = world.others().compare(&world.simulator);
        assert_eq!(left, Inventory::default());
        nothing_else_happened(&world);
    });
}

#[test]
fn a_disk_is_left_alone_when_somebody_takes_its_number() {
    quickly(async {
        let world = world().await;
        let node = leave(&world).await;
        disk(&world, &node).await;
        let found = look_twice(&world, &world.process()).await;
        ask(&world, &[of_kind(&found, Kind::Disk)]).await;
        // Nobody shows this machine to Warren.
        world.move_in(NUMBER).await;
        *world.others() = Inventory::of(&world.simulator);
        let now = removed(&world, &world.process(), Duration::from_mins(1)).await;
        let disk = of_kind(&now, Kind::Disk);
        assert_eq!(disk.state, State::Failed);
        assert!(disk.cause.unwrap_or_default().contains("a machine has its number now"));
        nothing_else_happened(&world);
    });
}

#[test]
fn what_is_not_proven_is_told_with_the_reason_and_never_touched() {
    quickly(async {
        let world = world().await;
        let node = leave(&world).await;
        let mark = &node.mark;
        machine(&world, NUMBER + 2, "stranger", "mine").await;
        machine(&world, NUMBER + 3, "wn-aaaaaaaaaaaaaaaa", &format!("warren elsewhere {mark}"))
            .await;
        machine(&world, NUMBER + 4, node.name.as_str(), &format!("warren test {mark}")).await;
        machine(
            &world,
            NUMBER + 5,
            "wn-bbbbbbbbbbbbbbbb",
            "warren test 00000000000000000000000000000000",
        )
        .await;
        image(&world, "wn-cccccccccccccccc").await;
        plant::node(&world, "wn-dddddddddddddddd", "proxmox://of-somebody");
        world.root().version().await.expect("it answers");
        *world.others() = Inventory::of(&world.simulator);
        let found = look_twice(&world, &world.process()).await;
        for (name, proof, reason) in [
            (
                "stranger",
                Proof::Unproven,
                "number from our range, but no mark of this installation",
            ),
            ("wn-aaaaaaaaaaaaaaaa", Proof::Foreign, "the mark of another installation, elsewhere"),
            ("wn-bbbbbbbbbbbbbbbb", Proof::Unproven, "of a node that the record has never known"),
            ("local:iso/wn-cccccccccccccccc.iso", Proof::Unproven, "the record has never known"),
            ("wn-dddddddddddddddd", Proof::Unproven, "the record has never known"),
        ] {
            let orphan = found.iter().find(|orphan| orphan.seen.name == name);
            let orphan = orphan.unwrap_or_else(|| panic!("{name} is not among {found:?}"));
            assert_eq!(orphan.seen.proof, proof, "{orphan:?}");
            assert!(orphan.seen.reason.contains(reason), "{orphan:?}");
            let refused =
                world.store.orphan_remove(&world::proof(Scope::Platform), orphan.id).await;
            assert!(matches!(refused, Err(OrphanRemoveError::NotOurs(_))), "{refused:?}");
        }
        // A copy by hand carries number and mark apart.
        let copies = found.iter().filter(|orphan| orphan.seen.name == node.name.as_str());
        let copies: Vec<_> = copies
            .filter(|orphan| orphan.seen.kind == Kind::Machine)
            .map(|orphan| (orphan.seen.vm.map(|vm| vm.0), orphan.seen.proof))
            .collect();
        assert_eq!(copies.len(), 2, "{copies:?}");
        assert!(copies.contains(&(Some(NUMBER + 4), Proof::Unproven)), "{copies:?}");
        nothing_else_happened(&world);
    });
}

/// Somebody makes a machine his own after an operator asked for its removal.
async fn taken_after_the_wish(act: fn(u32) -> Act) -> World {
    let world = world().await;
    let node = leave(&world).await;
    let found = look_twice(&world, &world.process()).await;
    ask(&world, &[of_kind(&found, Kind::Machine)]).await;
    let act = act(node.vm.expect("it has one").0);
    world.simulator.act(act).await.expect("anything may happen");
    *world.others() = Inventory::of(&world.simulator);
    world
}

#[test]
fn a_machine_that_becomes_somebody_elses_after_the_wish_is_left_alone() {
    quickly(async {
        let adopt = |vm| {
            let description = Some("mine now".to_owned());
            Act::AdoptVm { vm, name: None, description, tags: None }
        };
        let world = taken_after_the_wish(adopt).await;
        let now = removed(&world, &world.process(), Duration::from_mins(1)).await;
        let machine = of_kind(&now, Kind::Machine);
        assert_eq!(machine.state, State::Failed, "{machine:?}");
        assert!(machine.cause.is_some_and(|cause| cause.contains("nothing was touched")));
        nothing_else_happened(&world);

        // One that nobody shows to Warren may be one that is just being destroyed.
        let recycle = |vm| Act::RecycleVm { vm, name: "somebody-elses".to_owned() };
        let world = taken_after_the_wish(recycle).await;
        let now = removed(&world, &world.process(), Duration::from_mins(1)).await;
        assert_eq!(of_kind(&now, Kind::Machine).state, State::Removing);
        advance(Duration::from_mins(30)).await;
        let now = removed(&world, &world.process(), Duration::from_mins(1)).await;
        let machine = of_kind(&now, Kind::Machine);
        assert_eq!(machine.state, State::Failed, "{machine:?}");
        assert!(machine.cause.is_some_and(|cause| cause.contains("none that Warren may see")));
        nothing_else_happened(&world);
    });
}

#[test]
fn an_object_that_was_made_anew_is_not_the_one_that_was_reported() {
    quickly(async {
        let world = world().await;
        let node = leave(&world).await;
        token(&world, &node);
        let found = look_twice(&world, &world.process()).await;
        let left = of_kind(&found, Kind::JoinToken);
        ask(&world, std::slice::from_ref(&left)).await;
        world.host.objects(|objects| objects.remove("secrets", "kube-system", &left.seen.name));
        token(&world, &node);
        let now = removed(&world, &world.process(), Duration::from_mins(1)).await;
        assert_eq!(of_kind(&now, Kind::JoinToken).state, State::Failed);
        world.host.objects(|objects| {
            assert!(objects.get("secrets", "kube-system", &left.seen.name).is_some());
        });
    });
}

/// Takes an operation to where this step is under way, and kills the process there.
async fn drive_to(world: &World, saga: &Saga<OwnNode>, id: OperationId, step: &str) {
    let reached = async {
        loop {
            let now = operation(world, id).await;
            let found = now.steps.iter().find(|known| known.name == step);
            if found.is_some_and(|found| found.state != StepState::Waiting) {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let process = world.process();
    tokio::select! {
        () = executor::drive(&process, saga, id) => {}
        () = reached => {}
    }
}

#[test]
fn what_an_operation_needs_is_no_orphan_at_any_of_its_steps() {
    quickly(async {
        let world = world().await;
        let (id, attach) = begin_attach(&world, true).await;
        for step in ATTACH.steps {
            drive_to(&world, &ATTACH, attach, step.name()).await;
            let found = look_twice(&world, &world.process()).await;
            assert_eq!(found, [], "during {}", step.name());
        }
        executor::drive(&world.process(), &ATTACH, attach).await;
        assert_eq!(operation(&world, attach).await.problem, None);
        assert_eq!(look_twice(&world, &world.process()).await, [], "it is ready");
        let release = world.store.node_release(id).await.expect("writable").id;
        for step in RELEASE.steps {
            drive_to(&world, &RELEASE, release, step.name()).await;
            let found = look_twice(&world, &world.process()).await;
            assert_eq!(found, [], "during {}", step.name());
        }
        executor::drive(&world.process(), &RELEASE, release).await;
        assert_eq!(look_twice(&world, &world.process()).await, [], "nothing is left of it");
        nothing_else_happened(&world);
    });
}

#[test]
fn what_is_not_there_at_a_later_look_is_gone_but_not_when_nobody_could_look() {
    quickly(async {
        let world = world().await;
        let node = leave(&world).await;
        token(&world, &node);
        let cx = world.process();
        let found = look_twice(&world, &cx).await;
        let name = of_kind(&found, Kind::JoinToken).seen.name;
        world.host.objects(|objects| objects.remove("secrets", "kube-system", &name));
        world.host.fail(Method::GET, "/api/v1/nodes", Fault::Break, 1);
        look_for_orphans(&cx).await.expect("writable");
        let state = of_kind(&reported(&world).await, Kind::JoinToken).state;
        assert_eq!(state, State::Found, "not all of the host cluster was seen");
        look_for_orphans(&cx).await.expect("writable");
        let now = reported(&world).await;
        assert_eq!(of_kind(&now, Kind::JoinToken).state, State::Gone);
        assert_eq!(of_kind(&now, Kind::NodePassword).state, State::Found);
    });
}

#[test]
fn without_proxmox_the_host_cluster_is_looked_at_and_no_node_is_deleted() {
    quickly(async {
        let world = world().await;
        leave(&world).await;
        let cx = Context { machines: None, ..world.process() };
        let found = look_twice(&world, &cx).await;
        assert_eq!(kinds(&found), BTreeSet::from([Kind::NodePassword, Kind::Node]));
        let areas = world.store.orphan_areas().await.expect("readable");
        assert!(
            areas
                .iter()
                .any(|area| area.obstacle.as_deref().is_some_and(|o| o.contains("[proxmox]"))),
            "{areas:?}"
        );
        ask(&world, &found).await;
        let now = removed(&world, &cx, Duration::from_mins(1)).await;
        assert_eq!(of_kind(&now, Kind::NodePassword).state, State::Removed);
        let node = of_kind(&now, Kind::Node);
        assert_eq!(node.state, State::Failed, "its machine may run");
        assert!(node.cause.is_some_and(|cause| cause.contains("[proxmox]")));
    });
}
