//! Whether a tenant's own nodes are its own: who runs on them, and whether it runs elsewhere.

use crate::{
    pod::{is_alive, name, text},
    syncer::SYNCED,
};
use domain::{Exclusivity, NodeName};
use jiff::Timestamp;
use serde_json::Value;

/// Where the host cluster's own pods are, and where K3s keeps tokens and passwords of nodes.
pub const SYSTEM: &str = "kube-system";

/// Judges what one look has found. `on_nodes` are all pods that are placed on the tenant's `nodes`, `in_namespace` all
/// pods of its `namespace` on the host.
#[must_use]
pub fn judge(
    nodes: &[NodeName],
    namespace: &str,
    on_nodes: &[Value],
    in_namespace: &[Value],
    at: Timestamp,
) -> Exclusivity {
    let (mut system, mut foreign) = (Vec::new(), Vec::new());
    for pod in on_nodes.iter().filter(|pod| is_alive(pod)) {
        let of = text(pod, "/metadata/namespace");
        if of == namespace && is_workload(pod) {
            continue;
        }
        if of == SYSTEM { &mut system } else { &mut foreign }.push(name(pod));
    }
    let is_elsewhere = |pod: &&Value| {
        let place = text(pod, "/spec/nodeName");
        is_alive(pod)
            && is_workload(pod)
            && !place.is_empty()
            && !nodes.iter().any(|node| node.as_str() == place)
    };
    let elsewhere = in_namespace.iter().filter(is_elsewhere).map(name).collect();
    Exclusivity { at, nodes: nodes.to_vec(), system, foreign, elsewhere }
}

/// Whether a pod in a tenant's namespace is the tenant's: its control plane runs on the host's own nodes.
fn is_workload(pod: &Value) -> bool {
    pod.pointer("/metadata/labels").is_some_and(|labels| labels.get(SYNCED).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(namespace: &str, name: &str, node: &str, is_workload: bool) -> Value {
        let labels =
            if is_workload { json!({ SYNCED: "wa" }) } else { json!({ "app": "vcluster" }) };
        json!({
            "metadata": { "namespace": namespace, "name": name, "labels": labels },
            "spec": { "nodeName": node },
            "status": { "phase": "Running" },
        })
    }

    fn judged(on_nodes: &[Value], in_namespace: &[Value]) -> Exclusivity {
        let nodes = [NodeName::stored("wn-a".to_owned())];
        judge(&nodes, "warren-wa", on_nodes, in_namespace, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_tenant_on_its_own_nodes_with_its_control_plane_elsewhere_is_as_it_should_be() {
        let (own, plane) =
            (pod("warren-wa", "a", "wn-a", true), pod("warren-wa", "wa-0", "host", false));
        let helper = pod("kube-system", "helper", "wn-a", false);
        let waiting = pod("warren-wa", "b", "", true);
        let found = judged(&[own.clone(), helper], &[own, plane, waiting]);
        assert!(found.holds(), "{found:?}");
        assert_eq!(found.system, ["kube-system/helper"]);
    }

    #[test]
    fn somebody_elses_pod_and_an_own_one_elsewhere_are_named() {
        let stranger = pod("warren-wb", "theirs", "wn-a", true);
        let stray = pod("warren-wa", "ours", "node1", true);
        let found = judged(&[stranger], std::slice::from_ref(&stray));
        assert!(!found.holds());
        assert_eq!(found.foreign, ["warren-wb/theirs"]);
        assert_eq!(found.elsewhere, ["warren-wa/ours"]);
        let mut over = stray;
        over["status"]["phase"] = "Succeeded".into();
        assert!(judged(&[], &[over]).holds(), "what is over runs nowhere");
    }

    #[test]
    fn a_control_plane_on_the_tenants_nodes_is_not_where_it_belongs() {
        let found = judged(&[pod("warren-wa", "wa-0", "wn-a", false)], &[]);
        assert_eq!(found.foreign, ["warren-wa/wa-0"]);
    }
}
