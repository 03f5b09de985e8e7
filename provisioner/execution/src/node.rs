//! How a node of the host is, as its API server tells.

use crate::api_server::{ApiError, ApiServer};
use planning::Kind;
use serde_json::Value;

/// What a node's condition `Ready` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ready {
    /// `True`, `False` or `Unknown`; nothing if it has no such condition.
    status: Option<String>,
    /// Why, in the words of its kubelet or of the node controller.
    pub(crate) message: Option<String>,
    /// When its kubelet said so last, by the kubelet's clock.
    pub(crate) heard: Option<String>,
}

impl Ready {
    /// Reads it from a Node object.
    pub(crate) fn of(node: &Value) -> Self {
        let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
        let found = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
        let text = |field: &str| found?.get(field)?.as_str().map(str::to_owned);
        Self { status: text("status"), message: text("message"), heard: text("lastHeartbeatTime") }
    }

    pub(crate) fn holds(&self) -> bool {
        self.status.as_deref() == Some("True")
    }

    /// Whether it says at all how it is.
    pub(crate) const fn is_told(&self) -> bool {
        self.status.is_some()
    }
}

/// Asks for a node by its name; nothing if it is not there.
pub(crate) async fn ready(host: &ApiServer, name: &str) -> Result<Option<Ready>, ApiError> {
    let field = format!("metadata.name={name}");
    // By a list: Warren may not read nodes one by one.
    let nodes = host.list_where(Kind::Node, None, &[("fieldSelector", &field)]).await?;
    Ok(nodes.first().map(Ready::of))
}
