//! A host that cannot keep what a plan promises.

use crate::world::World;
use domain::{ConditionKind, ConditionStatus, StepState};
use execution::Settings;
use planning::{HostSettings, UserNamespaces};

#[tokio::test]
async fn a_tenant_is_not_made_where_its_pods_would_lack_the_user_namespaces_of_its_plan() {
    let mut world = World::new().await;
    world.cx.settings = Settings::new(HostSettings {
        user_namespaces: UserNamespaces::Unavailable,
        ..HostSettings::clone(&world.cx.settings.now())
    });
    let controllers = world.start();
    let tenant = world.create("acme").await;
    let is_refused = async |world: &World| {
        let tenant = world.tenant(tenant.id).await.expect("it is there");
        let condition = tenant.conditions.get(ConditionKind::NamespaceReady).cloned();
        condition.is_some_and(|condition| {
            condition.status == ConditionStatus::False
                && condition.reason == "UserNamespacesUnavailable"
                && condition.message.contains("host_cluster.user_namespaces")
        })
    };
    world.until("the refusal and the way out are told", is_refused).await;
    let operation = world.store.operation_open(tenant.id).await.expect("answers").expect("there");
    assert_eq!(operation.steps[0].state, StepState::Blocked, "{operation:?}");
    let changes = execution::explain(&world.cx, tenant.id).await.expect("an explanation");
    assert_eq!(changes, [], "nothing would be made");
    let namespace = tenant.cluster.host_namespace();
    let is_of_tenant = |path: &str| path.contains(namespace.as_str());
    let writes = world.host.writes().into_iter().filter(|made| is_of_tenant(&made.path));
    assert_eq!(writes.collect::<Vec<_>>(), [], "nothing is made on the host");
    world.delete(tenant.id, false).await;
    world.until("it can be deleted", async |world| world.is_gone(tenant.id).await).await;
    controllers.stop().await;
}
