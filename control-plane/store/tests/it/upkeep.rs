use crate::{
    on_both,
    world::{World, create, owner, report, spec, start_session},
};
use domain::{
    ConditionKind, ConditionStatus, Digest, Input, InputSource, PlanName, SessionState, Tenant,
    TenantId, TenantPhase,
};
use jiff::{SignedDuration, Timestamp};
use migrations::{Migrator, MigratorTrait};
use store::{BlobPutError, IdempotencyKey, SessionCreateError, StopMode, Store};
use uuid::Uuid;

on_both! {
    an_upload_is_removed_in_two_steps_unless_somebody_needs_it_meanwhile,
    a_plan_limits_the_bytes_and_the_number_of_uploads,
    a_session_names_uploads_that_are_there_and_a_repetition_is_not_asked_again,
    a_removed_tenant_is_listed_until_it_is_erased,
    the_database_counts_what_the_rows_say,
    a_record_of_the_release_before_is_upgraded_with_its_data,
}

fn digest(byte: u8) -> Digest {
    Digest::of_sha256([byte; 32])
}

async fn expired(store: &Store, before: Timestamp) -> Vec<(TenantId, Digest)> {
    store.blob_expired(PlanName::Starter, before, 10).await.expect("readable")
}

async fn an_upload_is_removed_in_two_steps_unless_somebody_needs_it_meanwhile(world: World) {
    use domain::Clock as _;
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let id = tenant.id;
    for byte in 1..=3 {
        store.blob_put(id, &digest(byte), 5).await.expect("there is room");
        world.clock.advance(SignedDuration::from_secs(1));
    }
    let now = world.clock.now();
    let all = [(id, digest(1)), (id, digest(2)), (id, digest(3))];
    assert_eq!(expired(&store, now).await, all);
    assert_eq!(expired(&store, now - SignedDuration::from_secs(2)).await, all[..1]);
    let of_pro = store.blob_expired(PlanName::Pro, now, 10).await.expect("readable");
    assert_eq!(of_pro, [], "each plan has a time of its own");

    assert!(store.blob_remove(id, &digest(1), now).await.expect("written"));
    assert_eq!(store.blob_get(id, &digest(1)).await.expect("readable"), None);
    assert_eq!(store.blob_usage(id).await.expect("readable").count, 3, "its bytes are there");
    let long_ago = Timestamp::UNIX_EPOCH;
    assert_eq!(expired(&store, long_ago).await, all[..1], "what was begun is ended");
    store.blob_put(id, &digest(1), 5).await.expect("sent again");
    store.blob_forget(id, &digest(1)).await.expect("written");
    assert!(store.blob_get(id, &digest(1)).await.expect("readable").is_some());

    store.blob_put(id, &digest(2), 5).await.expect("sent again");
    assert!(!store.blob_remove(id, &digest(2), now).await.expect("written"), "it is needed");
    assert!(store.blob_remove(id, &digest(3), now).await.expect("written"));
    store.blob_forget(id, &digest(3)).await.expect("written");
    let usage = store.blob_usage(id).await.expect("readable");
    assert_eq!((usage.count, usage.bytes), (2, 10));
}

async fn a_plan_limits_the_bytes_and_the_number_of_uploads(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let (other, _) = create(&store, "other").await;
    let id = tenant.id;
    let most = 2 << 30;
    store.blob_put(id, &digest(1), most - 1).await.expect("there is room");
    let full = store.blob_put(id, &digest(2), 2).await;
    let Err(BlobPutError::Full { used, limits }) = full else { unreachable!("{full:?}") };
    assert_eq!((used.bytes, used.count, limits.bytes.0), (most - 1, 1, most));
    store.blob_put(id, &digest(1), most - 1).await.expect("it is there already");
    store.blob_put(id, &digest(2), 1).await.expect("there is room");
    store.blob_put(other.id, &digest(2), 2).await.expect("others have room of their own");

    for number in 1..1000_u16 {
        let mut bytes = [9; 32];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        let put = store.blob_put(other.id, &Digest::of_sha256(bytes), 0).await;
        put.expect("there is room");
    }
    let full = store.blob_put(other.id, &digest(3), 0).await;
    assert!(matches!(full, Err(BlobPutError::Full { .. })), "{full:?}");
    store.tenant_delete(&owner(id), id, false).await.expect("the owner may");
    let refused = store.blob_put(id, &digest(1), 1).await;
    assert!(matches!(refused, Err(BlobPutError::TenantDeleting)), "{refused:?}");
}

async fn a_session_names_uploads_that_are_there_and_a_repetition_is_not_asked_again(world: World) {
    use domain::Clock as _;
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let id = tenant.id;
    let mut spec = spec();
    for (name, byte) in [("a", 1), ("b", 2), ("c", 3)] {
        let source = InputSource::Blob(digest(byte));
        spec.inputs.push(Input { name: name.to_owned(), source });
    }
    let key = IdempotencyKey {
        actor: domain::Subject::Token(domain::TokenId::new(Uuid::from_u128(1))),
        key: "once".to_owned(),
        request_digest: [1; 32],
    };
    let create = async || store.session_create(&owner(id), id, spec.clone(), Some(&key)).await;
    store.blob_put(id, &digest(2), 5).await.expect("there is room");
    let refused = create().await;
    let Err(SessionCreateError::InputsMissing(missing)) = refused else {
        unreachable!("{refused:?}")
    };
    assert_eq!(missing, [digest(1), digest(3)]);
    assert_eq!(world.tables().await.number("SELECT count(*) FROM sessions").await, 0);
    for byte in [1, 3] {
        store.blob_put(id, &digest(byte), 5).await.expect("there is room");
    }
    let session = create().await.expect("all is there").value;

    // As it will be when they are old; a key is not kept as long.
    let late = world.clock.now() + SignedDuration::from_hours(1000);
    assert_eq!(expired(&store, late).await, [], "a session waits for them");
    let stopped = SessionState::Stopped;
    store.session_move(session.id, session.revision, stopped, None).await.expect("allowed");
    for (tenant, digest) in expired(&store, late).await {
        assert!(store.blob_remove(tenant, &digest, late).await.expect("written"));
        store.blob_forget(tenant, &digest).await.expect("written");
    }
    assert_eq!(store.blob_usage(id).await.expect("readable").count, 0);
    let replay = create().await.expect("it was accepted");
    assert!(replay.is_replay);
}

async fn a_removed_tenant_is_listed_until_it_is_erased(world: World) {
    let store = world.open().await;
    let mut ids = Vec::new();
    for name in ["one", "two", "three"] {
        ids.push(create(&store, name).await.0.id);
    }
    let unerased = async |after| -> Vec<TenantId> {
        let found = store.tenant_unerased(after, 1).await.expect("readable");
        found.into_iter().map(|tenant| tenant.id).collect()
    };
    assert_eq!(unerased(None).await, []);
    assert!(store.tenant_erased(ids[0]).await.is_err(), "it is there");
    let mut runs = Vec::new();
    for _ in 0..3 {
        let session = start_session(&store, ids[0]).await;
        runs.push(store.run_create(session.id, 1).await.expect("it is queued").run.id);
    }
    for id in &ids[..2] {
        store.tenant_delete(&owner(*id), *id, false).await.expect("the owner may");
        store.tenant_remove(*id, Vec::new(), None).await.expect("it was asked for");
    }
    assert_eq!(unerased(None).await, ids[..1]);
    assert_eq!(unerased(Some(ids[0])).await, ids[1..2]);
    assert_eq!(unerased(Some(ids[1])).await, []);
    let list = async |after| store.run_list(ids[0], after, 2).await.expect("readable");
    assert_eq!(list(None).await, runs[..2], "runs of a removed tenant are still known");
    assert_eq!(list(Some(runs[1])).await, runs[2..]);
    for _ in 0..2 {
        store.tenant_erased(ids[0]).await.expect("it is removed");
    }
    assert_eq!(unerased(None).await, ids[1..2]);
    let erasures = "SELECT count(*) FROM audit WHERE action = 'tenant.erase'";
    assert_eq!(world.tables().await.number(erasures).await, 1);
}

/// Brings a tenant into a phase by what the provisioner would report.
async fn advance(store: &Store, tenant: &Tenant, statuses: &[ConditionStatus]) {
    for status in statuses {
        let mut report = report(tenant);
        let now = Timestamp::UNIX_EPOCH;
        report.conditions.set(ConditionKind::Ready, *status, "Test", "", now);
        store.tenant_report(tenant.id, report).await.expect("it exists");
    }
}

async fn the_database_counts_what_the_rows_say(world: World) {
    use ConditionStatus::{False, True, Unknown};
    let store = world.open().await;
    assert_eq!(store.tenant_count().await.expect("readable"), []);
    let histories: [&[ConditionStatus]; 7] =
        [&[], &[], &[False], &[True], &[True, False], &[True, Unknown], &[False, True]];
    let mut tenants = Vec::new();
    for (number, statuses) in histories.into_iter().enumerate() {
        let (tenant, _) = create(&store, &format!("tenant-{number}")).await;
        advance(&store, &tenant, statuses).await;
        tenants.push(tenant.id);
    }
    for id in [tenants[0], tenants[3]] {
        store.tenant_delete(&owner(id), id, false).await.expect("the owner may");
    }
    store.tenant_remove(tenants[0], Vec::new(), None).await.expect("it was asked for");
    for _ in 0..3 {
        start_session(&store, tenants[1]).await;
    }
    let started = start_session(&store, tenants[2]).await;
    store.run_create(started.id, 1).await.expect("it is queued");
    let over = start_session(&store, tenants[2]).await;
    store.session_stop(&owner(tenants[2]), over.id, StopMode::Proven).await.expect("the owner may");

    let mut expected: Vec<(TenantPhase, u64)> = Vec::new();
    for tenant in store.tenant_list(None, 100).await.expect("readable") {
        match expected.iter_mut().find(|(phase, _)| *phase == tenant.phase()) {
            Some((_, count)) => *count += 1,
            None => expected.push((tenant.phase(), 1)),
        }
    }
    let mut counted = store.tenant_count().await.expect("readable");
    for counts in [&mut expected, &mut counted] {
        counts.sort_by_key(|(phase, _)| phase.as_str());
    }
    assert_eq!(counted, expected);
    assert_eq!(counted.len(), 5, "every phase occurs: {counted:?}");
    let mut sessions = store.session_count().await.expect("readable");
    sessions.sort_by_key(|(state, _)| state.as_str());
    assert_eq!(sessions, [(SessionState::Queued, 3), (SessionState::Starting, 1)]);
    let operations = store.operation_count().await.expect("readable");
    let open: u64 = operations.iter().map(|(_, count)| count).sum();
    let rows = "SELECT count(*) FROM operations WHERE finished_at IS NULL";
    assert_eq!(i64::try_from(open).ok(), Some(world.tables().await.number(rows).await));
}

async fn a_record_of_the_release_before_is_upgraded_with_its_data(world: World) {
    let store = world.open().await;
    let (ready, _) = create(&store, "ready").await;
    let (late, _) = create(&store, "late").await;
    advance(&store, &ready, &[ConditionStatus::True]).await;
    advance(&store, &late, &[ConditionStatus::True, ConditionStatus::False]).await;
    store.blob_put(ready.id, &digest(1), 7).await.expect("there is room");
    store.blob_put(ready.id, &digest(2), 7).await.expect("there is room");
    world.clock.advance(SignedDuration::from_hours(9));
    let mut spec = spec();
    spec.inputs.push(Input { name: "a".to_owned(), source: InputSource::Blob(digest(2)) });
    store.session_create(&owner(ready.id), ready.id, spec, None).await.expect("all is there");
    let needed_at = "SELECT max(needed_at) - min(needed_at) FROM blobs";
    let tables = world.tables().await;
    let before = tables.number(needed_at).await;
    assert_eq!(before, 9 * 3_600_000);
    store.close().await.expect("the store can be closed");

    let steps = u32::try_from(Migrator::migrations().len() - 2).expect("a few");
    Migrator::down(&tables.0, Some(steps)).await.expect("the way back to the second migration");
    let store = world.open().await;
    let mut counted = store.tenant_count().await.expect("readable");
    counted.sort_by_key(|(phase, _)| phase.as_str());
    assert_eq!(counted, [(TenantPhase::Degraded, 1), (TenantPhase::Ready, 1)]);
    assert_eq!(tables.number(needed_at).await, before);
    assert!(store.blob_get(ready.id, &digest(1)).await.expect("readable").is_some());
}
