use crate::{
    on_both,
    world::{World, create, owner, spec},
};
use domain::{Input, InputSource, Role, SessionSpec};
use secrecy::ExposeSecret;
use std::{collections::BTreeMap, fs};
use store::IdempotencyKey;

const KEYS: &[u8] = b"-----BEGIN PRIVATE KEY----- of the tenant";
const AUTHORITY: &[u8] = b"-----BEGIN PRIVATE KEY----- of the platform";
const PASSWORD: &str = "the password of the agent's mailbox";
const LETTER: &str = "what nobody but the agent is to read";

on_both! {
    the_first_secret_wins_and_everybody_gets_it,
    secrets_and_tokens_cannot_be_read_in_the_database,
    a_secret_that_was_moved_to_another_tenant_does_not_open,
}

async fn the_first_secret_wins_and_everybody_gets_it(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    assert!(store.tenant_keys(tenant.id).await.expect("readable").is_none());
    assert!(store.setting_secret("run-authority").await.expect("readable").is_none());
    let puts = (0..8_u8).map(|writer| {
        let (store, id) = (store.clone(), tenant.id);
        tokio::spawn(async move {
            let keys = store.tenant_keys_put_if_absent(id, &[writer; 9]).await;
            let setting = store.setting_secret_put_if_absent("run-authority", &[writer; 9]).await;
            (keys.expect("it exists"), setting.expect("it can be encrypted"))
        })
    });
    let puts = puts.collect::<Vec<_>>();
    let mut seen = Vec::new();
    for put in puts {
        let (keys, setting) = put.await.expect("it does not panic");
        seen.push((keys.expose_secret().clone(), setting.expose_secret().clone()));
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "all of them got the same");
    store.close().await.expect("the store can be closed");

    let store = world.open().await;
    let keys = store.tenant_keys(tenant.id).await.expect("readable").expect("they are there");
    assert_eq!(*keys.expose_secret(), seen[0].0);
    let setting = store.setting_secret("run-authority").await.expect("readable");
    assert_eq!(*setting.expect("it is there").expose_secret(), seen[0].1);
}

async fn secrets_and_tokens_cannot_be_read_in_the_database(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "findable").await;
    store.tenant_keys_put_if_absent(tenant.id, KEYS).await.expect("it exists");
    store.setting_secret_put_if_absent("run-authority", AUTHORITY).await.expect("it is new");
    let token = store.token_create(None, Role::Operator, None, "x").await.expect("the first");
    let letter = InputSource::Inline(LETTER.to_owned());
    let spec = SessionSpec {
        env: BTreeMap::from([("MAIL_PASSWORD".to_owned(), PASSWORD.to_owned())]),
        inputs: vec![Input { name: "letter.txt".to_owned(), source: letter }],
        ..spec()
    };
    let key = IdempotencyKey {
        actor: domain::Subject::Token(token.id),
        key: "k".to_owned(),
        request_digest: [1; 32],
    };
    let proof = owner(tenant.id);
    let session = store.session_create(&proof, tenant.id, spec.clone(), Some(&key)).await;
    let session = session.expect("the tenant takes sessions").value;
    let run = store.run_create(session.id, 1).await.expect("it is queued");
    let read = store.session_get(session.id).await.expect("readable").expect("it is there");
    assert_eq!(read.spec, spec, "who may read it gets it as it was given");
    let secrets = [
        KEYS,
        AUTHORITY,
        PASSWORD.as_bytes(),
        LETTER.as_bytes(),
        &token.secret.expose_secret().as_bytes()[4..47],
        &run.token.expose_secret().as_bytes()[4..],
    ];

    let tables = world.tables().await;
    let mut stored = Vec::new();
    for (table, column) in [
        ("tenants", "keys"),
        ("settings", "value"),
        ("tokens", "hash"),
        ("runs", "token_hash"),
        ("sessions", "spec"),
    ] {
        let cells = tables.bytes(&format!("SELECT {column} FROM {table}")).await;
        assert!(!cells.is_empty(), "{table}.{column} was looked at");
        stored.extend(cells);
    }
    stored.extend(tables.everything().await);
    if let Some(folder) = world.folder() {
        let files = fs::read_dir(folder).expect("the folder is there");
        let files = files.map(|file| file.expect("it is there").path());
        stored.extend(files.map(|file| fs::read(file).expect("it is readable")));
        let is_found = stored.iter().any(|bytes| contains(bytes, b"findable"));
        assert!(is_found, "what is not secret is found this way");
    }
    for secret in secrets {
        assert!(!stored.iter().any(|bytes| contains(bytes, secret)));
    }
    let shown = format!("{store:?} {token:?} {:?} {:?}", run.run, run.token);
    let is_shown = |secret: &[u8]| contains(shown.as_bytes(), secret);
    assert!(!secrets.into_iter().any(is_shown), "nor in Debug");
}

async fn a_secret_that_was_moved_to_another_tenant_does_not_open(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let (thief, _) = create(&store, "thief").await;
    store.tenant_keys_put_if_absent(tenant.id, KEYS).await.expect("it exists");
    let copy = "UPDATE tenants SET
        keys = (SELECT keys FROM tenants WHERE name = 'acme'),
        keys_key = (SELECT keys_key FROM tenants WHERE name = 'acme')
        WHERE name = 'thief'";
    world.tables().await.execute(copy).await;
    let error = store.tenant_keys(thief.id).await.expect_err("it is not the thief's");
    assert!(matches!(error, store::StoreError::Secret { .. }), "{error:?}");
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
