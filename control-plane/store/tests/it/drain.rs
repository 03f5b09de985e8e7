//! Sessions whose node is emptied.

use crate::{
    on_both,
    world::{World, create, owner, spec},
};
use domain::{
    Cause, DrainEnd, FailureClass, Operation, OperationState, RetryPolicy, RetryRule, Session,
    SessionSpec, SessionState, TenantId,
};
use std::collections::BTreeMap;
use store::{NewRun, Store, StoreError};

on_both! {
    a_run_that_begins_again_elsewhere_uses_up_no_attempt,
    a_session_that_is_stopped_for_its_nodes_sake_says_so_to_its_end,
    a_run_that_is_cut_off_is_followed_as_its_rule_says,
    an_order_counts_once_for_the_newest_run_and_while_its_operation_is_open,
}

/// A session with two attempts after failures of one class, and without a pause between them.
async fn begin(store: &Store, tenant: TenantId, class: FailureClass) -> (Session, NewRun) {
    let rule = RetryRule { attempts: 2, backoff_seconds: 0, ..RetryRule::NONE };
    let retry = RetryPolicy(BTreeMap::from([(class, rule)]));
    let spec = SessionSpec { retry, ..spec() };
    let made = store.session_create(&owner(tenant), tenant, spec, None).await;
    let session = made.expect("the tenant takes sessions").value;
    run(store, &session).await
}

async fn run(store: &Store, session: &Session) -> (Session, NewRun) {
    let new = store.run_create(session.id, session.revision).await.expect("it is queued");
    (step(store, &new.session, SessionState::Running, None).await, new)
}

async fn step(
    store: &Store,
    session: &Session,
    next: SessionState,
    cause: Option<Cause>,
) -> Session {
    let moved = store.session_move(session.id, session.revision, next, cause).await;
    moved.expect("the states follow one another")
}

async fn get(store: &Store, session: &Session) -> Session {
    store.session_get(session.id).await.expect("readable").expect("it is there")
}

/// Its Job is gone, which is what is seen of most runs that were ended.
async fn gone(store: &Store, session: &Session) -> Session {
    let cause = Cause::failure(FailureClass::Infrastructure, "JobGone", "its Job is gone");
    step(store, &get(store, session).await, SessionState::Failed, Some(cause)).await
}

async fn drain(store: &Store, by: &Operation, new: &NewRun, end: DrainEnd) {
    store.session_drain(by.id, new.run.id, "w-1", end).await.expect("it is open");
}

async fn a_run_that_begins_again_elsewhere_uses_up_no_attempt(world: World) {
    let store = world.open().await;
    let (tenant, by) = create(&store, "acme").await;
    let (session, first) = begin(&store, tenant.id, FailureClass::Agent).await;
    drain(&store, &by, &first, DrainEnd::Restart).await;
    let during = get(&store, &session).await;
    assert_eq!((during.state, during.running_at), (SessionState::Running, session.running_at));
    let cause = during.cause.clone().expect("why it is ending");
    assert_eq!((&*cause.reason, cause.class), (Cause::NODE_DRAINED, None));

    let queued = gone(&store, &session).await;
    assert_eq!(queued.state, SessionState::Queued, "{queued:?}");
    let cause = queued.cause.clone().expect("why it waits");
    assert_eq!(
        (&*cause.reason, cause.class),
        (Cause::NODE_DRAINED, Some(FailureClass::Infrastructure))
    );
    assert_eq!(cause.evidence.node.as_deref(), Some("w-1"));
    assert_eq!(cause.evidence.operation, Some(by.id.to_string()));
    assert!(cause.message.contains("does not count"), "{}", cause.message);

    // Both attempts that its rule allows are left.
    store.run_settled(first.run.id).await.expect("it is there");
    let (session, second) = run(&store, &queued).await;
    let failed = || Cause::failure(FailureClass::Agent, "ExitCode", "it failed");
    let queued = step(&store, &session, SessionState::Failed, Some(failed())).await;
    assert_eq!(queued.state, SessionState::Queued, "{queued:?}");
    assert_eq!(
        queued.cause.map(|cause| cause.message).as_deref(),
        Some("it failed; run 3 of 3 follows")
    );
    store.run_settled(second.run.id).await.expect("it is there");
    let (session, _) = run(&store, &get(&store, &session).await).await;
    let end = step(&store, &session, SessionState::Failed, Some(failed())).await;
    assert_eq!(end.state, SessionState::Failed);
}

async fn a_session_that_is_stopped_for_its_nodes_sake_says_so_to_its_end(world: World) {
    let store = world.open().await;
    let (tenant, by) = create(&store, "acme").await;
    let (session, new) = begin(&store, tenant.id, FailureClass::Infrastructure).await;
    drain(&store, &by, &new, DrainEnd::Stop).await;
    let stopping = get(&store, &session).await;
    assert_eq!(stopping.state, SessionState::Stopping);
    assert!(stopping.stop_requested_at.is_some());
    let cause = Cause::plain("Stopped", "it was stopped; its process has ended");
    let end = step(&store, &stopping, SessionState::Stopped, Some(cause)).await;
    let cause = end.cause.expect("every end has one");
    assert_eq!((&*cause.reason, cause.class), (Cause::NODE_DRAINED, None));
    assert!(cause.message.contains(&by.id.to_string()), "{}", cause.message);
    let audit = store.audit_list(Some(tenant.id), None, 10).await.expect("readable");
    let entry = audit.iter().find(|entry| entry.action == "session.drain").expect("an entry");
    assert_eq!((entry.target.clone(), entry.subject), (session.id.to_string(), None));
}

async fn a_run_that_is_cut_off_is_followed_as_its_rule_says(world: World) {
    let store = world.open().await;
    let (tenant, by) = create(&store, "acme").await;
    let (session, first) = begin(&store, tenant.id, FailureClass::Infrastructure).await;
    drain(&store, &by, &first, DrainEnd::CutOff).await;
    let queued = gone(&store, &session).await;
    let told = queued.cause.clone().map(|cause| cause.message).unwrap_or_default();
    assert!(told.ends_with("; run 2 of 2 follows"), "{told}");
    store.run_settled(first.run.id).await.expect("it is there");
    let (session, second) = run(&store, &queued).await;
    drain(&store, &by, &second, DrainEnd::CutOff).await;
    let end = gone(&store, &session).await;
    assert_eq!(end.state, SessionState::Failed, "this one used up the last attempt");

    let (session, done) = begin(&store, tenant.id, FailureClass::Agent).await;
    drain(&store, &by, &done, DrainEnd::CutOff).await;
    let cause = Cause::plain("Completed", "the agent ended with code 0");
    let session = get(&store, &session).await;
    let end = step(&store, &session, SessionState::Succeeded, Some(cause)).await;
    assert_eq!(end.cause.map(|cause| cause.reason).as_deref(), Some("Completed"), "it was quicker");
}

async fn an_order_counts_once_for_the_newest_run_and_while_its_operation_is_open(world: World) {
    let store = world.open().await;
    let (tenant, by) = create(&store, "acme").await;
    let (_, others) = create(&store, "other").await;
    let (session, first) = begin(&store, tenant.id, FailureClass::Agent).await;
    let foreign = store.session_drain(others.id, first.run.id, "w-1", DrainEnd::Stop).await;
    assert!(matches!(foreign, Err(StoreError::NotFound)), "{foreign:?}");
    drain(&store, &by, &first, DrainEnd::Restart).await;
    let ordered = get(&store, &session).await;
    drain(&store, &by, &first, DrainEnd::Stop).await;
    assert_eq!(get(&store, &session).await, ordered, "the first order counts");

    let queued = gone(&store, &session).await;
    store.run_settled(first.run.id).await.expect("it is there");
    let (running, second) = run(&store, &queued).await;
    drain(&store, &by, &first, DrainEnd::Stop).await;
    assert_eq!(
        get(&store, &session).await,
        running,
        "what is left of a run says nothing of the next"
    );
    let end = Operation { state: OperationState::Succeeded, ..by };
    let end = Operation { finished_at: Some(end.created_at), ..end };
    store.operation_progress(&end).await.expect("it is open");
    let late = store.session_drain(end.id, second.run.id, "w-1", DrainEnd::Stop).await;
    assert!(matches!(late, Err(StoreError::Stale)), "{late:?}");
}
