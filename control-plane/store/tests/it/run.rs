use crate::{
    on_both,
    world::{World, create, owner, start_session},
};
use domain::{Exit, RunUsage, SessionState};
use jiff::SignedDuration;
use secrecy::ExposeSecret;
use store::{Change, StopMode, StoreError};

const SECOND: SignedDuration = SignedDuration::from_secs(1);

on_both! {
    a_run_begins_with_its_session_and_is_known_by_its_token,
    the_token_of_an_ended_run_is_not_accepted,
    a_replaced_token_dies_and_a_stopping_run_may_still_report,
    what_a_run_reports_once_stays_and_its_heartbeat_moves_until_the_exit,
}

async fn a_run_begins_with_its_session_and_is_known_by_its_token(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let session = start_session(&store, tenant.id).await;
    let new = store.run_create(session.id, 1).await.expect("it is queued");
    assert_eq!((new.run.attempt, new.run.next_log_line), (1, 1));
    assert_eq!(new.session.state, SessionState::Starting);
    assert_eq!(new.session.run, Some(new.run.id));
    assert!(new.session.starting_at.is_some());
    let token = new.token.expose_secret();
    assert!(token.starts_with("wrr_") && token.len() == 47, "the token has its form");
    let shown = store.run_by_token(token).await.expect("readable");
    assert_eq!(shown, Some((new.run.clone(), new.session)));
    assert_eq!(store.run_get(new.run.id).await.expect("readable"), Some(new.run));
    for wrong in ["", "wrr_", "wrn_x", &token[..46], &format!("{token}x")] {
        assert_eq!(store.run_by_token(wrong).await.expect("readable"), None);
    }
}

async fn the_token_of_an_ended_run_is_not_accepted(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    for end in [SessionState::Succeeded, SessionState::Failed, SessionState::TimedOut] {
        let session = start_session(&store, tenant.id).await;
        let new = store.run_create(session.id, 1).await.expect("it is queued");
        store.session_move(session.id, 2, SessionState::Running, None).await.expect("it starts");
        assert!(store.run_by_token(new.token.expose_secret()).await.expect("readable").is_some());
        store.session_move(session.id, 3, end, None).await.expect("it runs");
        assert!(store.run_by_token(new.token.expose_secret()).await.expect("readable").is_none());
        let error = store.run_token_replace(new.run.id).await;
        assert!(matches!(error, Err(StoreError::Ended)), "{error:?}");
    }
}

async fn a_replaced_token_dies_and_a_stopping_run_may_still_report(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let session = start_session(&store, tenant.id).await;
    let new = store.run_create(session.id, 1).await.expect("it is queued");
    let fresh = store.run_token_replace(new.run.id).await.expect("it is not over");
    let old = store.run_by_token(new.token.expose_secret()).await.expect("readable");
    assert!(old.is_none());
    store.run_heartbeat(new.run.id, None).await.expect("it exists");
    let error = store.run_token_replace(new.run.id).await;
    assert!(matches!(error, Err(StoreError::Ended)), "whoever has it may have begun: {error:?}");
    store
        .session_stop(&owner(tenant.id), session.id, StopMode::Proven)
        .await
        .expect("the owner may");
    let shown = store.run_by_token(fresh.expose_secret()).await.expect("readable");
    assert_eq!(shown.expect("it lives").1.state, SessionState::Stopping);
}

async fn what_a_run_reports_once_stays_and_its_heartbeat_moves_until_the_exit(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let session = start_session(&store, tenant.id).await;
    let id = store.run_create(session.id, 1).await.expect("it is queued").run.id;
    let run = async || store.run_get(id).await.expect("readable").expect("it exists");
    let usage = |cpu_ms| RunUsage { cpu_ms, peak_memory_bytes: 2, wall_ms: 3 };
    let mut changes = store.changes();
    let told = Change::Session { tenant: tenant.id, session: session.id };

    store.run_job_created(id).await.expect("it exists");
    store.run_started(id).await.expect("it exists");
    let first = run().await;
    assert!(first.job_created_at.is_some() && first.started_at == first.heartbeat_at);
    assert_eq!([changes.try_recv(), changes.try_recv()], [Ok(told), Ok(told)]);

    world.clock.advance(SECOND);
    store.run_job_created(id).await.expect("it exists");
    store.run_started(id).await.expect("it exists");
    assert_eq!(run().await, first, "the first time counts");
    store.run_heartbeat(id, Some(usage(1))).await.expect("it exists");
    assert!(changes.try_recv().is_err(), "a heartbeat wakes nobody");
    let alive = run().await;
    assert!(alive.heartbeat_at > first.heartbeat_at);
    assert_eq!(alive.usage, Some(usage(1)));

    let exit = Exit { code: Some(3), signal: None };
    store.run_exited(id, exit, usage(9)).await.expect("it exists");
    assert_eq!(changes.try_recv(), Ok(told));
    let exited = run().await;
    assert_eq!((exited.exit, exited.usage), (Some(exit), Some(usage(9))));
    world.clock.advance(SECOND);
    store.run_heartbeat(id, Some(usage(2))).await.expect("it exists");
    let other = Exit { code: None, signal: Some(9) };
    store.run_exited(id, other, usage(3)).await.expect("it exists");
    assert_eq!(run().await, exited);
    assert!(changes.try_recv().is_err(), "nobody is woken");
}
