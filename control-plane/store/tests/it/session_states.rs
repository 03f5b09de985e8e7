use crate::{
    on_both,
    world::{World, create, owner, start_session},
};
use domain::{Session, SessionState, TenantId};
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use store::{MoveError, StopMode, Store};
use tokio::{runtime::Handle, task::block_in_place};

/// Something that can be tried with a session.
#[derive(Debug, Clone, Copy)]
enum Attempt {
    /// Move it, `behind` revisions too late.
    Move { to: SessionState, behind: i64 },
    /// Ask it to stop.
    Stop,
}

fn attempts() -> impl Strategy<Value = Vec<Attempt>> {
    let states = prop::sample::select(SessionState::ALL.to_vec());
    let moves = (states, prop_oneof![4 => Just(0_i64), 1 => 1..3_i64])
        .prop_map(|(to, behind)| Attempt::Move { to, behind });
    prop::collection::vec(prop_oneof![5 => moves, 1 => Just(Attempt::Stop)], 1..16)
}

on_both! {
    any_sequence_of_moves_and_stops_follows_the_domain_and_never_leaves_a_final_state,
}

async fn any_sequence_of_moves_and_stops_follows_the_domain_and_never_leaves_a_final_state(
    world: World,
) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let handle = Handle::current();
    block_in_place(|| {
        let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
        let walk = |attempts| handle.block_on(walk(&store, tenant.id, attempts));
        TestRunner::new(config).run(&attempts(), walk).expect("the domain decides");
    });
}

async fn walk(
    store: &Store,
    tenant: TenantId,
    attempts: Vec<Attempt>,
) -> Result<(), TestCaseError> {
    let mut known = start_session(store, tenant).await;
    for attempt in attempts {
        let now = match attempt {
            Attempt::Move { to, behind } => moved(store, &known, to, behind).await?,
            Attempt::Stop => stopped(store, &known).await?,
        };
        let stored = store.session_get(known.id).await.expect("readable");
        prop_assert_eq!(stored.as_ref(), Some(&now));
        prop_assert_eq!(now.finished_at.is_some(), now.state.is_final());
        let may_follow = now.state == known.state || known.state.may_become(now.state);
        prop_assert!(may_follow, "{} became {}", known.state, now.state);
        if known.state.is_final() {
            prop_assert_eq!(&now, &known);
        }
        known = now;
    }
    let is_active = store.session_active(tenant).await.expect("readable").contains(&known);
    prop_assert_eq!(is_active, !known.state.is_final());
    if is_active {
        let revision = known.revision;
        let ended = store.session_move(known.id, revision, SessionState::Failed, None).await;
        prop_assert!(ended.is_ok(), "every session can end");
    }
    Ok(())
}

async fn moved(
    store: &Store,
    known: &Session,
    to: SessionState,
    behind: i64,
) -> Result<Session, TestCaseError> {
    let result = store.session_move(known.id, known.revision - behind, to, None).await;
    match result {
        Ok(now) => {
            prop_assert!(behind == 0 && may_move(known.state, to));
            prop_assert_eq!((now.state, now.revision), (to, known.revision + 1));
            Ok(now)
        }
        Err(MoveError::Stale) => {
            prop_assert!(behind > 0);
            Ok(known.clone())
        }
        Err(MoveError::NotAllowed { .. }) => {
            prop_assert!(behind == 0 && !may_move(known.state, to));
            Ok(known.clone())
        }
        Err(error) => Err(TestCaseError::fail(format!("{error:?}"))),
    }
}

/// Nobody queues a session again by a wish: only a failure does, if another run follows it.
fn may_move(from: SessionState, to: SessionState) -> bool {
    to != SessionState::Queued && from.may_become(to)
}

async fn stopped(store: &Store, known: &Session) -> Result<Session, TestCaseError> {
    let now = store
        .session_stop(&owner(known.tenant), known.id, StopMode::Proven)
        .await
        .expect("the owner may");
    let expected = match known.state {
        SessionState::Queued => SessionState::Stopped,
        SessionState::Starting | SessionState::Running => SessionState::Stopping,
        state @ (SessionState::Stopping
        | SessionState::Succeeded
        | SessionState::Failed
        | SessionState::TimedOut
        | SessionState::Stopped) => state,
    };
    prop_assert_eq!(now.state, expected);
    Ok(now)
}
