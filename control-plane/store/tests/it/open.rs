use crate::{
    on_both,
    world::{World, create, name, platform},
};
use domain::{PlanName, Subject, TokenId};
use jiff::SignedDuration;
use migrations::{Migrator, MigratorTrait};
use store::{IdempotencyKey, OpenError};
use uuid::Uuid;

on_both! {
    an_accepted_tenant_survives_reopening,
    a_database_whose_secrets_need_another_key_is_refused,
    a_database_of_a_newer_release_is_refused,
    the_schema_can_be_taken_down_and_built_again,
    old_wakeups_and_idempotency_keys_are_cleared_out_and_young_ones_stay,
}

async fn an_accepted_tenant_survives_reopening(world: World) {
    let store = world.open().await;
    let (tenant, operation) = create(&store, "acme").await;
    store.close().await.expect("the store can be closed");

    let store = world.open().await;
    assert_eq!(store.tenant_get(tenant.id).await.expect("readable"), Some(tenant.clone()));
    let by_name = store.tenant_by_name(&name("acme")).await.expect("readable");
    assert_eq!(by_name, Some(tenant.clone()));
    let open = store.operation_open(tenant.id).await.expect("readable");
    assert_eq!(open, Some(operation));
    assert_eq!(store.tenant_unsettled().await.expect("readable"), [tenant.id]);
    store.check().await.expect("it answers");
}

async fn a_database_whose_secrets_need_another_key_is_refused(world: World) {
    world.open().await.close().await.expect("the store can be closed");
    let error = world.try_open([8; 32]).await.expect_err("it is another key");
    assert!(matches!(error, OpenError::WrongKey { .. }), "{error:?}");
    world.open().await;
}

async fn a_database_of_a_newer_release_is_refused(world: World) {
    world.open().await.close().await.expect("the store can be closed");
    let tables = world.tables().await;
    tables.execute("INSERT INTO seaql_migrations VALUES ('m9999_future', 0)").await;
    let error = world.try_open([7; 32]).await.expect_err("it is newer");
    assert!(matches!(error, OpenError::Migrate(_)), "{error:?}");
}

async fn the_schema_can_be_taken_down_and_built_again(world: World) {
    let store = world.open().await;
    create(&store, "acme").await;
    store.close().await.expect("the store can be closed");
    let tables = world.tables().await;
    Migrator::down(&tables.0, None).await.expect("all of it can be taken down");
    tables.0.close().await.expect("the connection can be ended");
    let store = world.open().await;
    assert_eq!(store.tenant_list(None, 10).await.expect("readable"), []);
}

async fn old_wakeups_and_idempotency_keys_are_cleared_out_and_young_ones_stay(world: World) {
    let store = world.open().await;
    let key = |text: &str| IdempotencyKey {
        actor: Subject::Token(TokenId::new(Uuid::from_u128(1))),
        key: text.to_owned(),
        request_digest: [1; 32],
    };
    let create = async |name_text, key: &IdempotencyKey| {
        let proof = platform();
        let made = store.tenant_create(&proof, name(name_text), PlanName::Pro, 0, Some(key));
        made.await.expect("the name is free")
    };
    create("old", &key("old")).await;
    world.clock.advance(SignedDuration::from_hours(40));
    create("young", &key("young")).await;
    let tables = world.tables().await;
    let outbox = tables.number("SELECT count(*) FROM outbox").await;
    assert_eq!(outbox, 2, "the second write cleared the first one's wake-ups out");
    world.clock.advance(SignedDuration::from_hours(9));
    store.close().await.expect("the store can be closed");

    let store = world.open().await;
    assert_eq!(tables.number("SELECT count(*) FROM outbox").await, 2);
    assert_eq!(tables.number("SELECT count(*) FROM idempotency").await, 1);
    let replay = store
        .tenant_create(&platform(), name("young"), PlanName::Pro, 0, Some(&key("young")))
        .await
        .expect("the key is known");
    assert!(replay.is_replay);
}

#[tokio::test]
async fn a_url_of_no_known_kind_is_refused_without_being_told_again() {
    for url in ["mysql://root:hunter2@db/x", "sqlite::memory:", "sqlite://", "hunter2"] {
        let world = World::at(url.to_owned(), 1);
        let error = world.try_open([7; 32]).await.expect_err("it is no good");
        assert!(matches!(error, OpenError::Url), "{url}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn a_server_that_speaks_something_else_is_reported_without_the_password() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let server = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let url = format!("postgres://warren:hunter2@{address}/warren");
    let error = World::at(url, 1).try_open([7; 32]).await.expect_err("it hangs up");
    assert!(matches!(error, OpenError::Connect(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    server.abort();
}
