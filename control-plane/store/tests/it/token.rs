use crate::{
    on_both,
    world::{World, create, owner, platform},
};
use domain::{Actor, Role, TokenId};
use secrecy::ExposeSecret;
use store::{Store, StoreError, TokenRevokeError};

on_both! {
    the_bootstrap_token_is_an_operators_and_there_is_one,
    a_token_is_for_its_tenant_and_role_and_only_whole,
    a_role_must_go_with_the_tenant,
    a_token_that_was_taken_back_is_nobodys_and_the_last_operator_stays,
    whoever_lost_every_token_gets_another_from_the_record,
}

async fn the_bootstrap_token_is_an_operators_and_there_is_one(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    assert!(!store.token_is_any().await.expect("readable"));
    let error = store.token_create(None, Role::Owner, Some(tenant.id), "x").await;
    assert!(matches!(error, Err(StoreError::Refused(_))), "{error:?}");
    let firsts = (0..4).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.token_create(None, Role::Operator, None, "first").await })
    });
    let mut made = Vec::new();
    for first in firsts.collect::<Vec<_>>() {
        match first.await.expect("it does not panic") {
            Ok(token) => made.push(token),
            Err(error) => assert!(matches!(error, StoreError::Refused(_)), "{error:?}"),
        }
    }
    assert_eq!(made.len(), 1);
    assert!(store.token_is_any().await.expect("readable"));
    let shown = made[0].secret.expose_secret();
    let actor = store.actor_by_token(shown, "r7".to_owned()).await.expect("readable");
    let actor = actor.expect("it is good");
    assert_eq!(actor, Actor::of_token(made[0].id, Role::Operator, None, "r7".to_owned()));
}

async fn a_token_is_for_its_tenant_and_role_and_only_whole(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let proof = owner(tenant.id);
    let token = store.token_create(Some(&proof), Role::Viewer, Some(tenant.id), "ci").await;
    let token = token.expect("the owner may");
    let text = token.secret.expose_secret();
    assert!(text.starts_with("wrn_") && text.len() == 53, "the token has its form");
    let actor = store.actor_by_token(text, String::new()).await.expect("readable");
    let actor = actor.expect("it is good");
    assert_eq!(actor, Actor::of_token(token.id, Role::Viewer, Some(tenant.id), String::new()));
    let swapped = text.replace("wrn_", "wrr_");
    for wrong in ["", "wrn_", &text[..52], &text[1..], &swapped, &text.to_uppercase()] {
        let actor = store.actor_by_token(wrong, String::new()).await.expect("readable");
        assert_eq!(actor, None);
    }
    let hashes = world.tables().await.bytes("SELECT hash FROM tokens").await;
    assert_eq!(hashes.len(), 1);
    assert_eq!(hashes[0].len(), 32, "only a SHA-256 is stored");
}

async fn a_role_must_go_with_the_tenant(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let of_tenant = owner(tenant.id);
    let error = store.token_create(Some(&of_tenant), Role::Operator, Some(tenant.id), "x").await;
    assert!(matches!(error, Err(StoreError::Refused(_))), "{error:?}");
    let error = store.token_create(Some(&platform()), Role::Owner, None, "x").await;
    assert!(matches!(error, Err(StoreError::Refused(_))), "{error:?}");
    let error = store.token_create(Some(&platform()), Role::Owner, Some(tenant.id), "x").await;
    assert!(matches!(error, Err(StoreError::NotFound)), "{error:?}");
    store.token_create(Some(&platform()), Role::Operator, None, "x").await.expect("operators may");
}

async fn is_good(store: &Store, token: &secrecy::SecretString) -> bool {
    let actor = store.actor_by_token(token.expose_secret(), String::new()).await;
    actor.expect("readable").is_some()
}

async fn a_token_that_was_taken_back_is_nobodys_and_the_last_operator_stays(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let (other, _) = create(&store, "other").await;
    let first = store.token_create(None, Role::Operator, None, "first").await.expect("it is");
    let last = store.token_revoke(&platform(), first.id).await;
    assert!(matches!(last, Err(TokenRevokeError::LastOperator)), "{last:?}");
    let second = store.token_create(Some(&platform()), Role::Operator, None, "second").await;
    let second = second.expect("operators may");
    let own = owner(tenant.id);
    let ci = store.token_create(Some(&own), Role::Viewer, Some(tenant.id), "ci").await;
    let ci = ci.expect("the owner may");

    let names = async |tenant, after| -> Vec<String> {
        let tokens = store.token_list(tenant, after, 10).await.expect("readable");
        tokens.into_iter().map(|token| token.name).collect()
    };
    assert_eq!(names(None, None).await, ["first", "second"]);
    assert_eq!(names(None, Some(first.id)).await, ["second"]);
    assert_eq!(names(Some(tenant.id), None).await, ["ci"]);
    assert_eq!(names(Some(other.id), None).await, [] as [&str; 0]);
    let known = store.token_get(None, first.id).await.expect("readable").expect("it is there");
    assert!(known.is_bootstrap);
    assert_eq!(store.token_get(Some(tenant.id), first.id).await.expect("readable"), None);

    for (proof, id) in [
        (owner(tenant.id), first.id),
        (owner(other.id), ci.id),
        (platform(), ci.id),
        (platform(), unknown()),
    ] {
        let refused = store.token_revoke(&proof, id).await;
        let is_not_found = matches!(refused, Err(TokenRevokeError::Store(StoreError::NotFound)));
        assert!(is_not_found, "{refused:?}");
    }
    // Both at once: one of them has to stay.
    let (a, b) = tokio::join!(async { store.token_revoke(&platform(), first.id).await }, async {
        store.token_revoke(&platform(), second.id).await
    },);
    assert_eq!(u8::from(a.is_ok()) + u8::from(b.is_ok()), 1, "{a:?} {b:?}");
    assert_eq!(is_good(&store, &first.secret).await, a.is_err());
    assert_eq!(is_good(&store, &second.secret).await, b.is_err());
    store.token_revoke(&owner(tenant.id), ci.id).await.expect("a tenant may have none");
    assert!(!is_good(&store, &ci.secret).await);
    let audit = store.audit_list(None, None, 2).await.expect("readable");
    assert_eq!(audit.iter().map(|entry| &*entry.action).collect::<Vec<_>>(), ["token.revoke"; 2]);
}

fn unknown() -> TokenId {
    TokenId::new(uuid::Uuid::from_u128(4040))
}

async fn whoever_lost_every_token_gets_another_from_the_record(world: World) {
    let store = world.open().await;
    store.token_create(None, Role::Operator, None, "lost").await.expect("it is the first");
    let recovered = store.token_recover("recovered").await.expect("the record is at hand");
    assert!(is_good(&store, &recovered.secret).await);
    assert_eq!(store.token_list(None, None, 10).await.expect("readable").len(), 2);
    let audit = store.audit_list(None, None, 1).await.expect("readable");
    assert_eq!((&*audit[0].action, audit[0].subject), ("token.recover", None));
}
