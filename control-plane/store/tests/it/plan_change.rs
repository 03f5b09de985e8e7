use crate::{
    on_both,
    world::{World, name, owner, platform},
};
use domain::{
    ChangePlan, Isolation, NodeShape, NodeState, Operation, OperationKind, OperationState,
    PlanChange, PlanName, PlanPreview, Problem, SessionsDuringMove, Subscription, Survey, Tenant,
    TenantId, VolumesDuringMove,
};
use store::{NodeEnd, PlanChangeError, Store, StoreError};

on_both! {
    a_change_makes_room_for_both_plans_and_its_commit_leaves_the_new_one,
    a_change_that_is_withdrawn_leaves_the_old_plan_and_no_node_too_many,
    one_change_at_a_time_and_none_of_what_is_on_its_way_out,
    what_was_foreseen_for_another_plan_begins_nothing,
    a_change_is_halted_and_goes_on_and_its_times_are_remembered,
}

pub(crate) const SHARED: Subscription = Subscription { plan: PlanName::Pro, nodes: 0 };
const OWN: Subscription = Subscription { plan: PlanName::DedicatedS, nodes: 2 };

/// A tenant that nothing is being done about.
async fn settled(store: &Store, of: Subscription) -> Tenant {
    settled_as(store, "acme", of).await
}

pub(crate) async fn settled_as(store: &Store, called: &str, of: Subscription) -> Tenant {
    let made = store.tenant_create(&platform(), name(called), of.plan, of.nodes, None).await;
    let (tenant, operation) = made.expect("the name is free").value;
    let end = Operation { state: OperationState::Succeeded, ..operation };
    let end = Operation { finished_at: Some(end.created_at), ..end };
    store.operation_progress(&end).await.expect("it is open");
    tenant
}

pub(crate) fn preview(from: Subscription, to: Subscription) -> PlanPreview {
    PlanPreview {
        from,
        to,
        price_delta: 0,
        machines_made: 0,
        machines_freed: 0,
        restarts: true,
        api_away: None,
        volumes: VolumesDuringMove::Stop,
        survey: Survey::default(),
        sessions: Vec::new(),
        moved_sessions: Vec::new(),
        blockers: Vec::new(),
    }
}

async fn begin(
    store: &Store,
    tenant: TenantId,
    (from, to): (Subscription, Subscription),
) -> Result<(PlanChange, Operation), PlanChangeError> {
    let wait = SessionsDuringMove::Wait;
    let proof = owner::<ChangePlan>(tenant);
    store.plan_change_begin(&proof, tenant, &preview(from, to), wait).await
}

async fn get(store: &Store, tenant: &Tenant) -> Tenant {
    store.tenant_get(tenant.id).await.expect("readable").expect("it is there")
}

async fn a_change_makes_room_for_both_plans_and_its_commit_leaves_the_new_one(world: World) {
    let store = world.open().await;
    let tenant = settled(&store, SHARED).await;
    let (change, operation) = begin(&store, tenant.id, (SHARED, OWN)).await.expect("it is free");
    assert_eq!((operation.kind, operation.id), (OperationKind::PlanChange, change.operation));
    let during = get(&store, &tenant).await;
    assert!(during.generation > tenant.generation, "the host's objects differ");
    assert_eq!((during.subscription(), during.isolation()), (SHARED, Isolation::Shared));
    assert_eq!(during.nodes_of(NodeShape::S), 2);
    let (old, new) = (SHARED.plan().quota, OWN.plan().quota);
    assert_eq!(during.plan_on_host().quota, old.or_more(new));

    store.plan_change_place(change.operation, true).await.expect("it is under way");
    let placed = get(&store, &tenant).await;
    assert_eq!((placed.subscription(), placed.isolation()), (SHARED, Isolation::Dedicated));
    store.plan_change_place(change.operation, true).await.expect("twice is once");
    assert_eq!(get(&store, &tenant).await.generation, placed.generation, "nothing was written");

    store.plan_change_commit(change.operation).await.expect("it is under way");
    store.plan_change_commit(change.operation).await.expect("twice is once");
    let after = get(&store, &tenant).await;
    assert_eq!((after.subscription(), after.shift), (OWN, None));
    let back = store.plan_change_place(change.operation, false).await;
    assert!(matches!(back, Err(StoreError::Stale)), "there is no way back: {back:?}");
    let proof = owner::<ChangePlan>(tenant.id);
    let back = store.plan_change_cancel(&proof, change.operation).await;
    assert!(matches!(back, Err(StoreError::Refused(_))), "{back:?}");
    store.plan_change_end(&operation, None).await.expect("it is open");
    let end = store.operation_get(operation.id).await.expect("readable").expect("it is there");
    assert_eq!(end.state, OperationState::Succeeded);
    assert_eq!(get(&store, &tenant).await.subscription(), OWN);
}

async fn a_change_that_is_withdrawn_leaves_the_old_plan_and_no_node_too_many(world: World) {
    let store = world.open().await;
    let tenant = settled(&store, SHARED).await;
    let (change, operation) = begin(&store, tenant.id, (SHARED, OWN)).await.expect("it is free");
    for _ in 0..2 {
        let made = store.node_attach(tenant.id, NodeShape::S).await.expect("readable");
        assert!(made.is_some(), "the change needs two");
    }
    let more = store.node_attach(tenant.id, NodeShape::S).await.expect("readable");
    assert!(more.is_none(), "and no third");
    let nodes = store.node_of_tenant(tenant.id).await.expect("readable");
    let about = store.node_operation(nodes[0].id).await.expect("readable").expect("it is open");
    store.node_end(&about, NodeEnd::Ready).await.expect("it is open");
    assert_eq!(store.node_release_surplus(tenant.id).await.expect("readable"), 0, "none is");

    store.plan_change_withdraw(change.operation).await.expect("it is under way");
    assert_eq!(store.node_release_surplus(tenant.id).await.expect("readable"), 2, "all are");
    let ready = store.node_get(nodes[0].id).await.expect("readable").expect("it is there");
    assert_eq!(ready.state(), NodeState::Releasing);
    let other = store.node_operation(nodes[1].id).await.expect("readable").expect("it is open");
    assert!(other.cancel_requested_at.is_some(), "what was begun is taken back");
    let problem = Problem { code: "a".to_owned(), detail: "b".to_owned(), hint: "c".to_owned() };
    store.plan_change_end(&operation, Some(problem)).await.expect("it is open");
    let after = get(&store, &tenant).await;
    assert_eq!((after.subscription(), after.shift), (SHARED, None));
}

async fn one_change_at_a_time_and_none_of_what_is_on_its_way_out(world: World) {
    let store = world.open().await;
    let tenant = settled(&store, SHARED).await;
    let (_, operation) = begin(&store, tenant.id, (SHARED, OWN)).await.expect("it is free");
    let second = begin(&store, tenant.id, (SHARED, OWN)).await;
    let is_named =
        matches!(&second, Err(PlanChangeError::Busy(running)) if running.id == operation.id);
    assert!(is_named, "{second:?}");

    let proof = owner::<domain::DeleteTenant>(tenant.id);
    store.tenant_delete(&proof, tenant.id, false).await.expect("it is there");
    let end = store.operation_get(operation.id).await.expect("readable").expect("it is there");
    assert_eq!(end.problem.map(|problem| problem.code), Some("superseded".to_owned()));
    let late = store.plan_change_commit(operation.id).await;
    assert!(matches!(late, Err(StoreError::Stale)), "nobody goes on with it: {late:?}");
    let third = begin(&store, tenant.id, (SHARED, OWN)).await;
    assert!(matches!(third, Err(PlanChangeError::Deleting)), "{third:?}");
}

async fn what_was_foreseen_for_another_plan_begins_nothing(world: World) {
    let store = world.open().await;
    let tenant = settled(&store, SHARED).await;
    let late = begin(&store, tenant.id, (OWN, SHARED)).await;
    assert!(matches!(late, Err(PlanChangeError::Outdated)), "{late:?}");
    assert_eq!(get(&store, &tenant).await, tenant);
    assert_eq!(store.operation_open(tenant.id).await.expect("readable"), None);
}

async fn a_change_is_halted_and_goes_on_and_its_times_are_remembered(world: World) {
    let store = world.open().await;
    let tenant = settled(&store, SHARED).await;
    let (change, operation) = begin(&store, tenant.id, (SHARED, OWN)).await.expect("it is free");
    let proof = owner::<ChangePlan>(tenant.id);
    let halted = store.plan_change_pause(&proof, change.operation, true).await;
    assert!(halted.expect("it is open").paused_at.is_some());
    let on = store.plan_change_pause(&proof, change.operation, false).await;
    assert_eq!(on.expect("it is open").paused_at, None);
    let strangers = owner::<ChangePlan>(TenantId::new(uuid::Uuid::max()));
    let refused = store.plan_change_pause(&strangers, change.operation, true).await;
    assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");

    assert_eq!(store.plan_change_away(5).await.expect("readable"), Vec::<u32>::new());
    store.plan_change_note_away(change.operation, 7500).await.expect("it is there");
    assert_eq!(store.plan_change_away(5).await.expect("readable"), [7500]);
    store.plan_change_end(&operation, None).await.expect("it is open");
    let late = store.plan_change_pause(&proof, change.operation, true).await;
    assert!(matches!(late, Err(StoreError::Stale)), "{late:?}");
    let listed = store.plan_change_list(tenant.id, None, 5).await.expect("readable");
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].from, listed[0].to), (SHARED, OWN));
}
