use crate::{fake::Fault, world::World};
use domain::{OperationState, StepState, TenantId};
use http::Method;
use serde_json::json;

fn nothing_is_left(world: &World, namespace: &str) {
    world.host.objects(|objects| {
        assert_eq!(objects.within(namespace), []);
        assert!(objects.get("namespaces", "", namespace).is_none());
        assert!(objects.list("persistentvolumes").is_empty());
    });
}

async fn assert_proven(world: &World, tenant: TenantId) {
    let operations = world.store.operation_list(tenant, None, 1).await.expect("operations");
    let operation = &operations[0];
    assert_eq!(operation.state, OperationState::Succeeded, "{operation:?}");
    let names: Vec<&str> = operation.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["sessions", "workload", "service", "volumes", "namespace"]);
    for step in &operation.steps {
        assert_eq!(step.state, StepState::Done, "{step:?}");
        assert!(!step.message.is_empty(), "each step ends with its proof");
    }
}

#[tokio::test]
async fn a_removed_tenant_leaves_nothing_and_every_step_has_its_proof() {
    let world = World::new().await;
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    world.session(tenant.id).await;
    world.delete(tenant.id, false).await;
    world.until("it is gone", async |world| world.is_gone(tenant.id).await).await;
    controllers.stop().await;
    nothing_is_left(&world, &tenant.cluster.host_namespace());
    assert_proven(&world, tenant.id).await;
}

#[tokio::test]
async fn a_tenant_that_was_hardly_begun_can_be_removed() {
    let world = World::new().await;
    world.host.fail(Method::PATCH, "/statefulsets/", Fault::Refuse(403, "Forbidden"), usize::MAX);
    let controllers = world.start();
    let tenant = world.create("acme").await;
    let has_begun = async |world: &World| {
        world.host.made().iter().any(|made| made.path.contains("/statefulsets/"))
    };
    world.until("it has begun", has_begun).await;
    world.delete(tenant.id, false).await;
    world.until("it is gone", async |world| world.is_gone(tenant.id).await).await;
    controllers.stop().await;
    nothing_is_left(&world, &tenant.cluster.host_namespace());
    assert_proven(&world, tenant.id).await;
}

#[tokio::test]
async fn a_removal_that_is_cut_off_at_any_step_is_finished_by_the_next_process() {
    // Whichever request is lost, with or without effect, the next process ends the removal.
    let cuts = [
        (Method::DELETE, "/statefulsets/"),
        (Method::DELETE, "/pods"),
        (Method::DELETE, "/services/"),
        (Method::DELETE, "/persistentvolumeclaims"),
        (Method::GET, "/persistentvolumes"),
        (Method::DELETE, "/namespaces/warren-"),
    ];
    for (method, part) in cuts {
        for fault in [Fault::Break, Fault::LoseReply] {
            let world = World::new().await;
            let controllers = world.start();
            let tenant = world.ready("acme").await;
            world.host.fail(method.clone(), part, fault, usize::MAX);
            let made = world.host.made().len();
            world.delete(tenant.id, false).await;
            let is_cut = async |world: &World| {
                let made = &world.host.made()[made..];
                made.iter().any(|made| made.method == method && made.path.contains(part))
            };
            world.until(&format!("{method} {part} was tried"), is_cut).await;
            controllers.stop().await;
            world.host.heal();
            let controllers = world.start();
            world.until("it is gone", async |world| world.is_gone(tenant.id).await).await;
            controllers.stop().await;
            nothing_is_left(&world, &tenant.cluster.host_namespace());
            assert_proven(&world, tenant.id).await;
        }
    }
}

#[tokio::test]
async fn whoever_holds_a_removal_up_is_named_and_letting_go_ends_it() {
    let world = World::new().await;
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    let namespace = tenant.cluster.host_namespace();
    let service = tenant.cluster.to_string();
    let hold = json!(["example.com/keep"]);
    world.host.objects(|objects| {
        objects.change("services", &namespace, &service, |object| {
            object["metadata"]["finalizers"] = hold;
        });
    });
    let operation = world.delete(tenant.id, false).await;
    let is_named = async |world: &World| {
        let operation = world.store.operation_get(operation.id).await.expect("the record answers");
        operation.is_some_and(|operation| {
            operation.steps.iter().any(|step| {
                step.name == "service"
                    && step.state == StepState::Blocked
                    && step.message.contains("example.com/keep")
            })
        })
    };
    world.until("the finalizer is named", is_named).await;
    world.host.objects(|objects| {
        objects.change("services", &namespace, &service, |object| {
            object["metadata"]["finalizers"] = json!([]);
        });
        objects.remove("services", &namespace, &service);
    });
    world.until("it is gone", async |world| world.is_gone(tenant.id).await).await;
    controllers.stop().await;
    nothing_is_left(&world, &namespace);
}

#[tokio::test]
async fn a_forced_removal_ends_and_lists_what_is_left() {
    let world = World::new().await;
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    let namespace = tenant.cluster.host_namespace();
    let service = tenant.cluster.to_string();
    world.host.objects(|objects| {
        objects.change("services", &namespace, &service, |object| {
            object["metadata"]["finalizers"] = json!(["example.com/keep"]);
        });
    });
    let operation = world.delete(tenant.id, true).await;
    let is_blocked = async |world: &World| {
        let operation = world.store.operation_get(operation.id).await.expect("the record answers");
        operation.is_some_and(|o| o.steps.iter().any(|step| step.state == StepState::Blocked))
    };
    world.until("it is blocked", is_blocked).await;
    world.clock.advance(jiff::SignedDuration::from_mins(1));
    world.until("it is gone", async |world| world.is_gone(tenant.id).await).await;
    controllers.stop().await;
    let operation = world.store.operation_get(operation.id).await.expect("answers").expect("there");
    assert_eq!(operation.state, OperationState::Failed);
    let problem = operation.problem.expect("what is left is listed");
    assert!(problem.detail.contains("example.com/keep"), "{}", problem.detail);
    assert!(problem.detail.contains(&namespace), "{}", problem.detail);
    let claims = world.host.objects(|objects| objects.list("persistentvolumeclaims").len());
    assert_eq!(claims, 0, "what could be removed was removed");
}

#[tokio::test]
async fn a_namespace_of_somebody_else_is_not_touched() {
    let world = World::new().await;
    let tenant = world.create("acme").await;
    let namespace = tenant.cluster.host_namespace();
    world.host.objects(|objects| {
        objects.put("v1", "namespaces", json!({ "metadata": { "name": namespace } }));
        let metadata = json!({ "name": "theirs", "namespace": namespace });
        objects.put("v1", "persistentvolumeclaims", json!({ "metadata": metadata }));
    });
    let operation = world.delete(tenant.id, false).await;
    let controllers = world.start();
    let is_blocked = async |world: &World| {
        let operation = world.store.operation_get(operation.id).await.expect("the record answers");
        operation.is_some_and(|o| o.steps.iter().any(|step| step.message.contains("not Warren's")))
    };
    world.until("it is blocked", is_blocked).await;
    controllers.stop().await;
    let deletions = world.host.writes().into_iter().filter(|made| made.method == Method::DELETE);
    assert_eq!(deletions.count(), 0);
}
