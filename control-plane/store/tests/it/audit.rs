//! The audit log's chain.

use crate::{
    on_both,
    world::{World, create},
};
use domain::{Role, Seal, Subject};
use store::{AuditFilter, SealedEntry, Store};

on_both! {
    what_is_written_is_sealed_once_in_one_chain,
    what_is_altered_or_taken_out_does_not_fit_any_more,
    entries_are_found_by_who_and_what,
}

/// Seals, and reads the chain.
async fn chain(store: &Store) -> Vec<SealedEntry> {
    while store.audit_seal().await.expect("sealed") {}
    store.audit_sealed(&AuditFilter::default(), 0, 1000).await.expect("readable")
}

/// Whether each entry's seal is that of its text and of the seal before.
fn is_whole(chain: &[SealedEntry]) -> Vec<bool> {
    let mut previous = Seal::BEFORE_ALL;
    let fits = |it: &SealedEntry| {
        let fits = it.previous == previous && it.seal == previous.then(&it.text);
        previous = it.seal;
        fits
    };
    chain.iter().map(fits).collect()
}

async fn what_is_written_is_sealed_once_in_one_chain(world: World) {
    let store = world.open().await;
    assert_eq!(store.audit_head().await.expect("readable"), None);
    create(&store, "one").await;
    create(&store, "two").await;
    let before = chain(&store).await;
    assert_eq!(before.iter().map(|it| it.sequence).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(is_whole(&before), [true; 2]);
    let id = store.audit_list(None, None, 1).await.expect("readable")[0].id;
    assert!(
        before[1].text.starts_with(&format!("{{\"sequence\":2,\"id\":\"{id}\",\"at\":\"2026-"))
    );
    assert!(before[1].text.ends_with("\"requestId\":\"request-1\"}"), "{}", before[1].text);
    store.close().await.expect("closed");

    // Another process goes on where this one ended.
    let store = world.open().await;
    create(&store, "three").await;
    let after = chain(&store).await;
    assert_eq!(after[..2], before);
    assert_eq!(is_whole(&after), [true; 3]);
    assert_eq!(store.audit_head().await.expect("readable"), Some((3, after[2].seal)));
    // Nothing new: nothing is written.
    let tables = world.tables().await;
    let version = tables.version().await;
    assert_eq!(chain(&store).await, after);
    assert_eq!(tables.version().await, version);
}

async fn what_is_altered_or_taken_out_does_not_fit_any_more(world: World) {
    let store = world.open().await;
    for name in ["one", "two", "three", "four"] {
        create(&store, name).await;
    }
    chain(&store).await;
    let tables = world.tables().await;
    tables.execute("UPDATE audit SET role = 'viewer' WHERE sequence = 2").await;
    assert_eq!(is_whole(&chain(&store).await), [true, false, true, true]);
    tables.execute("DELETE FROM audit WHERE sequence = 2").await;
    assert_eq!(is_whole(&chain(&store).await), [true, false, true]);
    tables.execute("UPDATE audit SET seal = NULL WHERE sequence = 3").await;
    assert_eq!(is_whole(&chain(&store).await), [true, false, false]);
    // The end is missed by what the chain says about its end.
    tables.execute("DELETE FROM audit WHERE sequence = 4").await;
    let last = chain(&store).await.last().map(|it| it.sequence);
    let head = store.audit_head().await.expect("readable").map(|(sequence, _)| sequence);
    assert_eq!((last, head), (Some(3), Some(4)));
}

async fn entries_are_found_by_who_and_what(world: World) {
    let store = world.open().await;
    let token = store.token_create(None, Role::Operator, None, "first").await.expect("made");
    let (tenant, _) = create(&store, "acme").await;
    let found = async |filter: AuditFilter| {
        let found = store.audit_list(filter, None, 10).await.expect("readable");
        found.into_iter().map(|entry| entry.action).collect::<Vec<_>>()
    };
    let done = |action: &str| AuditFilter { action: Some(action.to_owned()), ..Default::default() };
    assert_eq!(found(AuditFilter::default()).await, ["tenant.create", "token.create"]);
    assert_eq!(found(done("tenant")).await, ["tenant.create"]);
    assert_eq!(found(done("tenant.create")).await, ["tenant.create"]);
    assert_eq!(found(done("ten")).await, [""; 0], "whole words");
    assert_eq!(found(Some(tenant.id).into()).await, ["tenant.create"]);
    let by = crate::world::actor(Role::Operator, None).subject;
    let filter = AuditFilter { subject: Some(by), ..Default::default() };
    assert_eq!(found(filter).await, ["tenant.create"]);

    let first = Subject::Token(token.id);
    let names = store.audit_names([first, by]).await.expect("readable");
    assert_eq!(names.into_iter().collect::<Vec<_>>(), [(first, "first".to_owned())]);
}
