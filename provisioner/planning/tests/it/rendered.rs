//! What is rendered, as snapshots, and what must be true of all of it.

use crate::fixture::{CLUSTER, authority, bundle, everything, host, readable, spec};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{Bytes, Millicores, Plan, PlanName};
use planning::{
    Absence, HostSettings, Key, Kind, KubernetesDelivery, Rendered, UserNamespaces, object,
    render_baseline, render_cluster, render_host_policies,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn check(name: &str, objects: &[Rendered]) {
    let bodies: Vec<Value> = objects.iter().map(readable).collect();
    insta::assert_yaml_snapshot!(name, bodies);
}

#[test]
fn the_objects_of_a_tenant_on_the_host_are_as_they_were() {
    let bundle = bundle(&host());
    check("namespace", &[bundle.namespace]);
    check("network-policies", &bundle.network_policies);
    check("limits-and-quota", &[bundle.limit_range, bundle.quota]);
    check("accounts", &bundle.accounts);
    check("rights", &[bundle.role_binding]);
    check("services", &[bundle.service, bundle.headless_service]);
    check("secrets", &[bundle.certs, bundle.config]);
    check("control-plane", &[bundle.stateful_set]);
}

#[test]
fn the_control_plane_with_an_init_container_and_a_class_is_as_it_was() {
    let mut host = host();
    host.kubernetes_delivery = KubernetesDelivery::InitContainer;
    host.storage_class = Some("fast".to_owned());
    check("control-plane-init-container", &[bundle(&host).stateful_set]);
}

#[test]
fn the_policies_of_the_host_are_as_they_were() {
    check("host-policies", &render_host_policies(&host()));
}

#[test]
fn the_baseline_of_a_tenant_is_as_it_was() {
    check("baseline", &render_baseline(&host()));
}

#[test]
fn the_syncer_gets_a_whole_configuration_with_everything_filled_in() {
    let config = config(&bundle(&host()).config);
    insta::assert_yaml_snapshot!("syncer-configuration", config);
    let standard = "policies/podSecurityStandard";
    assert_eq!(config.pointer(&format!("/{standard}")), Some(&json!("restricted")));
    for off in [
        "/telemetry/enabled",
        "/sync/toHost/networkPolicies/enabled",
        "/sync/fromHost/nodes/enabled",
    ] {
        assert_eq!(config.pointer(off), Some(&json!(false)), "{off}");
    }
    let sans = config.pointer("/controlPlane/proxy/extraSANs").expect("names");
    assert!(sans.to_string().contains(&format!("{CLUSTER}.warren-{CLUSTER}.svc.cluster.local")));
}

fn config(secret: &Rendered) -> Value {
    let text = secret.body["data"]["config.yaml"].as_str().expect("text");
    serde_json::from_slice(&STANDARD.decode(text).expect("base64")).expect("JSON")
}

#[test]
fn another_configuration_restarts_the_control_plane() {
    let mut other = host();
    other.images.coredns = "lab.local/coredns/coredns:2".to_owned();
    let hash = |host: &HostSettings| {
        let set = bundle(host).stateful_set.body;
        set["spec"]["template"]["metadata"]["annotations"]["vClusterConfigHash"].clone()
    };
    assert_ne!(hash(&host()), hash(&other));
    assert_eq!(hash(&host()), hash(&host()));
}

#[test]
fn every_object_says_whose_it_is_and_what_it_was_rendered_as() {
    for object in everything() {
        let labels = &object.body["metadata"]["labels"];
        assert_eq!(labels[object::MANAGED_BY], "warren", "{}", object.key);
        assert_eq!(object.hash().map(str::len), Some(64), "{}", object.key);
        assert_eq!(Key::of(object.key.kind, &object.body).as_ref(), Some(&object.key));
        let found = Kind::find(
            object.body["apiVersion"].as_str().expect("text"),
            object.body["kind"].as_str().expect("text"),
        );
        assert_eq!(found, Some(object.key.kind));
    }
    for object in bundle(&host()).in_order() {
        let labels = &object.body["metadata"]["labels"];
        assert_eq!(labels[object::CLUSTER_LABEL], CLUSTER, "{}", object.key);
    }
}

#[test]
fn no_address_is_rendered_twice_and_paths_are_those_of_the_api() {
    let objects = everything();
    let keys: BTreeSet<&Key> = objects.iter().map(|object| &object.key).collect();
    assert_eq!(keys.len(), objects.len());
    let path = |name: &str, kind: Kind| {
        let object = objects.iter().find(|o| o.key.kind == kind && o.key.name == name);
        object.map(|object| object.key.path())
    };
    let namespace = format!("warren-{CLUSTER}");
    assert_eq!(
        path(CLUSTER, Kind::StatefulSet),
        Some(format!("/apis/apps/v1/namespaces/{namespace}/statefulsets/{CLUSTER}"))
    );
    assert_eq!(path(&namespace, Kind::Namespace), Some(format!("/api/v1/namespaces/{namespace}")));
}

#[test]
fn what_holds_data_is_never_made_a_second_time() {
    let damaged = |was_ready| -> Vec<Kind> {
        let spec = spec(PlanName::Starter, was_ready);
        let objects = render_cluster(&spec, &host(), &authority()).in_order();
        objects
            .iter()
            .filter(|object| matches!(object.absence, Absence::Damage(_)))
            .map(|object| object.key.kind)
            .collect()
    };
    assert_eq!(damaged(false), []);
    assert_eq!(damaged(true), [Kind::Namespace, Kind::Service, Kind::PersistentVolumeClaim]);
}

#[test]
fn closing_comes_before_opening_and_the_control_plane_last() {
    let kinds: Vec<Kind> =
        bundle(&host()).in_order().iter().map(|object| object.key.kind).collect();
    let at = |kind| kinds.iter().position(|other| *other == kind).expect("is rendered");
    assert_eq!(at(Kind::Namespace), 0);
    assert_eq!(at(Kind::NetworkPolicy), 1);
    assert!(at(Kind::Service) < at(Kind::Secret));
    assert_eq!(at(Kind::StatefulSet), kinds.len() - 1);
}

#[test]
fn only_a_plan_that_says_so_goes_without_user_namespaces() {
    let (mut host, mut plan) = (host(), spec(PlanName::Starter, false).plan);
    assert!(!host.lacks_user_namespaces(&plan), "the host forces them");
    host.user_namespaces = UserNamespaces::Unavailable;
    plan.may_lack_user_namespaces = false;
    assert!(host.lacks_user_namespaces(&plan));
    plan.may_lack_user_namespaces = true;
    assert!(!host.lacks_user_namespaces(&plan), "the plan does without");
}

#[test]
fn a_host_without_user_namespaces_neither_forces_nor_demands_them() {
    let mut host = host();
    assert!(object::list(&render_host_policies(&host)).to_string().contains("hostUsers"));
    host.user_namespaces = UserNamespaces::Unavailable;
    assert!(!object::list(&render_host_policies(&host)).to_string().contains("hostUsers"));
}

#[test]
fn debug_output_shows_no_secret() {
    let bundle = bundle(&host());
    let text = format!("{bundle:?}");
    assert!(!text.contains("TOP-SECRET") && !text.contains(&STANDARD.encode("TOP-SECRET-KEY")));
}

proptest! {
    #[test]
    fn the_quota_is_the_plan_and_its_overhead(cpu in 1..100_000u64, memory in 1..1u64 << 44, storage in 1..1u64 << 44, pods in 1..5000u64) {
        let mut spec = spec(PlanName::Starter, false);
        spec.plan.quota.cpu = Millicores(cpu);
        spec.plan.quota.memory = Bytes(memory);
        spec.plan.quota.storage = Bytes(storage);
        spec.plan.quota.pods = pods;
        let Plan { quota, overhead, .. } = spec.plan.clone();
        let rendered = render_cluster(&spec, &host(), &authority()).quota.body;
        let hard = |name: &str| rendered["spec"]["hard"][name].as_str().expect("text");
        prop_assert_eq!(Millicores::parse(hard("limits.cpu")), Some(Millicores(quota.cpu.0 + overhead.cpu.0)));
        prop_assert_eq!(Bytes::parse(hard("limits.memory")), Some(Bytes(quota.memory.0 + overhead.memory.0)));
        prop_assert_eq!(Bytes::parse(hard("requests.storage")), Some(Bytes(quota.storage.0 + overhead.storage.0)));
        prop_assert_eq!(hard("pods").parse::<u64>().ok(), Some(quota.pods + overhead.pods));
        prop_assert_eq!(hard("services.nodeports"), "0");
        prop_assert_eq!(hard("services.loadbalancers"), "0");
    }
}
