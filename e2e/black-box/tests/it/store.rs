//! What a tenant's store starts with: the same as any Kubernetes cluster of this version.

use anyhow::{Context, Result, ensure};
use black_box::{Lab, TestTenant, until};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Kinds that an API server makes by itself, and the fields of each that say what it means.
const KINDS: [(&str, &[&str]); 5] = [
    ("clusterroles", &["rules", "aggregationRule"]),
    ("clusterrolebindings", &["roleRef", "subjects"]),
    ("roles", &["rules"]),
    ("rolebindings", &["roleRef", "subjects"]),
    ("priorityclasses", &["value", "globalDefault", "preemptionPolicy", "description"]),
];
/// What RBAC calls its own: `k8s.io/kubernetes`, plugin/pkg/auth/authorizer/rbac/bootstrappolicy.
const OWN_LABEL: &str = "kubernetes.io/bootstrapping";

#[test]
fn a_new_tenants_cluster_holds_what_kubernetes_itself_would_have_made() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "store")?;
    for (kind, fields) in KINDS {
        // The host's own API server started with an empty store.
        let all = lab.kubectl(&["get", kind, "-A", "-o", "json"])?.success()?;
        let ordinary = own(&serde_json::from_str(&all)?, fields)?;
        ensure!(!ordinary.is_empty(), "the host has {kind} of Kubernetes' own");
        // Roles that collect others' rules are filled by a controller, soon after.
        until(&format!("{kind} are as on the host"), 30, || {
            let ours = own(&tenant.objects(&["-A", kind])?, fields)?;
            let differ = |(name, what): &(&String, &Value)| ours.get(*name) != Some(*what);
            let missing: Vec<_> = ordinary.iter().filter(differ).collect();
            Ok(if missing.is_empty() && ours.len() == ordinary.len() {
                Ok(())
            } else {
                let other = missing.first().map(|(name, what)| (name, what, ours.get(*name)));
                Err(format!("{} here, {} there; {other:?}", ours.len(), ordinary.len()))
            })
        })?;
    }

    let system = |list: &Value| list["metadata"]["uid"].as_str().map(str::to_owned);
    let theirs = lab.kubectl(&["get", "namespace", "kube-system", "-o", "json"])?.success()?;
    let ours = system(&tenant.objects(&["namespace", "kube-system"])?);
    ensure!(
        ours.is_some() && ours != system(&serde_json::from_str(&theirs)?),
        "the identifier of a cluster is its own"
    );
    addresses_are_services(&tenant)
}

/// Each Service has its address, no address is anybody else's, and none had to be taken from somebody.
fn addresses_are_services(tenant: &TestTenant) -> Result<()> {
    let items = |list: &Value| list["items"].as_array().cloned().context("a list");
    let owner = |name: &Value, namespace: &Value| format!("{namespace}/{name}");
    let services = items(&tenant.objects(&["services", "-A"])?)?;
    let services: BTreeMap<String, String> = services
        .iter()
        .filter_map(|service| {
            let (metadata, address) =
                (&service["metadata"], service["spec"]["clusterIP"].as_str()?);
            let owner = owner(&metadata["name"], &metadata["namespace"]);
            (address != "None").then(|| (address.to_owned(), owner))
        })
        .collect();
    let addresses = items(&tenant.objects(&["ipaddresses.networking.k8s.io"])?)?;
    let addresses: BTreeMap<String, String> = addresses
        .iter()
        .filter_map(|address| {
            let parent = &address["spec"]["parentRef"];
            let name = address["metadata"]["name"].as_str()?;
            Some((name.to_owned(), owner(&parent["name"], &parent["namespace"])))
        })
        .collect();
    ensure!(!services.is_empty() && services == addresses, "{services:?} {addresses:?}");
    // Whoever looks after them hears of Services and of addresses by two watches: on a busy machine a new Service comes
    // before its address, which then counts as not allocated for a moment (`ipallocator-repair-controller`).
    let warnings = items(&tenant.objects(&["events", "-A", "--field-selector=type=Warning"])?)?;
    let is_repair = |event: &&Value| {
        let reason = event["reason"].as_str().unwrap_or_default();
        reason.starts_with("ClusterIP") && reason != "ClusterIPNotAllocated"
    };
    let repaired: Vec<_> = warnings.iter().filter(is_repair).collect();
    ensure!(repaired.is_empty(), "no address was repaired: {repaired:?}");
    Ok(())
}

/// What vCluster's DNS server brings under the same label.
const VCLUSTERS_OWN: &str = "system:coredns";

/// Kubernetes' own objects of a list: name to what it means.
fn own(list: &Value, fields: &[&str]) -> Result<BTreeMap<String, Value>> {
    let all = list["items"].as_array().context("a list")?;
    let own = all.iter().filter(|object| {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        object["metadata"]["labels"][OWN_LABEL] == "rbac-defaults" && name != VCLUSTERS_OWN
            || object["kind"] == "PriorityClass" && name.starts_with("system-")
    });
    Ok(own
        .map(|object| {
            let metadata = &object["metadata"];
            let name = format!("{}/{}", metadata["namespace"], metadata["name"]);
            let mut what: BTreeMap<&str, Value> =
                fields.iter().map(|field| (*field, object[*field].clone())).collect();
            what.insert("annotations", metadata["annotations"].clone());
            (name, json!(what))
        })
        .collect())
}
