use crate::{
    on_both,
    world::{World, create, owner, start_session},
};
use domain::{Exit, RunUsage, SessionState};
use jiff::{SignedDuration, Timestamp};
use store::StopMode;

on_both! {
    what_ended_of_late_is_unproven_until_it_is_settled,
}

async fn what_ended_of_late_is_unproven_until_it_is_settled(world: World) {
    let store = world.open().await;
    let (silent, _) = create(&store, "silent").await;
    let (proven, _) = create(&store, "proven").await;
    let (running, _) = create(&store, "running").await;
    let (never, _) = create(&store, "never").await;
    let mut silent_run = None;
    for tenant in [&silent, &proven, &running] {
        let session = start_session(&store, tenant.id).await;
        let new = store.run_create(session.id, session.revision).await.expect("it is queued");
        if tenant.id == running.id {
            continue;
        }
        if tenant.id == proven.id {
            let exit = Exit { code: Some(0), signal: None };
            store.run_exited(new.run.id, exit, RunUsage::default()).await.expect("it runs");
        }
        let failed = SessionState::TimedOut;
        let revision = new.session.revision;
        store.session_move(session.id, revision, failed, None).await.expect("it was starting");
        if tenant.id == proven.id {
            store.run_settled(new.run.id).await.expect("it is there");
        } else {
            silent_run = Some(new.run.id);
        }
    }
    let queued = start_session(&store, never.id).await;
    store.session_stop(&owner(never.id), queued.id, StopMode::Proven).await.expect("the owner may");

    let unproven = async |since| store.runs_unproven_tenants(since).await.expect("readable");
    assert_eq!(unproven(Timestamp::UNIX_EPOCH).await, [silent.id]);
    let runs = store.runs_unproven(silent.id, Timestamp::UNIX_EPOCH).await.expect("readable");
    let runs: Vec<_> = runs.into_iter().map(|run| run.id).collect();
    assert_eq!(Some(&*runs), silent_run.as_slice().into());
    let ended = store.session_list(silent.id, None, 1, None).await.expect("readable");
    let ended = ended[0].finished_at.expect("it is over");
    assert_eq!(unproven(ended).await, [silent.id]);
    assert_eq!(unproven(ended + SignedDuration::from_secs(1)).await, []);
}
