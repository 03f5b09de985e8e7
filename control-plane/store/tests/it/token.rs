use crate::{
    on_both,
    world::{World, create, owner, platform},
};
use domain::Role;
use secrecy::ExposeSecret;
use store::StoreError;

on_both! {
    the_bootstrap_token_is_an_operators_and_there_is_one,
    a_token_is_for_its_tenant_and_role_and_only_whole,
    a_role_must_go_with_the_tenant,
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
    assert_eq!((actor.token, actor.role, actor.tenant), (made[0].id, Role::Operator, None));
    assert_eq!(actor.request_id, "r7");
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
    assert_eq!((actor.role, actor.tenant), (Role::Viewer, Some(tenant.id)));
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
