//! Releases of Proxmox VE that the cluster can claim to be, and what differs between them.

use serde::{Deserialize, Serialize};

/// A release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Release {
    #[serde(rename = "7.4")]
    V7_4,
    #[serde(rename = "8.4")]
    V8_4,
    #[default]
    #[serde(rename = "9.2")]
    V9_2,
}

impl Release {
    /// What `GET /version` calls version and release.
    pub(crate) fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::V7_4 => ("7.4-16", "7.4", "0f39f621"),
            Self::V8_4 => ("8.4.1", "8.4", "2a5fa54a8503f96d"),
            Self::V9_2 => ("9.2.11", "9.2", "c1a3b5d7e9f01234"),
        }
    }

    /// Errors are repeated in the body.
    pub(crate) fn has_message(self) -> bool {
        self >= Self::V8_4
    }

    /// A resize is a task.
    pub(crate) fn resizes_in_a_task(self) -> bool {
        self >= Self::V8_4
    }

    /// Bridges need `SDN.Use`.
    pub(crate) fn guards_bridges(self) -> bool {
        self >= Self::V8_4
    }

    /// The guest agent has rights of its own.
    pub(crate) fn has_agent_rights(self) -> bool {
        self >= Self::V9_2
    }

    /// The agent's command is a list.
    pub(crate) fn takes_command_lists(self) -> bool {
        self >= Self::V8_4
    }

    /// Pools are changed by `/pools?poolid=`.
    pub(crate) fn has_pools_by_query(self) -> bool {
        self >= Self::V8_4
    }

    /// JSON bodies survive the way to another node.
    pub(crate) fn forwards_json(self) -> bool {
        self >= Self::V8_4
    }

    /// The memory of a VM is a property string.
    pub(crate) fn memory_is_text(self) -> bool {
        self >= Self::V8_4
    }

    /// `ciupgrade` exists.
    pub(crate) fn has_upgrade_option(self) -> bool {
        self >= Self::V8_4
    }

    /// `overrule-shutdown` exists.
    pub(crate) fn has_overrule(self) -> bool {
        self >= Self::V8_4
    }
}
