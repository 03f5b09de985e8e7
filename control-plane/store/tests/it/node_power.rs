//! Nodes that are switched off and on again on purpose.

use crate::{
    on_both,
    world::{World, name, owner, platform},
};
use domain::{
    ChangePlan, DeleteTenant, Node, NodeId, NodeState, Operation, OperationKind, OperationState,
    PlanName, PlanPreview, PowerChange, Problem, ReplaceNode, SessionsDuringMove, Subscription,
    Tenant, VolumesOnDisk, sample::preview,
};
use store::{NodeEnd, NodePowerError, NodeReplaceError, PlanChangeError, Store};

on_both! {
    a_node_that_is_off_stays_its_tenants_and_comes_back,
    what_was_taken_back_leaves_a_node_as_it_was,
    a_node_that_was_to_be_off_for_a_moment_is_on_or_stays_off,
    nobody_is_switched_off_while_something_else_is_done,
    a_node_that_is_off_is_the_first_to_go,
    a_node_is_replaced_with_its_volumes_until_they_are_given_up,
    no_node_is_replaced_while_the_plan_changes_and_the_other_way_round,
}

const OWN: Subscription = Subscription { plan: PlanName::DedicatedS, nodes: 2 };

/// A tenant that nothing is being done about, with its two nodes.
async fn settled(store: &Store) -> (Tenant, NodeId, NodeId) {
    let made = store.tenant_create(&platform(), name("acme"), OWN.plan, OWN.nodes, None).await;
    let (tenant, operation) = made.expect("the name is free").value;
    let end = Operation { state: OperationState::Succeeded, ..operation };
    let end = Operation { finished_at: Some(end.created_at), ..end };
    store.operation_progress(&end).await.expect("it is open");
    let (first, second) = (attached(store, &tenant).await, attached(store, &tenant).await);
    (tenant, first, second)
}

async fn attached(store: &Store, tenant: &Tenant) -> NodeId {
    let shape = tenant.plan.node_shape().expect("a plan with nodes");
    let attached = store.node_attach(tenant.id, shape).await.expect("there is the tenant");
    let (node, operation) = attached.expect("it pays for one more");
    store.node_end(&operation, NodeEnd::Ready).await.expect("it is open");
    node.id
}

async fn get(store: &Store, id: NodeId) -> Node {
    store.node_get(id).await.expect("readable").expect("it is there")
}

async fn ask(
    store: &Store,
    tenant: &Tenant,
    id: NodeId,
    change: PowerChange,
) -> Result<Operation, NodePowerError> {
    store.node_power(&owner(tenant.id), id, change).await
}

/// Does it, as far as the record knows.
async fn done(store: &Store, tenant: &Tenant, id: NodeId, change: PowerChange, end: NodeEnd) {
    let operation = ask(store, tenant, id, change).await.expect("nothing is in the way");
    store.node_end(&operation, end).await.expect("it is open");
}

fn problem() -> Problem {
    Problem { code: "a".to_owned(), detail: "b".to_owned(), hint: "c".to_owned() }
}

async fn a_node_that_is_off_stays_its_tenants_and_comes_back(world: World) {
    let store = world.open().await;
    let (tenant, node, _) = settled(&store).await;
    let ready = get(&store, node).await;
    let stop = ask(&store, &tenant, node, PowerChange::Stop).await.expect("it is ready");
    assert_eq!((stop.kind, stop.node), (OperationKind::NodeStop, Some(node)));
    assert_eq!(store.operation_sagas().await.expect("readable").len(), 1);
    assert_eq!(get(&store, node).await.state(), NodeState::Stopping);
    assert_eq!(store.node_release_lost(node).await.expect("readable"), None, "it is not lost");
    store.node_end(&stop, NodeEnd::Stopped).await.expect("it is open");

    assert_eq!(get(&store, node).await.state(), NodeState::Stopped);
    assert_eq!(store.node_release_lost(node).await.expect("readable"), None, "nor now");
    let more = store.node_attach(tenant.id, ready.shape).await.expect("readable");
    assert!(more.is_none(), "nobody takes its place");
    let again = ask(&store, &tenant, node, PowerChange::Stop).await;
    assert!(matches!(again, Err(NodePowerError::NotSo(NodeState::Stopped))), "{again:?}");

    let start = ask(&store, &tenant, node, PowerChange::Start).await.expect("it is off");
    assert_eq!(get(&store, node).await.state(), NodeState::Starting);
    store.node_end(&start, NodeEnd::Ready).await.expect("it is open");
    assert_eq!(get(&store, node).await, ready, "as if nothing had been");
    let lost = store.node_release_lost(node).await.expect("readable");
    assert_eq!(lost.map(|operation| operation.kind), Some(OperationKind::NodeRelease));
}

async fn what_was_taken_back_leaves_a_node_as_it_was(world: World) {
    let store = world.open().await;
    let (tenant, node, _) = settled(&store).await;
    done(&store, &tenant, node, PowerChange::Stop, NodeEnd::Undone(Some(problem()))).await;
    assert_eq!(get(&store, node).await.state(), NodeState::Ready);
    done(&store, &tenant, node, PowerChange::Stop, NodeEnd::Stopped).await;
    let start = ask(&store, &tenant, node, PowerChange::Start).await.expect("it is off");
    store.node_end(&start, NodeEnd::Undone(Some(problem()))).await.expect("it is open");
    assert_eq!(get(&store, node).await.state(), NodeState::Stopped);
    let end = store.operation_get(start.id).await.expect("readable").expect("it is there");
    assert_eq!((end.state, end.problem), (OperationState::Failed, Some(problem())));
}

async fn a_node_that_was_to_be_off_for_a_moment_is_on_or_stays_off(world: World) {
    let store = world.open().await;
    let (tenant, node, _) = settled(&store).await;
    assert!(store.node_stays_off(node).await.is_err(), "nobody wants it off");
    done(&store, &tenant, node, PowerChange::Reboot, NodeEnd::Ready).await;
    assert_eq!(get(&store, node).await.state(), NodeState::Ready);
    done(&store, &tenant, node, PowerChange::Reboot, NodeEnd::Undone(Some(problem()))).await;
    assert_eq!(get(&store, node).await.state(), NodeState::Ready, "it was not off yet");
    let reboot = ask(&store, &tenant, node, PowerChange::Reboot).await.expect("it is ready");
    assert_eq!(get(&store, node).await.state(), NodeState::Rebooting);
    for _ in 0..2 {
        store.node_stays_off(node).await.expect("it did not come back");
    }
    store.node_end(&reboot, NodeEnd::Undone(Some(problem()))).await.expect("it is open");
    assert_eq!(get(&store, node).await.state(), NodeState::Stopped);
    // Then it can be replaced.
    let release =
        store.node_replace(&owner::<ReplaceNode>(tenant.id), node, VolumesOnDisk::Stop).await;
    assert_eq!(release.expect("it is off").kind, OperationKind::NodeRelease);
    assert_eq!(get(&store, node).await.state(), NodeState::Releasing);
}

async fn nobody_is_switched_off_while_something_else_is_done(world: World) {
    let store = world.open().await;
    let (tenant, node, other) = settled(&store).await;
    let stop = ask(&store, &tenant, node, PowerChange::Stop).await.expect("it is ready");
    for change in [PowerChange::Stop, PowerChange::Start, PowerChange::Reboot] {
        let second = ask(&store, &tenant, node, change).await;
        let is_named = matches!(&second, Err(NodePowerError::Busy(open)) if open.id == stop.id);
        assert!(is_named, "{second:?}");
    }
    let moving = Subscription { nodes: 1, ..OWN };
    let begun = begin_move(&store, &tenant, moving).await;
    assert!(matches!(&begun, Err(PlanChangeError::Busy(open)) if open.id == stop.id), "{begun:?}");
    store.node_end(&stop, NodeEnd::Undone(Some(problem()))).await.expect("it is open");

    let change = begin_move(&store, &tenant, moving).await.expect("nothing else is done");
    let during = ask(&store, &tenant, other, PowerChange::Reboot).await;
    assert!(
        matches!(&during, Err(NodePowerError::Busy(open)) if open.id == change.id),
        "{during:?}"
    );
    store.plan_change_end(&change, Some(problem())).await.expect("it is open");

    // Whoever goes is not waited for: what is done about its nodes is taken back.
    let stop = ask(&store, &tenant, node, PowerChange::Stop).await.expect("it is ready");
    store.tenant_delete(&owner::<DeleteTenant>(tenant.id), tenant.id, false).await.expect("it may");
    let release = store.node_release(node).await.expect("it is there");
    assert_eq!(release.id, stop.id);
    assert!(release.cancel_requested_at.is_some(), "{release:?}");
    store.node_end(&stop, NodeEnd::Undone(Some(problem()))).await.expect("it is open");
    let release = store.node_release(node).await.expect("it is there");
    assert_eq!(release.kind, OperationKind::NodeRelease);
    let late = ask(&store, &tenant, other, PowerChange::Stop).await;
    assert!(matches!(late, Err(NodePowerError::Deleting)), "{late:?}");
}

async fn begin_move(
    store: &Store,
    tenant: &Tenant,
    to: Subscription,
) -> Result<Operation, PlanChangeError> {
    let preview = PlanPreview { machines_freed: 1, ..preview(OWN, to) };
    let (proof, wait) = (owner::<ChangePlan>(tenant.id), SessionsDuringMove::Wait);
    let begun = store.plan_change_begin(&proof, tenant.id, &preview, wait).await;
    begun.map(|(_, operation)| operation)
}

async fn a_node_that_is_off_is_the_first_to_go(world: World) {
    let store = world.open().await;
    let (tenant, first, second) = settled(&store).await;
    done(&store, &tenant, first, PowerChange::Stop, NodeEnd::Stopped).await;
    let change = begin_move(&store, &tenant, Subscription { nodes: 1, ..OWN }).await;
    let change = change.expect("nothing else is done");
    store.plan_change_commit(change.id).await.expect("it is under way");
    assert_eq!(store.node_release_surplus(tenant.id).await.expect("readable"), 1);
    assert_eq!(get(&store, first).await.state(), NodeState::Releasing);
    assert_eq!(get(&store, second).await.state(), NodeState::Ready, "there its pods are");
}

async fn replace(
    store: &Store,
    tenant: &Tenant,
    id: NodeId,
    volumes: VolumesOnDisk,
) -> Result<Operation, NodeReplaceError> {
    store.node_replace(&owner::<ReplaceNode>(tenant.id), id, volumes).await
}

async fn a_node_is_replaced_with_its_volumes_until_they_are_given_up(world: World) {
    let store = world.open().await;
    let (tenant, node, other) = settled(&store).await;
    assert!(!get(&store, node).await.is_copied(), "nobody asked for it");
    let release = replace(&store, &tenant, node, VolumesOnDisk::Copy).await.expect("it is ready");
    assert!(get(&store, node).await.is_copied());
    for volumes in [VolumesOnDisk::Stop, VolumesOnDisk::Copy] {
        let again = replace(&store, &tenant, node, volumes).await;
        let is_said = matches!(again, Err(NodeReplaceError::NotReady(NodeState::Releasing)));
        assert!(is_said, "{again:?}");
    }
    let second = replace(&store, &tenant, other, VolumesOnDisk::Lose).await;
    assert!(matches!(second, Err(NodeReplaceError::Busy(_))), "one at a time: {second:?}");
    let given_up = replace(&store, &tenant, node, VolumesOnDisk::Lose).await;
    assert_eq!(given_up.expect("they are there").id, release.id);
    assert!(!get(&store, node).await.is_copied());
    let audit = store.audit_list(Some(tenant.id), None, 1).await.expect("readable");
    assert_eq!(audit[0].action, "node.lose_volumes");
    let again = replace(&store, &tenant, node, VolumesOnDisk::Lose).await;
    assert!(matches!(again, Err(NodeReplaceError::NotReady(NodeState::Releasing))), "{again:?}");
}

async fn no_node_is_replaced_while_the_plan_changes_and_the_other_way_round(world: World) {
    let store = world.open().await;
    let (tenant, node, _) = settled(&store).await;
    let moving = Subscription { nodes: 1, ..OWN };
    let change = begin_move(&store, &tenant, moving).await.expect("nothing else is done");
    let during = replace(&store, &tenant, node, VolumesOnDisk::Copy).await;
    let is_named = matches!(&during, Err(NodeReplaceError::Moving(open)) if open.id == change.id);
    assert!(is_named, "{during:?}");
    store.plan_change_end(&change, Some(problem())).await.expect("it is open");

    let release = replace(&store, &tenant, node, VolumesOnDisk::Copy).await.expect("it is ready");
    let during = begin_move(&store, &tenant, moving).await;
    let is_named = matches!(&during, Err(PlanChangeError::Busy(open)) if open.id == release.id);
    assert!(is_named, "{during:?}");
    store.node_end(&release, NodeEnd::Released(None)).await.expect("it is open");
    begin_move(&store, &tenant, moving).await.expect("nothing else is done");
}
