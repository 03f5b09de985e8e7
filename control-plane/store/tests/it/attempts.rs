//! Sessions that are tried again.

use crate::{
    on_both,
    world::{World, create, owner, spec},
};
use domain::{
    Bytes, Cause, Digest, FailureClass, RetryPolicy, RetryRule, Session, SessionSpec, SessionState,
    TenantId,
};
use jiff::SignedDuration;
use secrecy::ExposeSecret;
use std::collections::BTreeMap;
use store::{
    LogAppendError, LogGrowth, LogSegment, MoveError, NewRun, StopMode, Store, StoreError,
};

on_both! {
    a_run_that_failed_is_followed_by_another_once_it_is_settled,
    a_session_that_waits_for_its_next_run_keeps_nobody_else_waiting,
    a_session_between_two_runs_can_be_stopped,
}

/// A session with two attempts after a failure of class `resource`, the second with twice the memory.
async fn begin(store: &Store, tenant: TenantId) -> (Session, NewRun) {
    let rule = RetryRule { attempts: 2, backoff_seconds: 10, memory_percent: 200 };
    let retry = RetryPolicy(BTreeMap::from([(FailureClass::Resource, rule)]));
    let spec = SessionSpec { retry, ..spec() };
    let made = store.session_create(&owner(tenant), tenant, spec, None).await;
    let session = made.expect("the tenant takes sessions").value;
    let new = store.run_create(session.id, session.revision).await.expect("it is queued");
    let running = store.session_move(session.id, 2, SessionState::Running, None).await;
    (running.expect("it starts"), new)
}

async fn fail(store: &Store, session: &Session, class: FailureClass) -> Session {
    let cause = Cause::failure(class, Cause::OUT_OF_MEMORY, "too little");
    let failed =
        store.session_move(session.id, session.revision, SessionState::Failed, Some(cause)).await;
    failed.expect("it runs")
}

async fn a_run_that_failed_is_followed_by_another_once_it_is_settled(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let (session, first) = begin(&store, tenant.id).await;
    let session = fail(&store, &session, FailureClass::Resource).await;
    assert_eq!(session.state, SessionState::Queued);
    assert_eq!((session.starting_at, session.running_at, session.finished_at), (None, None, None));
    let pause = session.retry_at.expect("a time").duration_since(session.created_at);
    assert_eq!(pause, SignedDuration::from_secs(10));
    let cause = session.cause.clone().expect("a cause");
    assert_eq!(cause.message, "too little; run 2 of 2 follows");

    // The first run is over: nothing that it says counts any more.
    let token = store.run_by_token(first.token.expose_secret()).await.expect("readable");
    assert!(token.is_none());
    let digest = Digest::of_sha256([0; 32]);
    let line = LogSegment { first: 1, lines: 1, bytes: 1, path: "late".to_owned(), digest };
    let late = store.log_append(first.run.id, line, LogGrowth::default()).await;
    assert!(matches!(late, Err(LogAppendError::Store(StoreError::Ended))), "{late:?}");

    let early = store.run_create(session.id, session.revision).await;
    assert!(matches!(early, Err(MoveError::Store(StoreError::Refused(_)))), "{early:?}");
    store.run_settled(first.run.id).await.expect("it is there");
    let second = store.run_create(session.id, session.revision).await.expect("it is settled");
    assert_eq!(second.run.attempt, 2);
    assert_eq!(first.run.resources.memory, Bytes::mebi(256));
    assert_eq!(second.run.resources.memory, Bytes::mebi(512));
    assert_eq!((second.session.retry_at, second.session.cause.clone()), (None, None));

    let session = fail(&store, &second.session, FailureClass::Resource).await;
    assert_eq!(session.state, SessionState::Failed, "two attempts were allowed");
    let runs = store.runs_of_session(session.id).await.expect("readable");
    assert_eq!(runs.iter().map(|run| run.attempt).collect::<Vec<_>>(), [1, 2]);
    for run in &runs {
        assert!(run.ended_at.is_some(), "{run:?}");
        let cause = run.cause.as_ref().expect("a cause");
        assert_eq!((cause.class, &*cause.message), (Some(FailureClass::Resource), "too little"));
    }
}

async fn a_session_that_waits_for_its_next_run_keeps_nobody_else_waiting(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let mut waiting = Vec::new();
    for _ in 0..5 {
        let (session, new) = begin(&store, tenant.id).await;
        let session = fail(&store, &session, FailureClass::Resource).await;
        store.run_settled(new.run.id).await.expect("it is there");
        waiting.push(session.id);
        world.clock.advance(SignedDuration::from_secs(1));
    }
    let made = store.session_create(&owner(tenant.id), tenant.id, spec(), None).await;
    let fresh = made.expect("the tenant takes sessions").value.id;
    let active = async || -> Vec<_> {
        let active = store.session_active(tenant.id).await.expect("readable");
        active.into_iter().map(|session| session.id).collect()
    };
    assert_eq!(active().await, [waiting[0], fresh], "the new one, and the next that may begin");
    world.clock.advance(SignedDuration::from_secs(7));
    assert_eq!(active().await, [waiting[0], waiting[1], waiting[2], waiting[3], fresh]);
}

async fn a_session_between_two_runs_can_be_stopped(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let (session, _) = begin(&store, tenant.id).await;
    let session = fail(&store, &session, FailureClass::Resource).await;
    let stopped = store
        .session_stop(&owner(tenant.id), session.id, StopMode::Proven)
        .await
        .expect("the owner may");
    assert_eq!(stopped.state, SessionState::Stopped);
    let next = store.run_create(session.id, stopped.revision).await;
    assert!(matches!(next, Err(MoveError::NotAllowed { .. })), "{next:?}");
}
