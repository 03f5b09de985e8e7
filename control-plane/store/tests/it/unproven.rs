use crate::{
    on_both,
    world::{World, create, owner, start_session},
};
use domain::{Exit, RunUsage, SessionState};
use jiff::{SignedDuration, Timestamp};

on_both! {
    only_what_ended_of_late_without_a_word_from_its_runner_is_unproven,
}

async fn only_what_ended_of_late_without_a_word_from_its_runner_is_unproven(world: World) {
    let store = world.open().await;
    let (silent, _) = create(&store, "silent").await;
    let (proven, _) = create(&store, "proven").await;
    let (running, _) = create(&store, "running").await;
    let (never, _) = create(&store, "never").await;
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
    }
    let queued = start_session(&store, never.id).await;
    store.session_stop(&owner(never.id), queued.id).await.expect("the owner may");

    let unproven = async |since| store.runs_unproven_tenants(since).await.expect("readable");
    assert_eq!(unproven(Timestamp::UNIX_EPOCH).await, [silent.id]);
    let ended = store.session_list(silent.id, None, 1, None).await.expect("readable");
    let ended = ended[0].finished_at.expect("it is over");
    assert_eq!(unproven(ended).await, [silent.id]);
    assert_eq!(unproven(ended + SignedDuration::from_secs(1)).await, []);
}
