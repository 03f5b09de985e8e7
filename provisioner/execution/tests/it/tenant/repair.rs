//! What has to be deleted first.

use crate::world::World;
use serde_json::json;

#[tokio::test]
async fn what_can_only_be_deleted_and_made_anew_is_back_at_once() {
    let world = World::new().await;
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    let namespace = tenant.cluster.host_namespace();
    let binding = format!("vc-{}", tenant.cluster);
    let certs = format!("{}-certs", tenant.cluster);
    // As `kubectl replace --force` does it: gone and there again before anybody looks.
    world.host.objects(|objects| {
        objects.change("rolebindings", &namespace, &binding, |binding| {
            binding["roleRef"]["name"] = json!("theirs");
        });
    });
    let is_bound = async |world: &World| {
        world.host.objects(|objects| {
            let found = objects.get("rolebindings", &namespace, &binding);
            found.is_some_and(|found| found["roleRef"]["name"] == binding.as_str())
        })
    };
    world.until("the role binding grants Warren's role again", is_bound).await;
    world.host.objects(|objects| {
        objects.change("secrets", &namespace, &certs, |secret| {
            secret["type"] = json!("example.com/theirs");
        });
    });
    let has_keys = async |world: &World| {
        world.host.objects(|objects| {
            let found = objects.get("secrets", &namespace, &certs);
            found.is_some_and(|found| found["type"] != "example.com/theirs")
        })
    };
    world.until("the authorities are back", has_keys).await;
    controllers.stop().await;
}
