mod repair;
mod switched_off;
mod under_plan;

use crate::{fake::Fault, world::World};
use domain::{ConditionKind, ConditionStatus, OperationState};
use http::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_tenant_becomes_ready_and_a_second_look_writes_nothing() {
    let world = World::new().await;
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    let operations = world.store.operation_list(tenant.id, None, 10).await.expect("operations");
    assert_eq!(operations[0].state, OperationState::Succeeded);
    assert!(operations[0].steps.iter().all(|step| step.finished_at.is_some()), "{operations:?}");
    controllers.stop().await;

    let changes = execution::explain(&world.cx, tenant.id).await.expect("an explanation");
    assert!(changes.is_empty(), "{changes:?}");
    let (host, inside) = (world.host.writes().len(), world.inside.writes().len());
    let before = world.tenant(tenant.id).await;

    // A process that starts anew looks at everything once.
    let asked = world.host.made().len();
    let controllers = world.start();
    let is_looked_at = async |world: &World| {
        let made = &world.host.made()[asked..];
        made.iter().any(|made| {
            made.path.ends_with("/pods")
                && made.method == Method::GET
                && made.path.contains("warren-w")
        })
    };
    world.until("everything was looked at", is_looked_at).await;
    controllers.stop().await;
    assert_eq!(world.host.writes().len(), host, "{:?}", &world.host.writes()[host..]);
    assert_eq!(world.inside.writes().len(), inside, "{:?}", &world.inside.writes()[inside..]);
    assert_eq!(world.tenant(tenant.id).await, before, "nothing was written to the record");
}

#[tokio::test]
async fn what_somebody_changes_or_deletes_by_hand_comes_back() {
    let world = World::new().await;
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    let namespace = tenant.cluster.host_namespace();
    world.host.objects(|objects| {
        objects.remove("networkpolicies", &namespace, "warren-default-deny");
        objects.change("resourcequotas", &namespace, "warren-tenant", |quota| {
            quota["spec"]["hard"]["pods"] = json!("9999");
        });
    });
    let is_back = async |world: &World| {
        world.host.objects(|objects| {
            let quota = objects.get("resourcequotas", &namespace, "warren-tenant");
            objects.get("networkpolicies", &namespace, "warren-default-deny").is_some()
                && quota.is_some_and(|quota| quota["spec"]["hard"]["pods"] != "9999")
        })
    };
    world.until("both are as they were", is_back).await;
    controllers.stop().await;
}

#[tokio::test]
async fn something_of_ours_that_is_not_wanted_any_more_is_deleted() {
    let world = World::new().await;
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    let namespace = tenant.cluster.host_namespace();
    let labels = json!({
        "app.kubernetes.io/managed-by": "warren",
        "warren.dev/cluster": tenant.cluster.as_str(),
    });
    world.host.objects(|objects| {
        let metadata = json!({ "name": "old", "namespace": namespace, "labels": labels });
        objects.put("networking.k8s.io/v1", "networkpolicies", json!({ "metadata": metadata }));
        let metadata = json!({ "name": "foreign", "namespace": namespace });
        objects.put("networking.k8s.io/v1", "networkpolicies", json!({ "metadata": metadata }));
    });
    let is_gone = async |world: &World| {
        world.host.objects(|objects| objects.get("networkpolicies", &namespace, "old").is_none())
    };
    world.until("the old policy is gone", is_gone).await;
    controllers.stop().await;
    let is_there = world
        .host
        .objects(|objects| objects.get("networkpolicies", &namespace, "foreign").is_some());
    assert!(is_there, "what is not ours is left alone");
}

#[tokio::test]
async fn every_fault_on_the_way_is_overcome_and_named_meanwhile() {
    let faults = [
        (Fault::Refuse(429, "TooManyRequests"), "TooManyRequests"),
        (Fault::Refuse(409, "Conflict"), "Conflict"),
        (Fault::Refuse(403, "Forbidden"), "Forbidden"),
        (Fault::Refuse(500, "InternalError"), "ServerError"),
        (Fault::LoseReply, "NoAnswer"),
        (Fault::Break, "NoAnswer"),
    ];
    for (fault, reason) in faults {
        let world = World::new().await;
        world.host.fail(Method::PATCH, "/statefulsets/", fault, usize::MAX);
        let controllers = world.start();
        let tenant = world.create("acme").await;
        let is_named = async |world: &World| {
            let tenant = world.tenant(tenant.id).await.expect("it is there");
            let condition = tenant.conditions.get(ConditionKind::NamespaceReady).cloned();
            condition.is_some_and(|condition| {
                condition.status != ConditionStatus::True
                    && condition.reason == reason
                    && condition.message.contains("apply StatefulSet")
            })
        };
        world.until("the fault is named with verb and object", is_named).await;
        world.host.heal();
        world
            .until("it is ready all the same", async |world| world.is_ready(tenant.id).await)
            .await;
        controllers.stop().await;
        let sets = world.host.objects(|objects| objects.list("statefulsets").len());
        assert_eq!(sets, 1, "{fault:?}");
    }
}

/// What there is on the host and inside the tenant, by kind.
fn everything(world: &World) -> Vec<(&'static str, Vec<String>)> {
    let on_host =
        ["namespaces", "secrets", "services", "statefulsets", "rolebindings", "clusterroles"];
    let inside = ["namespaces", "serviceaccounts", "roles", "rolebindings", "limitranges"];
    let names = |objects: Vec<Value>| {
        let mut names: Vec<String> =
            objects.iter().map(|object| object["metadata"]["name"].to_string()).collect();
        names.sort();
        names
    };
    let on_host = on_host.map(|kind| (kind, names(world.host.objects(|all| all.list(kind)))));
    let inside = inside.map(|kind| (kind, names(world.inside.objects(|all| all.list(kind)))));
    [on_host.as_slice(), inside.as_slice()].concat()
}

#[tokio::test]
async fn a_creation_that_is_cut_off_at_any_write_is_finished_by_the_next_process() {
    let world = World::new().await;
    let controllers = world.start();
    world.ready("acme").await;
    controllers.stop().await;
    let wanted = everything(&world);
    let of_host = world.host.writes().into_iter().map(|made| (false, made));
    let of_tenant = world.inside.writes().into_iter().map(|made| (true, made));
    let writes: Vec<_> = of_host.chain(of_tenant).collect();
    assert!(writes.len() > 20, "{writes:?}");
    // Identifiers are the same in every such world, so each write has the same path.
    for (is_inside, write) in writes {
        for fault in [Fault::Break, Fault::LoseReply] {
            let world = World::new().await;
            let fake = if is_inside { &world.inside } else { &world.host };
            fake.fail(write.method.clone(), &write.path, fault, usize::MAX);
            let controllers = world.start();
            let tenant = world.create("acme").await;
            let is_cut = async |_: &World| fake.writes().contains(&write);
            world.until(&format!("{write:?} was tried"), is_cut).await;
            controllers.stop().await;
            fake.heal();
            let controllers = world.start();
            world.until("it is ready", async |world| world.is_ready(tenant.id).await).await;
            controllers.stop().await;
            assert_eq!(everything(&world), wanted, "{write:?} {fault:?}");
            let operations = world.store.operation_list(tenant.id, None, 10).await;
            let states: Vec<_> =
                operations.expect("operations").iter().map(|operation| operation.state).collect();
            assert_eq!(states, [OperationState::Succeeded], "{write:?} {fault:?}");
        }
    }
}

#[tokio::test]
async fn the_second_tenant_waits_for_the_first_and_knows_it() {
    let world = World::new().await;
    // The first one does not come up.
    world.host.fail(Method::PATCH, "/statefulsets/", Fault::Refuse(403, "Forbidden"), usize::MAX);
    let controllers = world.start();
    let first = world.create("first").await;
    // Two that come at the same moment may be looked at in either order.
    let namespace = first.cluster.host_namespace();
    let has_begun =
        async |world: &World| world.host.writes().iter().any(|made| made.path.contains(&namespace));
    world.until("the first one has its place", has_begun).await;
    let second = world.create("second").await;
    let is_waiting = async |world: &World| {
        let second = world.tenant(second.id).await.expect("it is there");
        second
            .conditions
            .get(ConditionKind::NamespaceReady)
            .is_some_and(|c| c.reason == "Waiting" && c.message.contains("1 before this one"))
    };
    world.until("the second one waits", is_waiting).await;
    world.host.heal();
    world.until("the first is ready", async |world| world.is_ready(first.id).await).await;
    world.until("the second is ready", async |world| world.is_ready(second.id).await).await;
    controllers.stop().await;
}

#[tokio::test]
async fn a_tenant_whose_data_is_gone_is_not_made_anew() {
    let world = World::new().await;
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    controllers.stop().await;
    let namespace = tenant.cluster.host_namespace();
    world.host.objects(|objects| objects.remove("namespaces", "", &namespace));
    let before = world.host.writes().len();
    let controllers = world.start();
    let is_damaged = async |world: &World| {
        let tenant = world.tenant(tenant.id).await.expect("it is there");
        tenant.conditions.get(ConditionKind::NamespaceReady).is_some_and(|c| c.reason == "Damaged")
    };
    world.until("the damage is reported", is_damaged).await;
    controllers.stop().await;
    assert_eq!(world.host.writes().len(), before, "nothing is written to what is damaged");
}
