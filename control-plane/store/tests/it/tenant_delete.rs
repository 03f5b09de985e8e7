use crate::{
    on_both,
    world::{World, create, name, owner, report, start_session},
};
use domain::{
    OperationKind, OperationState, Problem, Role, SessionState, Step, TenantPhase, Within,
};
use secrecy::ExposeSecret;
use store::{Change, SessionCreateError, StoreError};

fn leftovers() -> Problem {
    Problem {
        code: "left-behind".to_owned(),
        detail: "one volume".to_owned(),
        hint: "delete it by hand".to_owned(),
    }
}

on_both! {
    a_deletion_supersedes_the_create_operation_and_is_asked_for_once,
    a_late_report_on_the_creation_leaves_the_deletions_steps_alone,
    force_clean_can_be_added_later_and_is_not_taken_back,
    a_tenant_nobody_asked_to_delete_cannot_be_removed_nor_anything_be_left_without_force,
    a_name_is_free_after_removal_but_the_cluster_is_another,
    a_removed_tenant_leaves_no_key_no_token_and_no_session_that_waits,
}

async fn a_deletion_supersedes_the_create_operation_and_is_asked_for_once(world: World) {
    let store = world.open().await;
    let (tenant, create) = create(&store, "acme").await;
    let delete = store.tenant_delete(&owner(tenant.id), tenant.id, false).await;
    let delete = delete.expect("the owner may");
    assert_eq!((delete.kind, delete.state), (OperationKind::TenantDelete, OperationState::Waiting));
    let steps: Vec<&str> = delete.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(steps, ["sessions", "workload", "service", "volumes", "nodes", "namespace"]);
    let create = store.operation_get(create.id).await.expect("readable").expect("it exists");
    assert_eq!(create.state, OperationState::Failed);
    assert_eq!(create.problem.map(|problem| problem.code), Some("superseded".to_owned()));
    let seen = store.tenant_get(tenant.id).await.expect("readable").expect("not gone yet");
    assert_eq!((seen.phase(), seen.generation.0), (TenantPhase::Deleting, 2));

    let tables = world.tables().await;
    let before = tables.version().await;
    let again = store.tenant_delete(&owner(tenant.id), tenant.id, false).await;
    assert_eq!(again.expect("the owner may").id, delete.id);
    assert_eq!(tables.number("SELECT count(*) FROM audit").await, 2);
    let stale = store.tenant_report(tenant.id, report(&tenant)).await;
    stale.expect("generation 1 was not reported on yet");
    assert_ne!(tables.version().await, before);
    let operations = store.operation_list(tenant.id, None, 10).await.expect("readable");
    let ids: Vec<_> = operations.iter().map(|operation| operation.id).collect();
    assert_eq!(ids, [delete.id, create.id], "newest first");
}

async fn a_late_report_on_the_creation_leaves_the_deletions_steps_alone(world: World) {
    let store = world.open().await;
    let (tenant, create) = create(&store, "acme").await;
    let mut late = report(&tenant);
    late.steps = Some((create.id, create.steps));
    late.is_operation_running = true;
    let delete = store.tenant_delete(&owner(tenant.id), tenant.id, false).await;
    let delete = delete.expect("the owner may");
    store.tenant_report(tenant.id, late).await.expect("generation 1 was not reported on yet");
    let seen = store.operation_get(delete.id).await.expect("readable").expect("it exists");
    assert_eq!(seen, delete, "what is being removed is not shown as being made");
}

async fn force_clean_can_be_added_later_and_is_not_taken_back(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let proof = owner(tenant.id);
    let plain = store.tenant_delete(&proof, tenant.id, false).await.expect("the owner may");
    let forced = store.tenant_delete(&proof, tenant.id, true).await.expect("the owner may");
    assert_eq!(plain.id, forced.id);
    store.tenant_delete(&proof, tenant.id, false).await.expect("the owner may");
    let seen = store.tenant_get(tenant.id).await.expect("readable").expect("not gone yet");
    assert!(seen.is_force_clean);
    assert_eq!(seen.generation.0, 3);
}

async fn a_tenant_nobody_asked_to_delete_cannot_be_removed_nor_anything_be_left_without_force(
    world: World,
) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let error = store.tenant_remove(tenant.id, Vec::new(), None).await;
    assert!(matches!(error, Err(StoreError::Refused(_))), "{error:?}");
    let proof = owner(tenant.id);
    store.tenant_delete(&proof, tenant.id, false).await.expect("the owner may");
    let error = store.tenant_remove(tenant.id, Vec::new(), Some(leftovers())).await;
    assert!(matches!(error, Err(StoreError::Refused(_))), "{error:?}");
    assert!(store.tenant_get(tenant.id).await.expect("readable").is_some());

    store.tenant_delete(&proof, tenant.id, true).await.expect("the owner may");
    let ended = store.tenant_remove(tenant.id, Vec::new(), Some(leftovers())).await;
    let ended = ended.expect("force-clean may leave something");
    assert_eq!((ended.state, ended.problem), (OperationState::Failed, Some(leftovers())));
    assert!(store.tenant_get(tenant.id).await.expect("readable").is_none());
}

async fn a_name_is_free_after_removal_but_the_cluster_is_another(world: World) {
    let store = world.open().await;
    let (first, _) = create(&store, "acme").await;
    store.tenant_delete(&owner(first.id), first.id, false).await.expect("the owner may");
    let steps = vec![Step::waiting("namespace")];
    let mut changes = store.changes();
    let ended = store.tenant_remove(first.id, steps.clone(), None).await.expect("it was asked for");
    assert_eq!((ended.state, &ended.steps), (OperationState::Succeeded, &steps));
    assert!(matches!(changes.try_recv(), Ok(Change::Operation(_))));
    assert_eq!(changes.try_recv(), Ok(Change::Tenant(first.id)));
    assert!(store.tenant_by_name(&name("acme")).await.expect("readable").is_none());
    assert_eq!(store.tenant_unsettled().await.expect("readable"), []);
    let again = store.tenant_remove(first.id, Vec::new(), None).await.expect("it is gone");
    assert_eq!(again, ended, "repeating it changes nothing");

    let (second, _) = create(&store, "acme").await;
    assert_ne!(second.id, first.id);
    assert_ne!(second.cluster, first.cluster);
    let reuse = format!("UPDATE tenants SET cluster = '{}' WHERE name = 'acme'", first.cluster);
    let reused =
        sea_orm::ConnectionTrait::execute_unprepared(&world.tables().await.0, &reuse).await;
    assert!(reused.is_err(), "a cluster's name is never used again");
}

async fn a_removed_tenant_leaves_no_key_no_token_and_no_session_that_waits(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let (other, _) = create(&store, "other").await;
    let id = tenant.id;
    store.tenant_keys_put_if_absent(id, b"keys").await.expect("it exists");
    let token = store.token_create(Some(&owner(id)), Role::Owner, Some(id), "ci").await;
    let token = token.expect("the owner may").secret;
    let others =
        store.token_create(Some(&owner(other.id)), Role::Owner, Some(other.id), "ci").await;
    let others = others.expect("the owner may").secret;
    let queued = start_session(&store, id).await;
    let starting = start_session(&store, id).await;
    let run = store.run_create(starting.id, 1).await.expect("it is queued");
    store.tenant_delete(&owner(id), id, false).await.expect("the owner may");
    let refused = store.session_create(&owner(id), id, crate::world::spec(), None).await;
    assert!(matches!(refused, Err(SessionCreateError::TenantDeleting)), "{refused:?}");
    assert_eq!(store.sessions_active_tenants().await.expect("readable"), [id]);

    store.tenant_remove(id, Vec::new(), None).await.expect("it was asked for");
    assert!(store.tenant_keys(id).await.expect("readable").is_none());
    let error = store.tenant_keys_put_if_absent(id, b"keys").await;
    assert!(matches!(error, Err(StoreError::NotFound)), "{error:?}");
    let actor = async |token: &secrecy::SecretString| {
        store.actor_by_token(token.expose_secret(), String::new()).await.expect("readable")
    };
    assert_eq!(actor(&token).await, None);
    assert_eq!(
        actor(&others).await.map(|actor| actor.grants[0].within),
        Some(Within::Tenant(other.id))
    );
    let state = async |id| {
        let session = store.session_get(id).await.expect("readable").expect("it stays");
        assert_eq!(session.cause.map(|cause| cause.reason), Some("TenantRemoved".to_owned()));
        session.state
    };
    assert_eq!(state(queued.id).await, SessionState::Stopped);
    assert_eq!(state(starting.id).await, SessionState::Failed);
    let shown = store.run_by_token(run.token.expose_secret()).await.expect("readable");
    assert_eq!(shown, None);
    assert_eq!(store.sessions_active_tenants().await.expect("readable"), []);
}
