//! What is left over: reported by the second look, removed at an operator's word.

use crate::{
    on_both,
    world::{World, name, platform},
};
use domain::{
    Bytes, Node, Orphan, OrphanKind, OrphanProof, OrphanState, PlanName, Sighting, SweepLook,
    VmNumber,
};
use jiff::SignedDuration;
use store::{Change, NodeClues, OrphanRemoveError, Store, StoreError};

on_both! {
    what_is_seen_once_is_not_reported_and_what_is_seen_again_later_is,
    what_a_whole_look_misses_is_gone_and_what_half_a_look_misses_is_not,
    only_what_is_ours_is_removed_and_every_wish_has_an_author,
    a_removal_that_failed_can_be_asked_for_again_and_one_that_is_over_cannot,
    what_is_over_is_forgotten_after_a_week,
    nodes_are_found_by_whatever_is_left_of_them,
}

fn seen(name: &str, proof: OrphanProof) -> Sighting {
    Sighting {
        kind: OrphanKind::Machine,
        name: name.to_owned(),
        vm: Some(VmNumber(9000)),
        place: Some("pve1".to_owned()),
        storage: None,
        namespace: None,
        uid: None,
        size: Some(Bytes(7)),
        proof,
        reason: "why".to_owned(),
        node: None,
    }
}

fn look(sightings: &[Sighting], obstacle: Option<&str>) -> [SweepLook; 1] {
    [SweepLook {
        area: "machines".to_owned(),
        sightings: sightings.to_vec(),
        obstacle: obstacle.map(str::to_owned),
    }]
}

async fn note(world: &World, store: &Store, sightings: &[Sighting]) -> u64 {
    world.clock.advance(SignedDuration::from_mins(5));
    store.orphan_note(&look(sightings, None)).await.expect("writable")
}

async fn list(store: &Store) -> Vec<Orphan> {
    store.orphan_list(None, 10).await.expect("readable")
}

/// One that is reported.
async fn reported(world: &World, store: &Store, proof: OrphanProof) -> Orphan {
    let one = [seen("wn-one", proof)];
    note(world, store, &one).await;
    assert_eq!(note(world, store, &one).await, 1);
    list(store).await.pop().expect("it is reported")
}

async fn what_is_seen_once_is_not_reported_and_what_is_seen_again_later_is(world: World) {
    let store = world.open().await;
    let one = [seen("wn-one", OrphanProof::Ours)];
    assert_eq!(note(&world, &store, &one).await, 0);
    store.orphan_note(&look(&one, None)).await.expect("writable");
    assert_eq!(list(&store).await, [], "another look at once proves nothing");
    assert_eq!(note(&world, &store, &[]).await, 0);
    assert_eq!(note(&world, &store, &one).await, 0, "it begins anew: it was away");
    // It is the same machine wherever people have moved it.
    let moved = Sighting { place: Some("pve2".to_owned()), ..one[0].clone() };
    assert_eq!(note(&world, &store, &[moved]).await, 1);
    let [found] = <[Orphan; 1]>::try_from(list(&store).await).expect("one");
    assert_eq!((found.state, found.seen.place.as_deref()), (OrphanState::Found, Some("pve2")));
    assert_eq!(found.last_seen_at.duration_since(found.first_seen_at).as_mins(), 5);
    assert_eq!(note(&world, &store, &one).await, 0, "it is news once");
    let areas = store.orphan_areas().await.expect("readable");
    assert_eq!((areas.len(), areas[0].area.as_str()), (1, "machines"));
}

async fn what_a_whole_look_misses_is_gone_and_what_half_a_look_misses_is_not(world: World) {
    let store = world.open().await;
    let orphan = reported(&world, &store, OrphanProof::Unproven).await;
    store.orphan_note(&look(&[], Some("pve1 is away"))).await.expect("writable");
    assert_eq!(list(&store).await[0].state, OrphanState::Found);
    let told = store.orphan_areas().await.expect("readable");
    assert_eq!(told[0].obstacle.as_deref(), Some("pve1 is away"));
    let mut changes = store.changes();
    note(&world, &store, &[]).await;
    let gone = &list(&store).await[0];
    assert_eq!((gone.id, gone.state), (orphan.id, OrphanState::Gone));
    assert!(gone.ended_at.is_some());
    assert_eq!(changes.try_recv(), Ok(Change::Orphan(orphan.id)));
    // What comes back is another one, which has to be seen twice.
    let again = [seen("wn-one", OrphanProof::Unproven)];
    note(&world, &store, &again).await;
    assert_eq!(list(&store).await.len(), 1);
    note(&world, &store, &again).await;
    assert_eq!(list(&store).await.len(), 2);
}

async fn only_what_is_ours_is_removed_and_every_wish_has_an_author(world: World) {
    let store = world.open().await;
    let strange = reported(&world, &store, OrphanProof::Unproven).await;
    let refused = store.orphan_remove(&platform(), strange.id).await;
    assert!(matches!(refused, Err(OrphanRemoveError::NotOurs(_))), "{refused:?}");
    assert_eq!(store.orphan_asked().await.expect("readable"), []);
    assert_eq!(store.audit_list(None, None, 10).await.expect("readable"), []);

    note(&world, &store, &[seen("wn-one", OrphanProof::Ours)]).await;
    for _ in 0..2 {
        let asked = store.orphan_remove(&platform(), strange.id).await.expect("it is ours");
        assert_eq!(asked.state, OrphanState::Asked);
    }
    let audit = store.audit_list(None, None, 10).await.expect("readable");
    assert_eq!(audit.len(), 1, "asked twice is asked once");
    assert_eq!((audit[0].action.as_str(), audit[0].subject.is_some()), ("orphan.remove", true));
    assert_eq!(audit[0].target, strange.id.to_string());
    assert_eq!(store.orphan_asked().await.expect("readable").len(), 1);
    // Who removes it ends this, not who looks.
    note(&world, &store, &[]).await;
    assert_eq!(list(&store).await[0].state, OrphanState::Asked);
    store.orphan_end(strange.id, Ok(())).await.expect("it was asked for");
    let removed = &list(&store).await[0];
    assert_eq!(removed.state, OrphanState::Removed);
    assert!(removed.ended_at.is_some());
    let audit = store.audit_list(None, None, 10).await.expect("readable");
    assert_eq!((audit[0].action.as_str(), audit[0].subject), ("orphan.removed", None));
}

async fn a_removal_that_failed_can_be_asked_for_again_and_one_that_is_over_cannot(world: World) {
    let store = world.open().await;
    let orphan = reported(&world, &store, OrphanProof::Ours).await;
    let early = store.orphan_removing(orphan.id, None).await;
    assert!(matches!(early, Err(StoreError::Stale)), "nobody wants it: {early:?}");
    store.orphan_remove(&platform(), orphan.id).await.expect("it is ours");
    store.orphan_removing(orphan.id, Some("it is locked")).await.expect("it is wanted");
    let mut changes = store.changes();
    store.orphan_removing(orphan.id, Some("it is locked")).await.expect("it is wanted");
    assert!(changes.try_recv().is_err(), "said once");
    store.orphan_end(orphan.id, Err("it stays locked".to_owned())).await.expect("it is wanted");
    let failed = &list(&store).await[0];
    assert_eq!((failed.state, failed.ended_at), (OrphanState::Failed, None));
    assert_eq!(failed.cause.as_deref(), Some("it stays locked"));
    let again = store.orphan_remove(&platform(), orphan.id).await.expect("it is ours");
    assert_eq!((again.state, again.cause), (OrphanState::Asked, None));
    store.orphan_end(orphan.id, Ok(())).await.expect("it is wanted");
    let over = store.orphan_remove(&platform(), orphan.id).await;
    assert!(matches!(over, Err(OrphanRemoveError::Over(OrphanState::Removed))), "{over:?}");
}

async fn what_is_over_is_forgotten_after_a_week(world: World) {
    let store = world.open().await;
    reported(&world, &store, OrphanProof::Ours).await;
    note(&world, &store, &[]).await;
    world.clock.advance(SignedDuration::from_hours(6 * 24));
    note(&world, &store, &[]).await;
    assert_eq!(list(&store).await.len(), 1);
    world.clock.advance(SignedDuration::from_hours(2 * 24));
    note(&world, &store, &[]).await;
    assert_eq!(list(&store).await, []);
    assert_eq!(world.tables().await.number("SELECT count(*) FROM orphans").await, 0);
}

async fn nodes_are_found_by_whatever_is_left_of_them(world: World) {
    let store = world.open().await;
    let made = store.tenant_create(&platform(), name("acme"), PlanName::DedicatedS, 2, None).await;
    let tenant = made.expect("the name is free").value.0;
    let shape = tenant.plan.node_shape().expect("a plan with nodes");
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let attached = store.node_attach(tenant.id, shape).await.expect("there is the tenant");
        nodes.push(attached.expect("it pays for one more").0);
    }
    let [one, other] = <[Node; 2]>::try_from(nodes).expect("two");
    store.node_reserve_vm(one.id, 100..=101).await.expect("it is there");
    let about = store.node_operation(one.id).await.expect("readable").expect("it is open");
    store.node_end(&about, store::NodeEnd::Released(None)).await.expect("it is open");
    let clues = async |clues: NodeClues| {
        let found: Vec<Node> = store.orphan_nodes(&clues).await.expect("readable");
        found.into_iter().map(|node| node.id).collect::<Vec<_>>()
    };
    let none = NodeClues::default;
    assert_eq!(clues(none()).await, []);
    assert_eq!(clues(NodeClues { ids: vec![one.id], ..none() }).await, [one.id]);
    assert_eq!(clues(NodeClues { names: vec![one.name.to_string()], ..none() }).await, [one.id]);
    assert_eq!(clues(NodeClues { marks: vec![other.mark.clone()], ..none() }).await, [other.id]);
    let all = NodeClues {
        vms: vec![VmNumber(100), VmNumber(101)],
        names: vec![other.name.to_string(), one.name.to_string()],
        ..none()
    };
    let mut found = clues(all).await;
    found.sort();
    assert_eq!(found, [one.id, other.id], "each of them once");
}
