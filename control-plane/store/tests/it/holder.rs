//! One process has the record at a time.

use crate::{
    on_both,
    world::{World, create, name, platform},
};
use domain::PlanName;
use std::time::Duration;
use store::{OpenError, Store, StoreError, TenantCreateError};
use tokio::time::timeout;

/// Long enough for a busy machine; nothing waits for it to pass.
const DEADLINE: Duration = Duration::from_mins(1);

on_both! {
    a_second_opener_is_told_who_has_the_record,
}

async fn a_second_opener_is_told_who_has_the_record(world: World) {
    let store = world.open().await;
    let error = world.try_open([7; 32]).await.expect_err("it is held");
    let OpenError::Held { holder } = error else { unreachable!("{error:?}") };
    let pid = format!("pid {} on ", std::process::id());
    assert!(holder.starts_with(&pid) && holder.contains(" since 2026-"), "{holder}");
    create(&store, "acme").await;

    drop(store);
    world.open().await;
}

/// Ends the session that holds the record, as a network that breaks would.
async fn cut_off(world: &World) {
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks
        WHERE locktype = 'advisory' AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(world.tables().await.number(cut).await, 1, "one session holds it");
}

async fn try_create(store: &Store, text: &str) -> Result<(), TenantCreateError> {
    let made = store.tenant_create(&platform(), name(text), PlanName::Starter, 0, None).await;
    made.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_lost_the_record_while_another_took_it_writes_nothing_more() {
    let Some(world) = World::postgres().await else { return };
    let old = world.open().await;
    create(&old, "first").await;
    cut_off(&world).await;
    let new = World::at(world.url.clone(), 1000).open().await;
    let refused = try_create(&old, "second").await;
    let is_refused = matches!(refused, Err(TenantCreateError::Store(StoreError::TakenOver)));
    assert!(is_refused, "{refused:?}");
    let holder = timeout(DEADLINE, old.taken_over()).await.expect("it learns of it");
    assert!(holder.starts_with("pid "), "{holder}");
    create(&new, "second").await;
    assert_eq!(old.tenant_list(None, 9).await.expect("reading does no harm").len(), 2);
    let is_over = timeout(Duration::from_millis(100), new.taken_over()).await;
    assert!(is_over.is_err(), "nobody has taken it from the new one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_lost_the_record_to_nobody_takes_it_again_and_goes_on() {
    let Some(world) = World::postgres().await else { return };
    let store = world.open().await;
    cut_off(&world).await;
    create(&store, "meanwhile").await;
    let is_over = timeout(Duration::from_secs(1), store.taken_over()).await;
    assert!(is_over.is_err(), "nobody else came");
    let error = World::at(world.url.clone(), 1000).try_open([7; 32]).await;
    assert!(matches!(error, Err(OpenError::Held { .. })), "{error:?}");
    create(&store, "after").await;
}
