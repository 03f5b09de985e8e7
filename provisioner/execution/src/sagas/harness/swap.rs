//! What copying left, whatever has become of those who wanted it.

use super::{
    time::quickly,
    volumes::{node_of, provision},
    world::{Beginning, World},
};
use crate::{api_server::ApiServer, volumes::Leftovers};
use domain::PlanName;
use planning::volume::{IN, Swap, namespace, render_namespace};
use serde_json::{Value, json};

/// The claim on the host.
const CLAIM: &str = "data-x-default-x-acme";

fn claim(namespace: &str, name: &str) -> Value {
    json!({ "metadata": { "namespace": namespace, "name": name }, "spec": {} })
}

/// A world in which it is written down what replaces what, and both are there.
fn begun(world: &World) {
    let cluster = &world.tenant.cluster;
    let (own, copies) = (cluster.host_namespace(), namespace(cluster));
    world.host.objects(|objects| {
        objects.put("v1", "namespaces", render_namespace(cluster));
        let mut made = Vec::new();
        for (namespace, name, node) in [(&own, CLAIM, "old"), (&copies, IN, "new")] {
            objects.put("v1", "nodes", json!({ "metadata": { "name": node } }));
            objects.put("v1", "persistentvolumeclaims", claim(namespace, name));
            let found = objects.get("persistentvolumeclaims", namespace, name).cloned();
            let found = found.expect("it was just made");
            provision(objects, &world.disks, &found, node, "kept");
            let volumes = objects.list("persistentvolumes");
            let volume = volumes.into_iter().find(|volume| node_of(volume) == node);
            made.push((volume.expect("it was just made"), found["metadata"]["uid"].clone()));
        }
        let [(old, _), (copy, gone)] = &made[..] else { unreachable!("there are two") };
        let swap = Swap {
            old: old.clone(),
            copy: copy.clone(),
            claim: CLAIM.to_owned(),
            gone: gone.as_str().unwrap_or_default().to_owned(),
        };
        objects.put("v1", "configmaps", swap.render(cluster));
    });
}

/// Goes on with it for as long as anything is left. What was waited for last, if it comes to no end.
async fn tidied(world: &World) -> Option<String> {
    let cx = world.process();
    let host = ApiServer::host(cx.host.client());
    let mut story = None;
    for _ in 0..60 {
        let left = Leftovers { host: &host, cluster: &world.tenant.cluster, now: cx.clock.now() };
        story = left.tidy().await.expect("the host answers");
        story.as_ref()?;
    }
    story
}

#[test]
fn whoever_wants_the_volume_no_more_is_not_waited_for_and_no_folder_is_left() {
    quickly(async {
        let beginning = Beginning::new().await;
        for has_another in [false, true] {
            let world = World::of(&beginning, PlanName::Pro, 1).await;
            begun(&world);
            let namespace = world.tenant.cluster.host_namespace();
            world.host.objects(|objects| {
                objects.remove("persistentvolumeclaims", &namespace, CLAIM);
                if has_another {
                    objects.put("v1", "persistentvolumeclaims", claim(&namespace, CLAIM));
                }
            });
            assert_eq!(tidied(&world).await, None, "another claim: {has_another}");
            assert_eq!(world.disks.all().keys().collect::<Vec<_>>(), Vec::<&String>::new());
            world.host.objects(|objects| {
                assert_eq!(objects.list("persistentvolumes"), Vec::<Value>::new());
            });
        }
    });
}

#[test]
fn a_copy_is_not_waited_for_whose_node_is_gone() {
    quickly(async {
        let world = World::of(&Beginning::new().await, PlanName::Pro, 1).await;
        let cluster = &world.tenant.cluster;
        world.host.objects(|objects| {
            objects.put("v1", "namespaces", render_namespace(cluster));
            let copies = namespace(cluster);
            objects.put("v1", "persistentvolumeclaims", claim(&copies, IN));
            let made = objects.get("persistentvolumeclaims", &copies, IN).cloned();
            provision(
                objects,
                &world.disks,
                &made.expect("it was just made"),
                "lost",
                "half of it",
            );
        });
        assert_eq!(tidied(&world).await, None);
        world.host.objects(|objects| {
            assert_eq!(objects.list("persistentvolumes"), Vec::<Value>::new());
        });
    });
}
