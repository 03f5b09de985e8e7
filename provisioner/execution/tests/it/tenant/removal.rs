//! What a removal does not touch, and what it says when it takes long.

use crate::world::World;
use domain::{Operation, OperationState, StepState};
use http::Method;
use serde_json::json;

#[tokio::test]
async fn not_even_force_touches_a_namespace_of_somebody_else() {
    let world = World::new().await;
    let tenant = world.create("acme").await;
    let namespace = tenant.cluster.host_namespace();
    world.host.objects(|objects| {
        objects.put("v1", "namespaces", json!({ "metadata": { "name": namespace } }));
        let metadata = json!({ "name": "theirs", "namespace": namespace });
        objects.put("v1", "persistentvolumeclaims", json!({ "metadata": metadata }));
    });
    let operation = world.delete(tenant.id, true).await;
    let controllers = world.start();
    world.until("the removal has ended", async |world| world.is_gone(tenant.id).await).await;
    controllers.stop().await;
    let deletions = world.host.writes().into_iter().filter(|made| made.method == Method::DELETE);
    assert_eq!(deletions.collect::<Vec<_>>(), []);
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
