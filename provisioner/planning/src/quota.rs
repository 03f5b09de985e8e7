//! What a tenant may use on the host, and what it uses.

use crate::{
    cluster::ClusterSpec,
    object::{Kind, Rendered},
};
use domain::{Bytes, Millicores, Plan, Share, Usage};
use serde_json::{Value, json};

/// The name of a tenant's quota and of its limit range.
pub const NAME: &str = "warren-tenant";

/// Limits of one pod that Warren adds to a tenant's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overhead {
    /// CPU.
    pub cpu: Millicores,
    /// Memory.
    pub memory: Bytes,
}

/// The pod of the control plane.
pub const CONTROL_PLANE: Overhead = Overhead { cpu: Millicores(2000), memory: Bytes::gibi(2) };
/// The pod of the DNS server. Two of it and the control plane fit into a plan's overhead, so that it can be replaced.
pub const DNS: Overhead = Overhead { cpu: Millicores(500), memory: Bytes::mebi(170) };

/// The plan's quota and its overhead together; counts of small objects leave room.
pub(crate) fn render_quota(spec: &ClusterSpec) -> Rendered {
    let Plan { quota, overhead, .. } = &spec.plan;
    let pods = quota.pods + overhead.pods;
    let hard = json!({
        "limits.cpu": Millicores(quota.cpu.0 + overhead.cpu.0).to_string(),
        "limits.memory": Bytes(quota.memory.0 + overhead.memory.0).to_string(),
        "requests.storage": Bytes(quota.storage.0 + overhead.storage.0).to_string(),
        "pods": pods.to_string(),
        "services": (50 + pods).to_string(),
        "services.nodeports": "0",
        "services.loadbalancers": "0",
        "secrets": (100 + 3 * pods).to_string(),
        "configmaps": (100 + 3 * pods).to_string(),
        "persistentvolumeclaims": (20 + pods).to_string(),
    });
    spec.object(Kind::ResourceQuota, NAME, json!({ "spec": { "hard": hard } }))
}

/// What a container gets that asks for nothing: the quota would refuse it otherwise.
pub(crate) fn render_limits(spec: &ClusterSpec) -> Rendered {
    spec.object(Kind::LimitRange, NAME, json!({ "spec": limits() }))
}

/// The same inside the tenant, where it can be seen.
pub(crate) fn limits() -> Value {
    json!({
        "limits": [{
            "type": "Container",
            "default": { "cpu": "500m", "memory": "512Mi", "ephemeral-storage": "4Gi" },
            "defaultRequest": { "cpu": "50m", "memory": "64Mi", "ephemeral-storage": "64Mi" },
            "max": { "ephemeral-storage": "16Gi" },
        }],
    })
}

/// A tenant's numbers from its quota on the host (the whole ResourceQuota); nothing before the host has counted.
///
/// The limits of Warren's own pods are fixed, so they can be told from the tenant's: of what is used, the first
/// [`CONTROL_PLANE`] and [`DNS`] are overhead.
#[must_use]
pub fn usage(quota: &Value, plan: &Plan) -> Option<Usage> {
    let used = quota.pointer("/status/used")?;
    let text = |name: &str| used.get(name).and_then(Value::as_str);
    let cpu = Millicores::parse(text("limits.cpu")?)?.0;
    let memory = Bytes::parse(text("limits.memory")?)?.0;
    let storage = Bytes::parse(text("requests.storage")?)?.0;
    let pods = text("pods")?.parse().ok()?;
    let (cpu, cpu_overhead) = split(cpu, CONTROL_PLANE.cpu.0 + DNS.cpu.0);
    let (memory, memory_overhead) = split(memory, CONTROL_PLANE.memory.0 + DNS.memory.0);
    let (storage, storage_overhead) = split(storage, plan.overhead.storage.0);
    let (pods, pods_overhead) = split(pods, 2);
    Some(Usage {
        cpu: Share {
            yours: Millicores(cpu),
            overhead: Millicores(cpu_overhead),
            limit: plan.quota.cpu,
        },
        memory: Share {
            yours: Bytes(memory),
            overhead: Bytes(memory_overhead),
            limit: plan.quota.memory,
        },
        storage: Share {
            yours: Bytes(storage),
            overhead: Bytes(storage_overhead),
            limit: plan.quota.storage,
        },
        pods: Share { yours: pods, overhead: pods_overhead, limit: plan.quota.pods },
    })
}

/// What is left for the tenant, and what is overhead.
fn split(used: u64, overhead: u64) -> (u64, u64) {
    (used.saturating_sub(overhead), used.min(overhead))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::PlanName;
    use proptest::prelude::*;

    #[test]
    fn a_new_tenant_uses_nothing_of_its_own() {
        let plan = Plan::current(PlanName::Starter);
        let quota = json!({ "status": { "used": {
            "limits.cpu": "2500m", "limits.memory": "2218Mi", "requests.storage": "5Gi", "pods": "2",
        } } });
        let usage = usage(&quota, &plan).expect("the host has counted");
        assert_eq!(usage.cpu.yours, Millicores(0));
        assert_eq!(usage.cpu.overhead, Millicores(2500));
        assert_eq!(usage.cpu.limit, plan.quota.cpu);
        assert_eq!(usage.memory.yours, Bytes(0));
        assert_eq!(usage.storage.yours, Bytes(0));
        assert_eq!((usage.pods.yours, usage.pods.overhead, usage.pods.limit), (0, 2, 20));
    }

    #[test]
    fn before_the_host_has_counted_there_are_no_numbers() {
        let plan = Plan::current(PlanName::Starter);
        assert_eq!(usage(&json!({ "spec": {} }), &plan), None);
        assert_eq!(usage(&json!({ "status": { "used": { "pods": "2" } } }), &plan), None);
    }

    #[test]
    fn control_plane_and_a_dns_server_in_replacement_fit_into_every_overhead() {
        for name in PlanName::ALL {
            let overhead = Plan::current(name).overhead;
            assert!(CONTROL_PLANE.cpu.0 + 2 * DNS.cpu.0 <= overhead.cpu.0, "{name}");
            assert!(CONTROL_PLANE.memory.0 + 2 * DNS.memory.0 <= overhead.memory.0, "{name}");
            assert!(overhead.pods >= 3, "{name}");
        }
    }

    proptest! {
        #[test]
        fn yours_and_overhead_add_up_to_what_is_used(cpu in 0..1_000_000u64, memory in 0..1u64 << 40, storage in 0..1u64 << 44, pods in 0..1000u64) {
            let plan = Plan::current(PlanName::Pro);
            let quota = json!({ "status": { "used": {
                "limits.cpu": Millicores(cpu).to_string(), "limits.memory": Bytes(memory).to_string(),
                "requests.storage": Bytes(storage).to_string(), "pods": pods.to_string(),
            } } });
            let usage = usage(&quota, &plan).expect("the host has counted");
            prop_assert_eq!(usage.cpu.yours.0 + usage.cpu.overhead.0, cpu);
            prop_assert_eq!(usage.memory.yours.0 + usage.memory.overhead.0, memory);
            prop_assert_eq!(usage.storage.yours.0 + usage.storage.overhead.0, storage);
            prop_assert_eq!(usage.pods.yours + usage.pods.overhead, pods);
        }
    }
}
