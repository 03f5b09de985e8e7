//! A tenant one of whose own nodes is off because somebody asked for that.

use crate::world::World;
use domain::{
    Condition, ConditionKind, ConditionStatus, NodeId, NodeShape, PlanName, PowerChange, Scope,
    TenantId, TenantName,
};
use store::NodeEnd;

async fn attached(world: &World, tenant: TenantId) -> NodeId {
    let attached = world.store.node_attach(tenant, NodeShape::S).await.expect("writable");
    let (node, attach) = attached.expect("it pays for one more");
    world.store.node_end(&attach, NodeEnd::Ready).await.expect("it is open");
    node.id
}

async fn told(world: &World, tenant: TenantId) -> Option<Condition> {
    let tenant = world.tenant(tenant).await.expect("it is there");
    tenant.conditions.get(ConditionKind::NodesReady).cloned()
}

#[tokio::test]
async fn a_node_that_is_off_on_purpose_makes_no_tenant_unwell_and_is_named() {
    let world = World::new().await;
    let name = TenantName::parse("/name", "acme").expect("a name");
    let plan = PlanName::DedicatedS;
    let made = world.store.tenant_create(&world.proof(Scope::Platform), name, plan, 2, None).await;
    let tenant = made.expect("the name is free").value.0.id;
    let (node, _) = (attached(&world, tenant).await, attached(&world, tenant).await);
    let controllers = world.start();
    world.until("the tenant is ready", async |world| world.is_ready(tenant).await).await;
    assert_eq!(told(&world, tenant).await.expect("told").reason, "Ready");
    controllers.stop().await;

    let proof = world.proof(Scope::tenant(tenant));
    let stop = world.store.node_power(&proof, node, PowerChange::Stop).await.expect("it is ready");
    world.store.node_end(&stop, NodeEnd::Stopped).await.expect("it is open");
    let controllers = world.start();
    let is_named = async |world: &World| {
        told(world, tenant).await.is_some_and(|told| told.reason == "SwitchedOff")
    };
    world.until("it is told", is_named).await;
    let condition = told(&world, tenant).await.expect("told");
    assert_eq!(condition.status, ConditionStatus::True, "{condition:?}");
    let name = world.store.node_get(node).await.expect("readable").expect("it is there").name;
    let message = format!("1 of 2 nodes are proven; {name} is stopped, as somebody asked");
    assert_eq!(condition.message, message);
    assert!(world.is_ready(tenant).await, "as its owner wants it");
    controllers.stop().await;
}
