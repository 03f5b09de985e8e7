//! Changes of plan of many tenants, and such that begin later.

use crate::{
    on_both,
    plan_change::{SHARED, settled_as},
    world::{World, actor, owner, platform},
};
use domain::{
    Authorized, ChangePlan, Clock as _, DeleteTenant, Operation, PlanBatch, PlanBatchId,
    PlanBatchLine, PlanBatchLineState as State, PlanBatchState, PlanName, Problem, Role, Scope,
    SessionsDuringMove, Subject, Subscription, Tenant, TenantId, TokenId, authorize,
    sample::preview,
};
use jiff::SignedDuration;
use store::{
    Change, IdempotencyKey, NewPlanBatch, PlanBatchBeginError, PlanBatchError, Store, StoreError,
};
use uuid::Uuid;

on_both! {
    no_more_begin_than_may_and_every_end_is_noted_with_its_operation,
    the_first_failure_skips_those_that_wait_and_a_retry_lets_them_wait_again,
    a_tenant_waits_once,
    whoever_is_deleted_is_skipped_whether_it_waits_or_runs,
    what_is_planned_begins_at_its_time_under_the_id_that_it_had,
    a_batch_is_halted_goes_on_and_is_given_up,
    a_token_that_was_taken_back_begins_nothing,
    the_same_key_makes_one_batch,
    who_is_busy_has_so_long_from_the_first_time_on,
}

const LARGE: Subscription = Subscription { plan: PlanName::Enterprise, nodes: 0 };

fn new(tenants: &[Tenant]) -> NewPlanBatch {
    NewPlanBatch {
        name: Some("spring".to_owned()),
        tenants: tenants.iter().map(|tenant| tenant.id).collect(),
        to: LARGE,
        sessions: SessionsDuringMove::Wait,
        preview: None,
        max_parallel: 2,
        stop_on_failure: true,
        start_at: None,
    }
}

async fn tenants(store: &Store, count: u32) -> Vec<Tenant> {
    let mut made = Vec::new();
    for number in 0..count {
        made.push(settled_as(store, &format!("tenant-{number}"), SHARED).await);
    }
    made
}

async fn made(store: &Store, new: &NewPlanBatch) -> PlanBatch {
    store.plan_batch_create(&platform(), new, None).await.expect("nobody waits").value
}

async fn get(store: &Store, batch: &PlanBatch) -> PlanBatch {
    store.plan_batch_get(batch.id).await.expect("readable").expect("it is there")
}

async fn lines(store: &Store, batch: &PlanBatch) -> Vec<PlanBatchLine> {
    store.plan_batch_lines(batch.id, None).await.expect("readable")
}

async fn states(store: &Store, batch: &PlanBatch) -> Vec<State> {
    lines(store, batch).await.into_iter().map(|line| line.state).collect()
}

/// A proof of a token that is there.
async fn asked_by(store: &Store, tenant: TenantId) -> Authorized<ChangePlan> {
    let made = store.token_create(Some(&platform()), Role::Operator, None, "batch").await;
    let token = made.expect("an operator may").id;
    let actor = domain::Actor { subject: Subject::Token(token), ..actor(Role::Operator, None) };
    authorize(&actor, Scope::tenant(tenant)).expect("operators may")
}

async fn begin(store: &Store, line: &PlanBatchLine) -> Result<Operation, PlanBatchBeginError> {
    let proof = asked_by(store, line.tenant).await;
    let begun = store.plan_batch_begin(&proof, line, &preview(SHARED, LARGE)).await;
    begun.map(|(_, operation)| operation)
}

fn problem(code: &str) -> Problem {
    Problem { code: code.to_owned(), detail: "it broke".to_owned(), hint: "mend it".to_owned() }
}

async fn no_more_begin_than_may_and_every_end_is_noted_with_its_operation(world: World) {
    let store = world.open().await;
    let tenants = tenants(&store, 3).await;
    let batch = made(&store, &new(&tenants)).await;
    assert_eq!((batch.state(), batch.counts.waiting), (PlanBatchState::Waiting, 3));
    let waiting = lines(&store, &batch).await;
    let names: Vec<_> = waiting.iter().map(|line| line.name.as_str()).collect();
    assert_eq!(names, ["tenant-0", "tenant-1", "tenant-2"]);
    let mut changes = store.changes();
    let first = begin(&store, &waiting[0]).await.expect("it may");
    assert_eq!(first.id, waiting[0].operation);
    let is_told = std::iter::from_fn(|| changes.try_recv().ok())
        .any(|change| change == Change::PlanBatch(batch.id));
    assert!(is_told, "whoever follows the batch hears of it");
    begin(&store, &waiting[1]).await.expect("two may");
    let third = begin(&store, &waiting[2]).await;
    assert!(matches!(third, Err(PlanBatchBeginError::NotNow)), "{third:?}");
    let twice = begin(&store, &waiting[0]).await;
    assert!(matches!(twice, Err(PlanBatchBeginError::NotNow)), "{twice:?}");
    assert_eq!(store.plan_batch_due(world.clock.now()).await.expect("readable"), []);

    store.plan_change_end(&first, None).await.expect("it is open");
    assert_eq!(states(&store, &batch).await, [State::Succeeded, State::Running, State::Waiting]);
    assert_eq!(store.plan_batch_due(world.clock.now()).await.expect("readable").len(), 1);
    let third = begin(&store, &waiting[2]).await.expect("one may now");
    for operation in [third.id, waiting[1].operation] {
        let open = store.operation_get(operation).await.expect("readable").expect("it is there");
        store.plan_change_end(&open, None).await.expect("it is open");
    }
    let end = get(&store, &batch).await;
    assert_eq!((end.state(), end.counts.succeeded), (PlanBatchState::Succeeded, 3));
    assert!(end.finished_at.is_some());
}

async fn the_first_failure_skips_those_that_wait_and_a_retry_lets_them_wait_again(world: World) {
    let store = world.open().await;
    let tenants = tenants(&store, 3).await;
    let batch = made(&store, &NewPlanBatch { max_parallel: 1, ..new(&tenants) }).await;
    let before = lines(&store, &batch).await;
    let first = begin(&store, &before[0]).await.expect("it may");
    store.plan_change_end(&first, Some(problem("broken"))).await.expect("it is open");
    let after = lines(&store, &batch).await;
    let codes: Vec<_> = after.iter().map(|line| line.problem.as_ref().expect("why")).collect();
    assert_eq!(codes[0], &problem("broken"));
    for skipped in &codes[1..] {
        assert_eq!(skipped.code, "batch-stopped");
        assert!(skipped.detail.contains("tenant-0"), "the first failure is named: {skipped:?}");
    }
    assert_eq!(get(&store, &batch).await.state(), PlanBatchState::Failed);

    store.plan_batch_retry(&platform(), batch.id).await.expect("it is there");
    assert_eq!(states(&store, &batch).await, [State::Waiting; 3]);
    assert_eq!(get(&store, &batch).await.finished_at, None);
    let again = lines(&store, &batch).await;
    assert!(again.iter().zip(&before).all(|(now, then)| now.operation != then.operation));
    let late = begin(&store, &before[1]).await;
    assert!(matches!(late, Err(PlanBatchBeginError::NotNow)), "not under the old id: {late:?}");
    let failed = (State::Failed, problem("refused"));
    store.plan_batch_end(&again[2], failed.0, &failed.1).await.expect("it waits");
    assert_eq!(states(&store, &batch).await, [State::Skipped, State::Skipped, State::Failed]);
    let stops = "SELECT count(*) FROM audit WHERE action = 'plan.batch.stop'";
    assert_eq!(world.tables().await.number(stops).await, 2);

    store.plan_batch_retry(&platform(), batch.id).await.expect("it is there");
    let again = lines(&store, &batch).await;
    store.plan_batch_cancel(&platform(), batch.id).await.expect("it goes on");
    let alone = NewPlanBatch { stop_on_failure: false, ..new(&tenants) };
    let batch = made(&store, &alone).await;
    let waiting = lines(&store, &batch).await;
    assert_ne!(waiting[0].operation, again[0].operation);
    store.plan_batch_end(&waiting[0], failed.0, &failed.1).await.expect("it waits");
    assert_eq!(states(&store, &batch).await, [State::Failed, State::Waiting, State::Waiting]);
}

async fn a_tenant_waits_once(world: World) {
    let store = world.open().await;
    let tenants = tenants(&store, 2).await;
    let batch = made(&store, &new(&tenants[..1])).await;
    let waiting = lines(&store, &batch).await;
    let second = store.plan_batch_create(&platform(), &new(&tenants), None).await;
    let Err(PlanBatchError::Waiting(named)) = second else { unreachable!("{second:?}") };
    assert_eq!(named, waiting);
    let id = tenants[0].id;
    let planned = store.plan_batch_plan(&owner(id), id, &new(&tenants[..1])).await;
    assert!(matches!(planned, Err(PlanBatchError::Waiting(_))), "{planned:?}");
    let strange = store.plan_batch_plan(&owner(tenants[1].id), id, &new(&tenants[..1])).await;
    assert!(matches!(strange, Err(PlanBatchError::Store(StoreError::NotFound))), "{strange:?}");

    let strange = store.plan_batch_give_up(&owner(tenants[1].id), waiting[0].operation).await;
    assert!(matches!(strange, Err(PlanBatchError::Store(StoreError::NotFound))), "{strange:?}");
    store.plan_batch_give_up(&owner(id), waiting[0].operation).await.expect("it waits");
    assert_eq!(get(&store, &batch).await.state(), PlanBatchState::Cancelled);
    let late = store.plan_batch_give_up(&owner(id), waiting[0].operation).await;
    assert!(matches!(late, Err(PlanBatchError::Over)), "{late:?}");
    made(&store, &new(&tenants)).await;
}

async fn whoever_is_deleted_is_skipped_whether_it_waits_or_runs(world: World) {
    let store = world.open().await;
    let tenants = tenants(&store, 3).await;
    let batch = made(&store, &NewPlanBatch { max_parallel: 1, ..new(&tenants) }).await;
    begin(&store, &lines(&store, &batch).await[0]).await.expect("it may");
    for tenant in &tenants[..2] {
        let proof = owner::<DeleteTenant>(tenant.id);
        store.tenant_delete(&proof, tenant.id, false).await.expect("the owner may");
    }
    let after = lines(&store, &batch).await;
    let codes = after.iter().map(|line| line.problem.as_ref().map(|why| why.code.as_str()));
    let codes: Vec<_> = codes.collect();
    assert_eq!(codes, [Some("superseded"), Some("tenant-deleting"), None]);
    assert_eq!(states(&store, &batch).await, [State::Skipped, State::Skipped, State::Waiting]);
    store.plan_batch_retry(&platform(), batch.id).await.expect("it is there");
    assert_eq!(states(&store, &batch).await, [State::Skipped, State::Skipped, State::Waiting]);
}

async fn what_is_planned_begins_at_its_time_under_the_id_that_it_had(world: World) {
    let store = world.open().await;
    let tenant = tenants(&store, 1).await.remove(0);
    let now = world.clock.now();
    let start_at = Some(now + SignedDuration::from_hours(3));
    let new = NewPlanBatch { start_at, ..new(std::slice::from_ref(&tenant)) };
    let proof = owner(tenant.id);
    let (batch, line) = store.plan_batch_plan(&proof, tenant.id, &new).await.expect("none waits");
    assert_eq!(store.plan_batch_get(batch.id).await.expect("readable"), None, "it is the tenant's");
    assert_eq!(store.plan_batch_list(None, 5).await.expect("readable"), []);
    let is_hidden = store.plan_batch_cancel(&platform(), batch.id).await;
    assert!(matches!(is_hidden, Err(PlanBatchError::Store(StoreError::NotFound))));
    assert_eq!(store.plan_batch_due(now).await.expect("readable"), []);
    assert_eq!(store.plan_batch_next(now).await.expect("readable"), start_at);
    assert_eq!(store.operation_open(tenant.id).await.expect("readable"), None, "it holds nothing");
    let early = begin(&store, &line).await;
    assert!(matches!(early, Err(PlanBatchBeginError::NotNow)), "{early:?}");
    let unbegun = store.plan_batch_unbegun(tenant.id, None, 5).await.expect("readable");
    assert_eq!(unbegun, [(batch.clone(), line.clone())]);
    let known = store.plan_batch_line(line.operation).await.expect("readable");
    assert_eq!(known, Some((batch.clone(), line.clone())));

    store.close().await.expect("the store can be closed");
    world.clock.advance(SignedDuration::from_hours(3));
    let store = world.open().await;
    assert_eq!(store.plan_batch_due(world.clock.now()).await.expect("readable"), [batch]);
    begin(&store, &line).await.expect("it is time");
    let change = store.plan_change_get(line.operation).await.expect("readable");
    assert_eq!(change.expect("it has begun").to, LARGE);
    assert_eq!(store.plan_batch_unbegun(tenant.id, None, 5).await.expect("readable"), []);
}

async fn a_batch_is_halted_goes_on_and_is_given_up(world: World) {
    let store = world.open().await;
    let tenants = tenants(&store, 3).await;
    let batch = made(&store, &new(&tenants)).await;
    let waiting = lines(&store, &batch).await;
    let first = begin(&store, &waiting[0]).await.expect("it may");
    for _ in 0..2 {
        store.plan_batch_pause(&platform(), batch.id, true).await.expect("it goes on");
    }
    assert_eq!(get(&store, &batch).await.state(), PlanBatchState::Paused);
    let halted = begin(&store, &waiting[1]).await;
    assert!(matches!(halted, Err(PlanBatchBeginError::NotNow)), "{halted:?}");
    store.plan_batch_pause(&platform(), batch.id, false).await.expect("it is halted");
    for _ in 0..2 {
        store.plan_batch_cancel(&platform(), batch.id).await.expect("it goes on");
    }
    assert_eq!(states(&store, &batch).await, [State::Running, State::Cancelled, State::Cancelled]);
    assert_eq!(get(&store, &batch).await.state(), PlanBatchState::Cancelling);
    for late in [
        store.plan_batch_pause(&platform(), batch.id, true).await,
        store.plan_batch_retry(&platform(), batch.id).await,
    ] {
        assert!(matches!(late, Err(PlanBatchError::Over)), "{late:?}");
    }
    store.plan_change_end(&first, None).await.expect("it goes on to its end");
    assert_eq!(get(&store, &batch).await.state(), PlanBatchState::Cancelled);
    let never = PlanBatchId::new(Uuid::max());
    let none = store.plan_batch_pause(&platform(), never, true).await;
    assert!(matches!(none, Err(PlanBatchError::Store(StoreError::NotFound))), "{none:?}");
    let wishes =
        "SELECT count(*) FROM audit WHERE action LIKE 'plan.batch.%' AND token IS NOT NULL";
    assert_eq!(world.tables().await.number(wishes).await, 4);
}

async fn a_token_that_was_taken_back_begins_nothing(world: World) {
    let store = world.open().await;
    let tenants = tenants(&store, 1).await;
    let batch = made(&store, &new(&tenants)).await;
    let line = lines(&store, &batch).await.remove(0);
    asked_by(&store, line.tenant).await;
    let proof = asked_by(&store, line.tenant).await;
    let subject = proof.actor().subject;
    let Subject::Token(token) = subject else { unreachable!("it is a token") };
    let known = store.actor_of(subject, "request".to_owned()).await.expect("readable");
    assert_eq!(known.and_then(|actor| actor.mightiest()), Some(Role::Operator));
    store.token_revoke(&platform(), token).await.expect("another is left");
    assert_eq!(store.actor_of(subject, String::new()).await.expect("readable"), None);
    let refused = store.plan_batch_begin(&proof, &line, &preview(SHARED, LARGE)).await;
    assert!(matches!(refused, Err(PlanBatchBeginError::Revoked)), "{refused:?}");
    assert_eq!(store.operation_open(line.tenant).await.expect("readable"), None);
}

async fn the_same_key_makes_one_batch(world: World) {
    let store = world.open().await;
    let tenants = tenants(&store, 1).await;
    let actor = TokenId::new(Uuid::from_u128(99));
    let key = IdempotencyKey {
        actor: Subject::Token(actor),
        key: "once".to_owned(),
        request_digest: [1; 32],
    };
    let create = async |key| store.plan_batch_create(&platform(), &new(&tenants), Some(key)).await;
    let first = create(&key).await.expect("nobody waits");
    let again = create(&key).await.expect("it is the same");
    assert!(!first.is_replay && again.is_replay);
    assert_eq!(first.value, again.value);
    let other = IdempotencyKey { request_digest: [2; 32], ..key.clone() };
    let other = create(&other).await;
    assert!(matches!(other, Err(PlanBatchError::IdempotencyMismatch)), "{other:?}");
    assert_eq!(store.plan_batch_list(None, 5).await.expect("readable").len(), 1);
}

async fn who_is_busy_has_so_long_from_the_first_time_on(world: World) {
    let store = world.open().await;
    let tenants = tenants(&store, 1).await;
    let batch = made(&store, &new(&tenants)).await;
    let line = lines(&store, &batch).await.remove(0);
    let hour = SignedDuration::from_hours(1);
    let until = store.plan_batch_busy(&line, &problem("tenant-busy"), hour).await;
    let until = until.expect("it waits");
    assert_eq!(until, world.clock.now() + hour);
    world.clock.advance(SignedDuration::from_mins(5));
    let tables = world.tables().await;
    let before = tables.version().await;
    let again = store.plan_batch_busy(&line, &problem("tenant-busy"), hour).await;
    assert_eq!(again.expect("it waits"), until);
    assert_eq!(tables.version().await, before, "nothing was written");
    store.plan_batch_busy(&line, &problem("node-busy"), hour).await.expect("it waits");
    let line = lines(&store, &batch).await.remove(0);
    assert_eq!((line.problem, line.busy_until), (Some(problem("node-busy")), Some(until)));
}
