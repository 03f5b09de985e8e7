use crate::{
    on_both,
    world::{World, actor, create, name, owner, platform, report},
};
use domain::{
    Bytes, ConditionKind, ConditionStatus, Generation, Millicores, OperationState, PlanName, Role,
    Scope, Share, StepState, Subject, TenantPhase, TokenId, Usage, authorize,
};
use jiff::SignedDuration;
use std::collections::HashSet;
use store::{Change, IdempotencyKey, StopMode, StoreError, TenantCreateError};
use uuid::Uuid;

fn key(text: &str, digest: u8) -> IdempotencyKey {
    let actor = TokenId::new(Uuid::from_u128(1));
    IdempotencyKey {
        actor: Subject::Token(actor),
        key: text.to_owned(),
        request_digest: [digest; 32],
    }
}

on_both! {
    a_new_tenant_has_an_operation_with_named_steps_an_audit_entry_and_wakeups,
    a_taken_name_is_refused_and_nothing_is_written,
    many_creates_of_one_name_at_once_give_one_tenant,
    a_repeated_request_gives_the_same_tenant_and_another_one_with_its_key_is_refused,
    one_request_sent_many_times_at_once_gives_one_tenant_to_all,
    tenants_are_listed_in_pages_without_gap_or_repeat,
    a_tenant_is_created_when_it_is_ready_and_degraded_when_it_was,
    a_report_that_says_nothing_new_writes_nothing,
    a_report_on_an_older_or_an_unknown_generation_is_refused,
    a_proof_for_one_tenant_does_not_touch_another,
}

async fn a_new_tenant_has_an_operation_with_named_steps_an_audit_entry_and_wakeups(world: World) {
    let store = world.open().await;
    let mut changes = store.changes();
    let (tenant, operation) = create(&store, "acme").await;
    assert_eq!(tenant.phase(), TenantPhase::Pending);
    assert_eq!(operation.state, OperationState::Waiting);
    let steps: Vec<&str> = operation.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(steps, ["namespace", "control-plane", "baseline", "dns"]);
    let time = operation.deadline.duration_since(operation.created_at);
    assert_eq!(time, SignedDuration::from_mins(10));
    assert_eq!(changes.try_recv(), Ok(Change::Tenant(tenant.id)));
    assert_eq!(changes.try_recv(), Ok(Change::Operation(operation.id)));
    let audit = store.audit_list(Some(tenant.id), None, 10).await.expect("readable");
    assert_eq!(audit.len(), 1);
    assert_eq!(audit[0].action, "tenant.create");
    assert_eq!(audit[0].target, tenant.id.to_string());
    assert_eq!((audit[0].role, audit[0].request_id.as_str()), (Some(Role::Operator), "request-1"));
    let wakeups = world.tables().await.number("SELECT count(*) FROM outbox").await;
    assert_eq!(wakeups, 2);
}

async fn a_taken_name_is_refused_and_nothing_is_written(world: World) {
    let store = world.open().await;
    create(&store, "acme").await;
    let mut changes = store.changes();
    let tables = world.tables().await;
    let before = tables.number("SELECT count(*) FROM audit").await;
    let again = store.tenant_create(&platform(), name("acme"), PlanName::Pro, 0, None).await;
    assert!(matches!(again, Err(TenantCreateError::NameTaken)), "{again:?}");
    assert_eq!(tables.number("SELECT count(*) FROM audit").await, before);
    assert_eq!(tables.number("SELECT count(*) FROM operations").await, 1);
    assert!(changes.try_recv().is_err(), "nobody is woken");
}

async fn many_creates_of_one_name_at_once_give_one_tenant(world: World) {
    let store = world.open().await;
    let creates = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            store.tenant_create(&platform(), name("acme"), PlanName::Pro, 0, None).await
        })
    });
    let mut made = 0;
    for create in creates.collect::<Vec<_>>() {
        match create.await.expect("it does not panic") {
            Ok(_) => made += 1,
            Err(error) => assert!(matches!(error, TenantCreateError::NameTaken), "{error:?}"),
        }
    }
    assert_eq!(made, 1);
    assert_eq!(store.tenant_list(None, 10).await.expect("readable").len(), 1);
}

async fn a_repeated_request_gives_the_same_tenant_and_another_one_with_its_key_is_refused(
    world: World,
) {
    let store = world.open().await;
    let ask = async |text, key: &IdempotencyKey| {
        store.tenant_create(&platform(), name(text), PlanName::Pro, 0, Some(key)).await
    };
    let first = ask("acme", &key("k", 1)).await.expect("the name is free");
    let again = ask("acme", &key("k", 1)).await.expect("it is the same request");
    assert_eq!((first.is_replay, again.is_replay), (false, true));
    assert_eq!(first.value, again.value);
    let other = ask("other", &key("k", 2)).await;
    assert!(matches!(other, Err(TenantCreateError::IdempotencyMismatch)), "{other:?}");
    let elsewhere =
        IdempotencyKey { actor: Subject::Token(TokenId::new(Uuid::from_u128(2))), ..key("k", 2) };
    let elsewhere = ask("other", &elsewhere).await.expect("keys of others do not matter");
    assert!(!elsewhere.is_replay);
    assert_eq!(store.tenant_list(None, 10).await.expect("readable").len(), 2);
}

async fn one_request_sent_many_times_at_once_gives_one_tenant_to_all(world: World) {
    let store = world.open().await;
    let asks = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let key = key("k", 1);
            store.tenant_create(&platform(), name("acme"), PlanName::Pro, 0, Some(&key)).await
        })
    });
    let (mut ids, mut made) = (HashSet::new(), 0);
    for ask in asks.collect::<Vec<_>>() {
        let created = ask.await.expect("it does not panic").expect("all of them are answered");
        ids.insert(created.value.0.id);
        made += u32::from(!created.is_replay);
    }
    assert_eq!((ids.len(), made), (1, 1));
}

async fn tenants_are_listed_in_pages_without_gap_or_repeat(world: World) {
    let store = world.open().await;
    let mut made = Vec::new();
    for text in ["one", "two", "three", "four", "five"] {
        made.push(create(&store, text).await.0);
    }
    let mut seen = Vec::new();
    loop {
        let after = seen.last().map(|tenant: &domain::Tenant| tenant.id);
        let page = store.tenant_list(after, 2).await.expect("readable");
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    assert_eq!(seen, made);
}

async fn a_tenant_is_created_when_it_is_ready_and_degraded_when_it_was(world: World) {
    let store = world.open().await;
    let (tenant, mut operation) = create(&store, "acme").await;
    let now = operation.created_at;
    let mut first = report(&tenant);
    first.conditions.set(ConditionKind::NamespaceReady, ConditionStatus::True, "Applied", "", now);
    operation.steps[0].advance(StepState::Done, "applied", now);
    first.steps = Some((operation.id, operation.steps.clone()));
    first.is_operation_running = true;
    store.tenant_report(tenant.id, first.clone()).await.expect("it is newer");
    let seen = store.tenant_get(tenant.id).await.expect("readable").expect("it exists");
    assert_eq!(seen.phase(), TenantPhase::Provisioning);
    assert_eq!(seen.observed_generation, Generation(1));
    let running = store.operation_get(operation.id).await.expect("readable").expect("it exists");
    assert_eq!((running.state, &running.steps), (OperationState::Running, &operation.steps));

    let mut changes = store.changes();
    first.conditions.set(ConditionKind::Ready, ConditionStatus::True, "AllGood", "", now);
    let share = |n| Share { yours: n, overhead: n, limit: n };
    let (cpu, bytes) = (Millicores(5), Bytes(6));
    first.usage = Some(Usage {
        cpu: Share { yours: cpu, overhead: cpu, limit: cpu },
        memory: Share { yours: bytes, overhead: bytes, limit: bytes },
        storage: Share { yours: bytes, overhead: bytes, limit: bytes },
        pods: share(7),
    });
    store.tenant_report(tenant.id, first.clone()).await.expect("it is newer");
    let seen = store.tenant_get(tenant.id).await.expect("readable").expect("it exists");
    assert_eq!((seen.phase(), seen.usage), (TenantPhase::Ready, first.usage));
    assert_eq!(store.operation_open(tenant.id).await.expect("readable"), None);
    let done = store.operation_get(operation.id).await.expect("readable").expect("it exists");
    assert_eq!((done.state, done.finished_at), (OperationState::Succeeded, Some(now)));
    let woken = [changes.try_recv(), changes.try_recv()];
    assert_eq!(woken, [Ok(Change::Tenant(tenant.id)), Ok(Change::Operation(operation.id))]);

    first.conditions.set(ConditionKind::Ready, ConditionStatus::False, "Gone", "", now);
    first.usage = None;
    store.tenant_report(tenant.id, first).await.expect("it is newer");
    let seen = store.tenant_get(tenant.id).await.expect("readable").expect("it exists");
    assert_eq!(seen.phase(), TenantPhase::Degraded);
    assert!(seen.usage.is_some(), "what was seen last stays");
}

async fn a_report_that_says_nothing_new_writes_nothing(world: World) {
    let store = world.open().await;
    let (tenant, operation) = create(&store, "acme").await;
    let mut same = report(&tenant);
    let now = operation.created_at;
    same.conditions.set(ConditionKind::Ready, ConditionStatus::False, "Waiting", "soon", now);
    same.steps = Some((operation.id, operation.steps));
    same.is_operation_running = true;
    store.tenant_report(tenant.id, same.clone()).await.expect("it is the first");

    let tables = world.tables().await;
    let mut changes = store.changes();
    let before = tables.version().await;
    world.clock.advance(SignedDuration::from_hours(3));
    for _ in 0..3 {
        store.tenant_report(tenant.id, same.clone()).await.expect("it is good");
    }
    assert_eq!(tables.version().await, before);
    assert!(changes.try_recv().is_err(), "nobody is woken");

    same.conditions.set(ConditionKind::Ready, ConditionStatus::False, "Waiting", "later", now);
    store.tenant_report(tenant.id, same).await.expect("it is good");
    assert_ne!(tables.version().await, before, "the measure sees writes");
}

async fn a_report_on_an_older_or_an_unknown_generation_is_refused(world: World) {
    let store = world.open().await;
    let (tenant, _) = create(&store, "acme").await;
    let at = |generation| store::TenantReport {
        observed_generation: Generation(generation),
        ..report(&tenant)
    };
    let error = store.tenant_report(tenant.id, at(2)).await;
    assert!(matches!(error, Err(StoreError::Refused(_))), "{error:?}");
    store.tenant_report(tenant.id, at(1)).await.expect("it is the generation that there is");
    let error = store.tenant_report(tenant.id, at(0)).await;
    assert!(matches!(error, Err(StoreError::Stale)), "{error:?}");
}

async fn a_proof_for_one_tenant_does_not_touch_another(world: World) {
    let store = world.open().await;
    let (own, _) = create(&store, "own").await;
    let (other, _) = create(&store, "other").await;
    let session = crate::world::start_session(&store, other.id).await;
    let tables = world.tables().await;
    let before = tables.version().await;

    let deleted = store.tenant_delete(&owner(own.id), other.id, false).await;
    assert!(matches!(deleted, Err(StoreError::NotFound)), "{deleted:?}");
    let stopped = store.session_stop(&owner(own.id), session.id, StopMode::Proven).await;
    assert!(matches!(stopped, Err(StoreError::NotFound)), "{stopped:?}");
    let proof = owner(own.id);
    let made = store.session_create(&proof, other.id, crate::world::spec(), None).await;
    let is_hidden = matches!(made, Err(store::SessionCreateError::Store(StoreError::NotFound)));
    assert!(is_hidden, "{made:?}");
    let token = store.token_create(Some(&owner(own.id)), Role::Owner, Some(other.id), "x").await;
    assert!(matches!(token, Err(StoreError::NotFound)), "{token:?}");
    let operator = authorize(&actor(Role::Operator, None), Scope::tenant(own.id));
    let operator = operator.expect("operators may do everything");
    let deleted = store.tenant_delete(&operator, other.id, false).await;
    assert!(matches!(deleted, Err(StoreError::NotFound)), "{deleted:?}");

    assert_eq!(tables.version().await, before);
    assert_eq!(store.tenant_get(other.id).await.expect("readable"), Some(other));
}
