//! A host that is away or says no when Warren starts, and wishes that come while something fails.

use crate::{
    fake::{Fault, Objects},
    world::{PATIENCE, World},
};
use domain::{ConditionKind, ConditionStatus, Tenant, TenantId};
use execution::Obstacle;
use http::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

const POLICIES: &str = "/mutatingadmissionpolicies";

/// Waits until a tenant's first condition has a status and a message that names what was tried.
async fn told(world: &World, tenant: TenantId, status: ConditionStatus, part: &str) {
    let is_told = async |world: &World| {
        let tenant = world.tenant(tenant).await.expect("it is there");
        let condition = tenant.conditions.get(ConditionKind::NamespaceReady).cloned();
        condition.is_some_and(|told| told.status == status && told.message.contains(part))
    };
    world.until(&format!("the tenant is told: {part}"), is_told).await;
}

#[tokio::test]
async fn a_host_that_refuses_the_policies_is_named_and_everything_goes_on_when_it_does_not() {
    let world = World::new().await;
    let controllers = world.start();
    let leaves = world.ready("leaves").await;
    let stays = world.ready("stays").await;
    controllers.stop().await;

    world.host.fail(Method::GET, POLICIES, Fault::Refuse(403, "Forbidden"), usize::MAX);
    let controllers = world.start();
    let new = world.create("new").await;
    let part = "list MutatingAdmissionPolicy * on the host cluster: 403";
    for tenant in [&new, &stays] {
        told(&world, tenant.id, ConditionStatus::False, part).await;
    }
    let namespace = new.cluster.host_namespace();
    let is_made = |objects: &mut Objects| objects.get("namespaces", "", &namespace).is_some();
    assert!(!world.host.objects(is_made), "nothing is made where no policy holds");
    world.delete(leaves.id, false).await;
    world.until("the removal is done", async |world| world.is_gone(leaves.id).await).await;

    world.host.heal();
    for tenant in [&new, &stays] {
        world.until("it is ready", async |world| world.is_ready(tenant.id).await).await;
    }
    controllers.stop().await;
}

#[tokio::test]
async fn a_host_that_is_away_leaves_nobody_without_a_word_and_everything_goes_on_by_itself() {
    let world = World::new().await;
    for method in [Method::GET, Method::POST, Method::PATCH, Method::DELETE] {
        world.host.fail(method, "/", Fault::Break, usize::MAX);
    }
    let controllers = world.start();
    let tenant = world.create("acme").await;
    let part = "list ValidatingAdmissionPolicy * on the host cluster: no answer";
    told(&world, tenant.id, ConditionStatus::Unknown, part).await;
    world.host.heal();
    world.until("it is ready", async |world| world.is_ready(tenant.id).await).await;
    controllers.stop().await;
}

#[tokio::test]
async fn while_nobody_knows_the_host_tenants_are_told_and_removals_run() {
    let world = World::new().await;
    let controllers = world.start();
    let leaves = world.ready("leaves").await;
    controllers.stop().await;
    let (tell, obstacle) = watch::channel(None);
    let before = world.host.writes().len();
    let controllers = execution::start_without_host(&world.cx, obstacle, PATIENCE);
    let stays = world.create("stays").await;
    for number in 1..3 {
        let message = format!("list EndpointSlice default/*: attempt {number}");
        let reason = "Forbidden".to_owned();
        tell.send_replace(Some(Obstacle { reason, message: message.clone(), is_refusal: true }));
        told(&world, stays.id, ConditionStatus::False, &message).await;
    }
    assert_eq!(world.host.writes().len(), before, "nothing is rendered");
    world.delete(leaves.id, false).await;
    world.until("the removal is done", async |world| world.is_gone(leaves.id).await).await;
    controllers.stop().await;
}

#[tokio::test]
async fn a_deletion_that_comes_while_a_look_fails_does_not_wait_for_the_next_attempt() {
    let world = World::new().await;
    world.host.fail(Method::PATCH, "/resourcequotas/", Fault::HoldThenPutOff, 1);
    let controllers = world.start();
    let tenant = world.create("acme").await;
    let is_asked = async |world: &World| {
        let made = world.host.made();
        made.iter()
            .any(|made| made.method == Method::PATCH && made.path.contains("/resourcequotas/"))
    };
    world.until("the look is under way", is_asked).await;
    world.delete(tenant.id, false).await;
    // Now it fails, and the host wants nobody back for a minute.
    world.host.heal();
    world.until("the tenant is gone", async |world| world.is_gone(tenant.id).await).await;
    controllers.stop().await;
}

/// Which single addresses the tenant's policy denies beside the sample's own, and what it lets its control plane reach.
fn addresses(world: &World, tenant: &Tenant) -> (Vec<String>, Vec<String>) {
    let namespace = tenant.cluster.host_namespace();
    let policy = |name: &str| {
        let found =
            |objects: &mut Objects| objects.get("networkpolicies", &namespace, name).cloned();
        world.host.objects(found).expect("a ready tenant has it")
    };
    let texts = |values: Vec<&Value>| -> Vec<String> {
        values.into_iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
    };
    let of = |policy: &Value, path: &str| policy.pointer(path).and_then(Value::as_array).cloned();
    let (tenants, control_plane) = (policy("warren-tenant"), policy("warren-control-plane"));
    let denied = of(&tenants, "/spec/egress/3/to/0/ipBlock/except").expect("blocks");
    let is_host = |block: &str| block.ends_with("/32") && !block.starts_with("10.77.");
    let denied = denied.iter().filter(|block| block.as_str().is_some_and(is_host));
    let egress = of(&control_plane, "/spec/egress").expect("rules");
    let servers = egress.iter().filter_map(|rule| rule.pointer("/to/0/ipBlock/cidr"));
    (texts(denied.collect()), texts(servers.collect()))
}

#[tokio::test]
async fn whoever_joins_the_host_is_closed_to_tenants_and_open_to_control_planes() {
    let world = World::new().await;
    let controllers = world.start();
    let tenant = world.ready("acme").await;
    let put = |plural: &'static str, api: &'static str, object: Value| {
        world.host.objects(|objects| objects.put(api, plural, object));
    };
    let node = |addresses: &[(&str, &str)]| {
        let addresses: Vec<Value> = addresses
            .iter()
            .map(|(kind, address)| json!({ "type": kind, "address": address }))
            .collect();
        put(
            "nodes",
            "v1",
            json!({ "metadata": { "name": "rented" }, "status": { "addresses": addresses } }),
        );
    };
    let slice = |addresses: &[&str]| {
        put(
            "endpointslices",
            "discovery.k8s.io/v1",
            json!({
                "metadata": { "name": "kubernetes", "namespace": "default",
                    "labels": { "kubernetes.io/service-name": "kubernetes" } },
                "addressType": "IPv4",
                "endpoints": [{ "addresses": addresses }],
                "ports": [{ "port": 6443 }],
            }),
        );
    };
    let until = async |denied: &[&str], servers: &[&str]| {
        let what = format!("denied are {denied:?}, API servers {servers:?}");
        let is_so = async |world: &World| addresses(world, &tenant) == (own(denied), own(servers));
        world.until(&what, is_so).await;
    };

    node(&[("Hostname", "rented"), ("InternalIP", "10.1.2.3"), ("ExternalIP", "25.1.2.3")]);
    until(&["25.1.2.3/32"], &["10.77.0.11/32"]).await;
    slice(&["25.1.2.3", "25.1.2.4"]);
    let both = ["25.1.2.3/32", "25.1.2.4/32"];
    until(&both, &both).await;
    // It has moved, and none of the API servers is ready for a moment.
    node(&[("ExternalIP", "25.1.2.5")]);
    slice(&[]);
    let denied = ["25.1.2.3/32", "25.1.2.4/32", "25.1.2.5/32"];
    until(&denied, &both).await;
    world.host.objects(|objects| objects.remove("nodes", "", "rented"));
    slice(&["25.1.2.4"]);
    until(&["25.1.2.4/32"], &["25.1.2.4/32"]).await;
    controllers.stop().await;
}

fn own(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
