use crate::{
    on_both,
    world::{World, create, owner, spec, start_session},
};
use domain::{Cause, SessionState, Subject, TokenId};
use store::{Change, IdempotencyKey, MoveError, SessionCreateError, StopMode, StoreError};
use uuid::Uuid;

on_both! {
    an_accepted_session_is_queued_and_reads_back_as_it_was_given,
    a_repeated_request_gives_the_same_session_and_another_one_with_its_key_is_refused,
    a_stale_revision_is_refused_and_nothing_is_written,
    of_many_moves_from_one_revision_one_wins,
    a_stop_is_immediate_before_the_start_and_asked_for_after_it,
    sessions_are_listed_newest_first_by_state_and_in_pages,
    only_so_many_sessions_wait_as_the_plan_allows_and_only_the_next_ones_are_looked_at,
}

async fn an_accepted_session_is_queued_and_reads_back_as_it_was_given(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let mut changes = store.changes();
    let session = start_session(&store, tenant.id).await;
    assert_eq!((session.state, session.revision), (SessionState::Queued, 1));
    assert_eq!(session.spec, spec());
    let told = Change::Session { tenant: tenant.id, session: session.id };
    assert_eq!(changes.try_recv(), Ok(told));
    assert_eq!(store.session_get(session.id).await.expect("readable"), Some(session.clone()));
    assert_eq!(store.session_active(tenant.id).await.expect("readable"), [session]);
    let audit = store.audit_list(Some(tenant.id), None, 1).await.expect("readable");
    assert_eq!(audit[0].action, "session.create", "newest first");
    let rest = store.audit_list(None, Some(audit[0].id), 10).await.expect("readable");
    assert_eq!(rest.len(), 1);
}

async fn a_repeated_request_gives_the_same_session_and_another_one_with_its_key_is_refused(
    world: World,
) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let (other, _) = create(&store, "other").await;
    let key = |digest| IdempotencyKey {
        actor: Subject::Token(TokenId::new(Uuid::from_u128(1))),
        key: "k".to_owned(),
        request_digest: [digest; 32],
    };
    let ask = async |tenant, digest| {
        store.session_create(&owner(tenant), tenant, spec(), Some(&key(digest))).await
    };
    let first = ask(tenant.id, 1).await.expect("the tenant takes sessions");
    let again = ask(tenant.id, 1).await.expect("it is the same request");
    assert_eq!((first.value, first.is_replay), (again.value, !again.is_replay));
    let changed = ask(tenant.id, 2).await;
    assert!(matches!(changed, Err(SessionCreateError::IdempotencyMismatch)), "{changed:?}");
    let elsewhere = ask(other.id, 1).await;
    assert!(matches!(elsewhere, Err(SessionCreateError::IdempotencyMismatch)), "{elsewhere:?}");
    assert_eq!(store.session_list(tenant.id, None, 10, None).await.expect("readable").len(), 1);
}

async fn a_stale_revision_is_refused_and_nothing_is_written(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let session = start_session(&store, tenant.id).await;
    let id = session.id;
    let starting = store.session_move(id, 1, SessionState::Starting, None).await;
    assert_eq!(starting.expect("it is queued").revision, 2);
    let tables = world.tables().await;
    let mut changes = store.changes();
    let before = tables.version().await;
    let error = store.session_move(id, 1, SessionState::Running, None).await;
    assert!(matches!(error, Err(MoveError::Stale)), "{error:?}");
    let error = store.run_create(id, 1).await;
    assert!(matches!(error, Err(MoveError::Stale)), "{error:?}");
    let error = store.session_move(id, 2, SessionState::Queued, None).await;
    let expected = (SessionState::Starting, SessionState::Queued);
    assert!(matches!(error, Err(MoveError::NotAllowed { from, to }) if (from, to) == expected));
    let unknown = domain::SessionId::new(Uuid::from_u128(4040));
    let error = store.session_move(unknown, 1, SessionState::Starting, None).await;
    assert!(matches!(error, Err(MoveError::Store(StoreError::NotFound))), "{error:?}");
    assert_eq!(tables.version().await, before);
    assert!(changes.try_recv().is_err(), "nobody is woken");
    let seen = store.session_get(id).await.expect("readable").expect("it exists");
    assert_eq!((seen.state, seen.revision), (SessionState::Starting, 2));
}

async fn of_many_moves_from_one_revision_one_wins(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let session = start_session(&store, tenant.id).await;
    let moves = (0..8).map(|_| {
        let (store, id) = (store.clone(), session.id);
        tokio::spawn(async move { store.run_create(id, 1).await })
    });
    let mut won = Vec::new();
    for moved in moves.collect::<Vec<_>>() {
        match moved.await.expect("it does not panic") {
            Ok(new) => won.push(new.run.id),
            Err(error) => assert!(matches!(error, MoveError::Stale), "{error:?}"),
        }
    }
    assert_eq!(won.len(), 1);
    let seen = store.session_get(session.id).await.expect("readable").expect("it exists");
    assert_eq!((seen.run, seen.revision), (Some(won[0]), 2));
    assert_eq!(world.tables().await.number("SELECT count(*) FROM runs").await, 1);
}

async fn a_stop_is_immediate_before_the_start_and_asked_for_after_it(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let queued = start_session(&store, tenant.id).await;
    let proof = owner(tenant.id);
    let stopped =
        store.session_stop(&proof, queued.id, StopMode::Proven).await.expect("the owner may");
    assert_eq!(stopped.state, SessionState::Stopped);
    assert!(stopped.finished_at.is_some() && stopped.stop_requested_at.is_some());

    let started = start_session(&store, tenant.id).await;
    store.run_create(started.id, 1).await.expect("it is queued");
    let stopping =
        store.session_stop(&proof, started.id, StopMode::Proven).await.expect("the owner may");
    assert_eq!((stopping.state, stopping.revision), (SessionState::Stopping, 3));
    assert_eq!(stopping.cause.as_ref().map(|c| c.reason.as_str()), Some("StopRequested"));
    let before = world.tables().await.number("SELECT count(*) FROM audit").await;
    for id in [queued.id, started.id] {
        let again = store.session_stop(&proof, id, StopMode::Proven).await.expect("the owner may");
        assert_eq!(Some(&again), [&stopped, &stopping].into_iter().find(|s| s.id == id));
    }
    assert_eq!(world.tables().await.number("SELECT count(*) FROM audit").await, before);

    let cause = Cause::plain("Ended", "it ended in time");
    let ended = store.session_move(started.id, 3, SessionState::Stopped, Some(cause.clone())).await;
    assert_eq!(ended.expect("it was stopping").cause, Some(cause));
    assert_eq!(store.session_active(tenant.id).await.expect("readable"), []);
}

async fn sessions_are_listed_newest_first_by_state_and_in_pages(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let (other, _) = create(&store, "other").await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(start_session(&store, tenant.id).await.id);
        start_session(&store, other.id).await;
    }
    store.session_stop(&owner(tenant.id), ids[1], StopMode::Proven).await.expect("the owner may");
    let list = async |after, limit, state| -> Vec<_> {
        let list = store.session_list(tenant.id, after, limit, state).await.expect("readable");
        list.into_iter().map(|session| session.id).collect()
    };
    assert_eq!(list(None, 10, None).await, [ids[3], ids[2], ids[1], ids[0]]);
    assert_eq!(list(None, 2, None).await, [ids[3], ids[2]]);
    assert_eq!(list(Some(ids[2]), 2, None).await, [ids[1], ids[0]]);
    assert_eq!(list(None, 10, Some(SessionState::Stopped)).await, [ids[1]]);
    let active = store.session_active(tenant.id).await.expect("readable");
    let active: Vec<_> = active.into_iter().map(|session| session.id).collect();
    assert_eq!(active, [ids[0], ids[2], ids[3]], "oldest first");
    let tenants = store.sessions_active_tenants().await.expect("readable");
    assert_eq!(tenants, [tenant.id, other.id]);
}

async fn only_so_many_sessions_wait_as_the_plan_allows_and_only_the_next_ones_are_looked_at(
    world: World,
) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let (other, _) = create(&store, "other").await;
    let plan = domain::Plan::current(domain::PlanName::Starter);
    let key = IdempotencyKey {
        actor: Subject::Token(TokenId::new(Uuid::from_u128(1))),
        key: "k".to_owned(),
        request_digest: [1; 32],
    };
    let proof = owner(tenant.id);
    let ask = async |key| store.session_create(&proof, tenant.id, spec(), key).await;
    let mut ids = vec![ask(Some(&key)).await.expect("nobody waits").value.id];
    for _ in 1..plan.sessions_waiting {
        ids.push(ask(None).await.expect("there is room").value.id);
    }
    let refused = ask(None).await;
    let expected = u64::from(plan.sessions_waiting);
    assert!(
        matches!(refused, Err(SessionCreateError::TooManyWaiting { waiting }) if waiting == expected),
        "{refused:?}"
    );
    let audits = "SELECT count(*) FROM audit WHERE action = 'session.create'";
    assert_eq!(world.tables().await.number(audits).await, i64::from(plan.sessions_waiting));
    assert!(ask(Some(&key)).await.expect("it was accepted before").is_replay);
    start_session(&store, other.id).await;

    let active = async || -> Vec<_> {
        let active = store.session_active(tenant.id).await.expect("readable");
        active.into_iter().map(|session| session.id).collect()
    };
    let at_once = usize::try_from(plan.sessions_at_once).expect("a few");
    assert_eq!(active().await, ids[..at_once], "the oldest are next");
    // The last one is begun: it is looked at, however many wait before it, and makes room.
    let last = ids[ids.len() - 1];
    store.run_create(last, 1).await.expect("it is queued");
    let seen = active().await;
    assert_eq!((&seen[..at_once], &seen[at_once..]), (&ids[..at_once], &[last][..]));
    ask(None).await.expect("one has begun");
}
