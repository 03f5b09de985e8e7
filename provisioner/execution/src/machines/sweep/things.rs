//! What a look at the world saw, before anybody knows what to think of it.

use domain::{Bytes, NodeId, NodeName, VmNumber};
use jiff::Timestamp;
use planning::{
    Key,
    machine::{LABEL, TAINT},
};
use serde_json::Value;

/// What one part of the world holds that may be Warren's.
#[derive(Debug)]
pub(super) struct Seen {
    /// Which part, for people.
    pub(super) area: String,
    pub(super) things: Vec<Thing>,
    /// Why not all of it could be seen.
    pub(super) obstacle: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) enum Thing {
    Machine(Machine),
    Disk(Volume),
    Image(Volume),
    JoinToken(Object, NodeId),
    NodePassword(Object, String),
    /// With its provider id.
    Node(Object, Option<String>),
}

/// A machine with one of our numbers, or in our pool.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) vm: VmNumber,
    pub(super) name: String,
    pub(super) place: String,
    pub(super) size: Option<Bytes>,
    pub(super) description: String,
}

/// A disk whose machine is gone, or an image that is called as Warren calls its own.
#[derive(Debug, Clone)]
pub(super) struct Volume {
    pub(super) name: String,
    pub(super) vm: Option<VmNumber>,
    /// Nothing on a storage that is the same everywhere.
    pub(super) place: Option<String>,
    pub(super) storage: String,
    pub(super) size: Option<Bytes>,
    pub(super) created: Option<Timestamp>,
}

/// An object of the host cluster.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) key: Key,
    pub(super) uid: String,
}

impl Seen {
    pub(super) fn new(area: impl Into<String>) -> Self {
        Self { area: area.into(), things: Vec::new(), obstacle: None }
    }

    /// Notes what is in the way; the first thing is told.
    pub(super) fn blocked(&mut self, obstacle: impl Into<String>) {
        self.obstacle.get_or_insert_with(|| obstacle.into());
    }
}

impl Object {
    pub(super) fn of(key: Key, object: &Value) -> Self {
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        Self { key, uid }
    }
}

impl Volume {
    /// The last part of its name, e.g. `vm-9001-disk-0`.
    pub(super) fn file(&self) -> &str {
        self.name.rsplit([':', '/']).next().unwrap_or_default()
    }
}

/// The name of a node in the name of its image.
pub(super) fn node_of_image(file: &str) -> Option<&str> {
    file.strip_suffix(".iso").filter(|name| is_node_name(name))
}

/// Whether a name is one that Warren gives to nodes.
pub(super) fn is_node_name(name: &str) -> bool {
    let rest = name.strip_prefix(NodeName::PREFIX);
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    rest.is_some_and(|rest| rest.len() == 16 && rest.bytes().all(is_letter))
}

/// Whether a node of the host cluster looks as if Warren had made its machine.
pub(super) fn looks_like_ours(name: &str, node: &Value) -> bool {
    let taints = node.pointer("/spec/taints").and_then(Value::as_array);
    is_node_name(name)
        || node["metadata"]["labels"][LABEL].is_string()
        || taints.into_iter().flatten().any(|taint| taint["key"] == TAINT)
}
