use crate::{fake::Fault, world::World};
use domain::{Operation, OperationState, StepState, TenantId};
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
    assert_eq!(names, ["sessions", "workload", "service", "volumes", "nodes", "namespace"]);
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

/// A namespace of that name, with something in it, that Warren has not made.
fn is_somebody_elses(world: &World, namespace: &str) {
    world.host.objects(|objects| {
        objects.put("v1", "namespaces", json!({ "metadata": { "name": namespace } }));
        let metadata = json!({ "name": "theirs", "namespace": namespace });
        objects.put("v1", "persistentvolumeclaims", json!({ "metadata": metadata }));
    });
}

fn nothing_is_deleted(world: &World) {
    let deletions = world.host.writes().into_iter().filter(|made| made.method == Method::DELETE);
    assert_eq!(deletions.collect::<Vec<_>>(), []);
}

#[tokio::test]
async fn a_namespace_of_somebody_else_is_not_touched() {
    let world = World::new().await;
    let tenant = world.create("acme").await;
    let namespace = tenant.cluster.host_namespace();
    is_somebody_elses(&world, &namespace);
    let operation = world.delete(tenant.id, false).await;
    let controllers = world.start();
    let is_blocked = async |world: &World| {
        let operation = world.store.operation_get(operation.id).await.expect("the record answers");
        operation.is_some_and(|o| o.steps.iter().any(|step| step.message.contains("not Warren's")))
    };
    world.until("it is blocked", is_blocked).await;
    controllers.stop().await;
    nothing_is_deleted(&world);
}

#[tokio::test]
async fn not_even_force_touches_a_namespace_of_somebody_else() {
    let world = World::new().await;
    let tenant = world.create("acme").await;
    let namespace = tenant.cluster.host_namespace();
    is_somebody_elses(&world, &namespace);
    let operation = world.delete(tenant.id, true).await;
    let controllers = world.start();
    world.until("the removal has ended", async |world| world.is_gone(tenant.id).await).await;
    controllers.stop().await;
    nothing_is_deleted(&world);
    let operation = world.store.operation_get(operation.id).await.expect("answers").expect("there");
    assert_eq!(operation.state, OperationState::Failed);
    let problem = operation.problem.expect("what is left is told");
    assert!(problem.detail.contains("not Warren's to remove"), "{}", problem.detail);
    assert!(problem.detail.contains(&namespace), "{}", problem.detail);
    assert!(problem.hint.contains("whose it is"), "{}", problem.hint);
}

async fn says(world: &World, operation: &Operation, state: StepState, words: &[&str]) -> bool {
    let operation = world.store.operation_get(operation.id).await.expect("the record answers");
    operation.is_some_and(|operation| {
        let is_it = |message: &str| words.iter().all(|word| message.contains(word));
        operation.steps.iter().any(|step| step.state == state && is_it(&step.message))
    })
}

#[tokio::test]
async fn a_late_removal_names_the_node_that_does_not_answer_and_the_claim_that_is_held() {
    let world = World::new().await;
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    let namespace = tenant.cluster.host_namespace();
    let (pod, claim) =
        (format!("coredns-x-{}", tenant.cluster), format!("data-{}-0", tenant.cluster));
    world.host.objects(|objects| {
        let ready =
            json!({ "type": "Ready", "status": "Unknown", "message": "Kubelet stopped posting" });
        let node = json!({ "metadata": { "name": "n1" }, "status": { "conditions": [ready] } });
        objects.put("v1", "nodes", node);
        // Until its node says that it has ended.
        objects.change("pods", &namespace, &pod, |pod| {
            pod["spec"]["nodeName"] = json!("n1");
            pod["metadata"]["finalizers"] = json!(["batch.kubernetes.io/job-tracking"]);
        });
        objects.change("persistentvolumeclaims", &namespace, &claim, |claim| {
            claim["metadata"]["finalizers"] = json!(["kubernetes.io/pvc-protection"]);
        });
    });
    let operation = world.delete(tenant.id, false).await;
    world.clock.advance(jiff::SignedDuration::from_mins(1));
    let words = ["node n1", "not Ready", "Kubelet stopped posting", "--force"];
    let is_node = async |world: &World| says(world, &operation, StepState::Blocked, &words).await;
    world.until("the node is named", is_node).await;
    world.host.objects(|objects| {
        objects.change("pods", &namespace, &pod, |pod| pod["metadata"]["finalizers"] = json!([]));
        objects.remove("pods", &namespace, &pod);
    });
    let words = [claim.as_str(), "kubernetes.io/pvc-protection", "--force"];
    let is_claim = async |world: &World| says(world, &operation, StepState::Running, &words).await;
    world.until("the claim is named with its finalizer", is_claim).await;
    world.host.objects(|objects| {
        objects.change("persistentvolumeclaims", &namespace, &claim, |claim| {
            claim["metadata"]["finalizers"] = json!([]);
        });
        objects.remove("persistentvolumeclaims", &namespace, &claim);
    });
    world.until("it is gone", async |world| world.is_gone(tenant.id).await).await;
    controllers.stop().await;
}
