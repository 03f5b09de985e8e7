//! What sessions left, after its time.

use crate::{
    on_both,
    world::{World, create, start_session},
};
use domain::{Clock as _, Digest, Kept, PlanName, RunId, SessionId, SessionState};
use jiff::{SignedDuration, Timestamp};
use migrations::{Migrator, MigratorTrait};
use store::{Artifact, Change, LogGrowth, LogSegment, Store};

on_both! {
    what_is_over_is_marked_once_and_forgotten_when_its_objects_are_gone,
    only_what_ended_long_enough_ago_under_its_plan_is_marked,
    nothing_is_written_when_nothing_is_due,
    sessions_of_the_release_before_are_kept_as_long_as_others,
}

const STARTER: PlanName = PlanName::Starter;

async fn leave_things(store: &Store, run: RunId) {
    let digest = Digest::of_sha256([1; 32]);
    let (path, blob) = ("a".to_owned(), "b".to_owned());
    let segment = LogSegment { first: 1, lines: 2, bytes: 9, path: path.clone(), digest };
    store.log_append(run, segment, LogGrowth::default()).await.expect("it is next");
    let digest = Digest::of_sha256([2; 32]);
    store.artifact_put(run, Artifact { path, size: 3, digest, blob }).await.expect("noted");
}

/// A session with a run that is over, and what it left.
async fn ended(store: &Store, tenant: domain::TenantId) -> (SessionId, RunId) {
    let session = start_session(store, tenant).await;
    let new = store.run_create(session.id, 1).await.expect("it is queued");
    leave_things(store, new.run.id).await;
    let revision = new.session.revision;
    let moved = store.session_move(session.id, revision, SessionState::Failed, None).await;
    assert!(moved.expect("allowed").state.is_final());
    (session.id, new.run.id)
}

async fn left(store: &Store, run: RunId) -> (usize, usize) {
    let segments = store.log_segments(run, 1).await.expect("readable").len();
    (segments, store.artifact_list(run).await.expect("readable").len())
}

async fn what_is_over_is_marked_once_and_forgotten_when_its_objects_are_gone(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let (session, run) = ended(&store, tenant.id).await;
    let (other, other_run) = ended(&store, tenant.id).await;
    world.clock.advance(SignedDuration::from_hours(1));
    let now = world.clock.now();
    let mut changes = store.changes();
    let expire = async |kept| store.session_expire(kept, STARTER, now, 1).await.expect("written");
    assert_eq!(expire(Kept::Log).await, 1, "no more than asked for");
    let told = changes.try_recv().expect("it was told");
    assert_eq!(told, Change::Session { tenant: tenant.id, session });
    assert_eq!(expire(Kept::Log).await, 1);
    assert_eq!(expire(Kept::Log).await, 0, "once each");

    let marked = store.session_get(session).await.expect("readable").expect("it stays");
    assert_eq!((marked.log_removed_at, marked.files_removed_at), (Some(now), None));
    assert_eq!(left(&store, run).await, (1, 1), "the objects go before the index");
    let removing = store.session_removing(None, 1).await.expect("readable");
    assert_eq!((removing[0].session, &removing[0].runs), (session, &vec![run]));
    let rest = store.session_removing(Some(session), 9).await.expect("readable");
    assert_eq!((rest.len(), rest[0].session), (1, other));

    // More is marked while the first is on its way: it is not over then.
    assert_eq!(expire(Kept::Files).await, 1);
    store.session_forget_files(&removing[0]).await.expect("written");
    assert_eq!(left(&store, run).await, (0, 1));
    let removing = store.session_removing(None, 9).await.expect("readable");
    assert_eq!(removing.len(), 2);
    for _ in 0..2 {
        store.session_forget_files(&removing[0]).await.expect("again is no harm");
        assert_eq!(left(&store, run).await, (0, 0));
        assert_eq!(left(&store, other_run).await, (1, 1));
    }
    let removing = store.session_removing(None, 9).await.expect("readable");
    assert_eq!((removing.len(), removing[0].session), (1, other));
    let run = store.run_get(run).await.expect("readable").expect("it stays");
    assert_eq!(run.next_log_line, 3, "what it had is still known");
}

async fn only_what_ended_long_enough_ago_under_its_plan_is_marked(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let waiting = start_session(&store, tenant.id).await;
    let running = start_session(&store, tenant.id).await;
    store.run_create(running.id, 1).await.expect("it is queued");
    let stopped = store.session_move(waiting.id, 1, SessionState::Stopped, None).await;
    stopped.expect("it never ran");
    let (_, run) = ended(&store, tenant.id).await;
    let end = world.clock.now();
    world.clock.advance(SignedDuration::from_hours(1));
    let now = world.clock.now();
    for (plan, before, expected) in [(PlanName::Pro, now, 0), (STARTER, end, 0), (STARTER, now, 1)]
    {
        let marked = store.session_expire(Kept::Files, plan, before, 9).await.expect("written");
        assert_eq!(marked, expected, "{plan} {before}");
    }
    let removing = store.session_removing(None, 9).await.expect("readable");
    assert_eq!((removing.len(), &removing[0].runs), (1, &vec![run]));
}

async fn nothing_is_written_when_nothing_is_due(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    ended(&store, tenant.id).await;
    let tables = world.tables().await;
    let before = tables.version().await;
    for kept in [Kept::Log, Kept::Files] {
        let long_ago = Timestamp::UNIX_EPOCH;
        assert_eq!(store.session_expire(kept, STARTER, long_ago, 9).await.expect("readable"), 0);
    }
    assert_eq!(store.session_removing(None, 9).await.expect("readable"), []);
    assert_eq!(tables.version().await, before);
}

async fn sessions_of_the_release_before_are_kept_as_long_as_others(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let (session, run) = ended(&store, tenant.id).await;
    store.close().await.expect("the store can be closed");
    let tables = world.tables().await;
    let steps = u32::try_from(Migrator::migrations().len() - 5).expect("a few");
    Migrator::down(&tables.0, Some(steps)).await.expect("the way back to the fifth migration");

    let store = world.open().await;
    let known = store.session_get(session).await.expect("readable").expect("it is there");
    assert_eq!((known.log_removed_at, known.files_removed_at), (None, None));
    assert_eq!(store.session_removing(None, 9).await.expect("readable"), []);
    assert_eq!(left(&store, run).await, (1, 1));
    world.clock.advance(SignedDuration::from_hours(1));
    let now = world.clock.now();
    let marked = store.session_expire(Kept::Log, STARTER, now, 9).await.expect("written");
    assert_eq!(marked, 1);
}
