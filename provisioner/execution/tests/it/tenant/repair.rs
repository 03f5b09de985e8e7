//! What has to be deleted first, and what is put right around something that is damaged.

use crate::world::World;
use domain::{ConditionKind, Tenant};
use http::Method;
use serde_json::json;

async fn is_damaged(world: &World, tenant: &Tenant) -> bool {
    let tenant = world.tenant(tenant.id).await.expect("it is there");
    tenant.conditions.get(ConditionKind::NamespaceReady).is_some_and(|c| c.reason == "Damaged")
}

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
            found.is_some_and(|found| found["roleRef"]["name"] == "warren-control-plane")
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

#[tokio::test]
async fn around_what_is_damaged_everything_but_the_control_plane_is_put_right() {
    let world = World::new().await;
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    let namespace = tenant.cluster.host_namespace();
    let (service, account) = (tenant.cluster.to_string(), format!("vc-{}", tenant.cluster));
    let writes = world.host.writes().len();
    world.host.objects(|objects| {
        objects.change("services", &namespace, &service, |service| {
            service["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
        });
        objects.remove("services", &namespace, &service);
        objects.remove("networkpolicies", &namespace, "warren-default-deny");
        objects.change("resourcequotas", &namespace, "warren-tenant", |quota| {
            quota["spec"]["hard"]["pods"] = json!("9999");
        });
        objects.change("rolebindings", &namespace, &account, |binding| {
            binding["subjects"] = json!([]);
        });
        objects.change("statefulsets", &namespace, &service, |set| {
            set["spec"]["template"]["spec"]["serviceAccountName"] = json!("theirs");
        });
    });
    let is_guarded = async |world: &World| {
        world.host.objects(|objects| {
            let quota = objects.get("resourcequotas", &namespace, "warren-tenant");
            let binding = objects.get("rolebindings", &namespace, &account);
            objects.get("networkpolicies", &namespace, "warren-default-deny").is_some()
                && quota.is_some_and(|quota| quota["spec"]["hard"]["pods"] != "9999")
                && binding.is_some_and(|binding| binding["subjects"] != json!([]))
        })
    };
    world.until("policy, quota and binding are as they were", is_guarded).await;
    world.until("the damage is told", async |world| is_damaged(world, &tenant).await).await;
    let changes = execution::explain(&world.cx, tenant.id).await.expect("an explanation");
    controllers.stop().await;
    let writes = &world.host.writes()[writes..];
    for part in ["/statefulsets/", "/services/"] {
        let is_left_alone = writes.iter().all(|made| !made.path.contains(part));
        assert!(is_left_alone, "neither what is damaged nor what depends on it: {writes:?}");
    }
    let told: Vec<String> =
        changes.iter().map(|change| format!("{:?} {}", change.action, change.key)).collect();
    assert_eq!(told, [format!("Damage Service {namespace}/{service}")], "no more would be done");
}

#[tokio::test]
async fn a_control_plane_whose_data_is_going_is_not_ended_for_a_new_token() {
    let world = World::new().await;
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    controllers.stop().await;
    let namespace = tenant.cluster.host_namespace();
    let account = format!("vc-{}", tenant.cluster);
    let (pod, claim) = (format!("{}-0", tenant.cluster), format!("data-{}-0", tenant.cluster));
    // Somebody deletes account and claim; only the pod, which is older than both, still holds the data.
    world.host.objects(|objects| {
        objects.change("pods", &namespace, &pod, |pod| {
            pod["metadata"]["creationTimestamp"] = json!("2027-01-01T08:00:00Z");
        });
        objects.change("persistentvolumeclaims", &namespace, &claim, |claim| {
            claim["metadata"]["finalizers"] = json!(["kubernetes.io/pvc-protection"]);
        });
        objects.remove("persistentvolumeclaims", &namespace, &claim);
        objects.remove("serviceaccounts", &namespace, &account);
    });
    let controllers = world.start();
    let has_account = async |world: &World| {
        world.host.objects(|o| o.get("serviceaccounts", &namespace, &account).is_some())
    };
    world.until("the account is back", has_account).await;
    world.until("the damage is told", async |world| is_damaged(world, &tenant).await).await;
    controllers.stop().await;
    let ended = world.host.writes().into_iter().filter(|made| made.method == Method::DELETE);
    assert_eq!(ended.collect::<Vec<_>>(), [], "as long as the pod is there its data can be saved");
}
