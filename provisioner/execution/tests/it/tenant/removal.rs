//! What a removal does not touch, and what it says when it takes long.

use crate::world::World;
use domain::OperationState;
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
