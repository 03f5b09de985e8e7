//! Who holds up what should be gone by now: a node that does not answer, a pod that uses a volume, a provisioner.

use super::world::{World, name_of};
use crate::{api_server::ApiError, node, tenant::observe::is_terminating};
use planning::Kind;
use serde_json::Value;

/// What a person can do when nobody else lets go.
const WAY_OUT: &str = "deleting with --force goes on without waiting and lists what is left";
/// Names the program that made a volume and has to remove it (Kubernetes, annotation of volumes).
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// Who holds something up.
pub(super) enum Blocker {
    /// It may still let go.
    Slow(String),
    /// A person has to do something.
    Dead(String),
}

impl World {
    /// Looks for who holds an object that is late.
    pub(super) async fn blocker(&self, kind: Kind, object: &Value) -> Result<Blocker, ApiError> {
        let name = format!("{} {}", kind.as_str(), name_of(object));
        let blocker = if kind == Kind::Pod {
            self.node_of(&name, object).await?
        } else if kind == Kind::PersistentVolumeClaim {
            Blocker::Slow(self.users_of(&name, object).await?)
        } else if kind == Kind::PersistentVolume {
            Blocker::Slow(unremoved(&name, object))
        } else {
            Blocker::Slow(held(&name, object))
        };
        Ok(match blocker {
            Blocker::Slow(message) => Blocker::Slow(format!("{message}; {WAY_OUT}")),
            Blocker::Dead(message) => Blocker::Dead(format!("{message}; {WAY_OUT}")),
        })
    }

    /// A pod goes when its node says that its processes have ended.
    async fn node_of(&self, name: &str, pod: &Value) -> Result<Blocker, ApiError> {
        let Some(node) = pod.pointer("/spec/nodeName").and_then(Value::as_str) else {
            return Ok(Blocker::Slow(held(name, pod)));
        };
        let Some(ready) = node::ready(&self.host, node).await? else {
            return Ok(Blocker::Dead(format!("{name} waits for node {node}, which is not there")));
        };
        if ready.holds() {
            let message = format!("{name} is ending on node {node}, which is Ready");
            return Ok(Blocker::Slow(message));
        }
        let why = ready.message.as_deref().unwrap_or("it says nothing");
        Ok(Blocker::Dead(format!(
            "{name} waits for node {node}, which is not Ready ({why}): bring the node back"
        )))
    }

    /// A claim goes when no pod uses it.
    async fn users_of(&self, name: &str, claim: &Value) -> Result<String, ApiError> {
        let pods = self.host.list(Kind::Pod, Some(&self.namespace), "").await?;
        let uses = |pod: &&Value| {
            let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array);
            volumes.into_iter().flatten().any(|volume| {
                volume.pointer("/persistentVolumeClaim/claimName").and_then(Value::as_str)
                    == Some(name_of(claim))
            })
        };
        let held = held(name, claim);
        Ok(match pods.iter().find(uses) {
            Some(pod) => format!("{held}: Pod {} uses it", name_of(pod)),
            None => held,
        })
    }
}

/// A volume goes when the program that made it has removed it.
fn unremoved(name: &str, volume: &Value) -> String {
    let annotations = volume.pointer("/metadata/annotations");
    let provisioner = annotations
        .and_then(|annotations| annotations.get(PROVISIONED_BY)?.as_str())
        .unwrap_or("unknown, it is not noted on it");
    let phase = volume.pointer("/status/phase").and_then(Value::as_str).unwrap_or("without phase");
    format!(
        "{} is {phase}; its provisioner ({provisioner}) has not removed it: see that it runs",
        held(name, volume)
    )
}

/// The object with all finalizers, also those that Kubernetes takes off itself.
fn held(name: &str, object: &Value) -> String {
    let finalizers: Vec<&str> = object
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    match (is_terminating(object), finalizers.as_slice()) {
        (_, []) => format!("{name} is not gone yet"),
        (true, finalizers) => format!("{name} is held by finalizer {}", finalizers.join(", ")),
        (false, finalizers) => format!("{name} has finalizer {}", finalizers.join(", ")),
    }
}
