//! How much room is left on the nodes that everybody uses.

use crate::pod::{is_alive, text};
use domain::{Bytes, Millicores, Requests};
use serde_json::Value;
use std::collections::HashSet;

/// The nodes that everybody uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shared {
    /// How many there are.
    pub nodes: usize,
    /// What pods may take of them.
    pub all: Requests,
    /// What none has taken.
    pub free: Requests,
}

/// What is free on the nodes that take anybody's pods now, by what the pods on them request; that is what the scheduler
/// goes by, too.
#[must_use]
pub fn shared(nodes: &[Value], pods: &[Value]) -> Shared {
    let usable: Vec<&Value> = nodes.iter().filter(|node| takes_anybody(node)).collect();
    let names: HashSet<&str> = usable.iter().map(|node| text(node, "/metadata/name")).collect();
    let all: Requests = usable.iter().map(|node| allocatable(node)).sum();
    let taken = requests(pods, |at| names.contains(at));
    let free = Requests {
        cpu: Millicores(all.cpu.0.saturating_sub(taken.cpu.0)),
        memory: Bytes(all.memory.0.saturating_sub(taken.memory.0)),
        pods: all.pods.saturating_sub(taken.pods),
    };
    Shared { nodes: usable.len(), all, free }
}

/// What the pods on some nodes request, as far as they are not over.
#[must_use]
pub fn requests(pods: &[Value], is_meant: impl Fn(&str) -> bool) -> Requests {
    let there = pods.iter().filter(|pod| is_meant(text(pod, "/spec/nodeName")));
    there.filter(|pod| is_alive(pod)).map(of_pod).sum()
}

fn takes_anybody(node: &Value) -> bool {
    let list =
        |pointer: &str| node.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let is_closed = node.pointer("/spec/unschedulable").is_some_and(|closed| closed == true);
    let keeps_away = list("/spec/taints").any(|taint| text(taint, "/effect") != "PreferNoSchedule");
    let is_ready = list("/status/conditions").any(|condition| {
        text(condition, "/type") == "Ready" && text(condition, "/status") == "True"
    });
    is_ready && !is_closed && !keeps_away
}

fn allocatable(node: &Value) -> Requests {
    let part = |name: &str| text(node, &format!("/status/allocatable/{name}"));
    Requests {
        cpu: Millicores::parse(part("cpu")).unwrap_or_default(),
        memory: Bytes::parse(part("memory")).unwrap_or_default(),
        pods: part("pods").parse().unwrap_or_default(),
    }
}

/// The containers that run at the same time, or the largest of those that run before them.
fn of_pod(pod: &Value) -> Requests {
    let list = |pointer: &str| pod.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let of = |container: &Value| {
        let part = |name: &str| text(container, &format!("/resources/requests/{name}")).to_owned();
        Requests {
            cpu: Millicores::parse(&part("cpu")).unwrap_or_default(),
            memory: Bytes::parse(&part("memory")).unwrap_or_default(),
            pods: 0,
        }
    };
    let stays = |container: &&Value| text(container, "/restartPolicy") == "Always";
    let together: Requests =
        list("/spec/containers").chain(list("/spec/initContainers").filter(stays)).map(of).sum();
    let largest = list("/spec/initContainers").map(of).fold(together, |one, other| Requests {
        cpu: one.cpu.max(other.cpu),
        memory: one.memory.max(other.memory),
        pods: 0,
    });
    Requests { pods: 1, ..largest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(name: &str, spec: &Value, ready: &str) -> Value {
        json!({
            "metadata": { "name": name },
            "spec": spec,
            "status": {
                "allocatable": { "cpu": "4", "memory": "8Gi", "pods": "110" },
                "conditions": [{ "type": "Ready", "status": ready }],
            },
        })
    }

    fn pod(node: &str, phase: &str, requests: &[(&str, &str)]) -> Value {
        let containers: Vec<Value> = requests
            .iter()
            .map(|(cpu, memory)| json!({ "resources": { "requests": { "cpu": cpu, "memory": memory } } }))
            .collect();
        json!({
            "spec": { "nodeName": node, "containers": containers,
                "initContainers": [{ "resources": { "requests": { "cpu": "1" } } }] },
            "status": { "phase": phase },
        })
    }

    #[test]
    fn what_is_free_is_what_nobody_requests_on_nodes_that_take_anybody() {
        let taint = json!({ "taints": [{ "key": "x", "effect": "NoSchedule" }] });
        let nodes = [
            node("one", &json!({}), "True"),
            node(
                "two",
                &json!({ "taints": [{ "key": "x", "effect": "PreferNoSchedule" }] }),
                "True",
            ),
            node("own", &taint, "True"),
            node("closed", &json!({ "unschedulable": true }), "True"),
            node("silent", &json!({}), "Unknown"),
        ];
        let pods = [
            pod("one", "Running", &[("500m", "1Gi"), ("1", "1Gi")]),
            pod("two", "Pending", &[("100m", "512Mi")]),
            pod("two", "Succeeded", &[("4", "4Gi")]),
            pod("own", "Running", &[("2", "3Gi")]),
        ];
        let found = shared(&nodes, &pods);
        assert_eq!(found.nodes, 2);
        assert_eq!(
            found.all,
            Requests { cpu: Millicores(8000), memory: Bytes::gibi(16), pods: 220 }
        );
        // 1500m of the first; of the second 1000m, which its first container needs before the other.
        let free = Requests { cpu: Millicores(5500), memory: Bytes::mebi(13_824), pods: 218 };
        assert_eq!(found.free, free);
        let own = requests(&pods, |at| at == "own");
        assert_eq!(own, Requests { cpu: Millicores(2000), memory: Bytes::gibi(3), pods: 1 });
    }
}
