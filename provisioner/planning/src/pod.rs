//! What a pod says of itself.

use crate::object::{Key, Kind};
use serde_json::Value;

/// Whether a pod is one that serves: ready, and not on its way out.
#[must_use]
pub fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let is_going = pod.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null());
    !is_going
        && conditions.into_iter().flatten().any(|condition| {
            text(condition, "/type") == "Ready" && text(condition, "/status") == "True"
        })
}

/// Whether a pod may still have processes.
#[must_use]
pub fn is_alive(pod: &Value) -> bool {
    !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// A pod as `namespace/name`.
#[must_use]
pub fn name(pod: &Value) -> String {
    format!("{}/{}", text(pod, "/metadata/namespace"), text(pod, "/metadata/name"))
}

/// The address of a pod that is written as `namespace/name`.
#[must_use]
pub fn key(name: &str) -> Option<Key> {
    let (namespace, name) = name.split_once('/')?;
    Some(Key::namespaced(Kind::Pod, namespace, name))
}

/// The entry of whoever makes an object anew when it is gone.
pub(crate) fn controller(object: &Value) -> Option<&Value> {
    let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
    owners.iter().find(|owner| owner["controller"] == true)
}

/// A text in an object, empty if it is not there.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}
