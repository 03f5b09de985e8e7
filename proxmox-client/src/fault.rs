//! What Proxmox VE says went wrong, by kind.
//!
//! Its status tells little: what is missing is a 500, as is what is locked. So the text is read, which
//! is the same in an answer and at the end of a task.
//!
//! Sources: texts of the daemons of release 9.2; the status codes of pve-http-server, `AnyEvent.pm`.

mod text;

use std::fmt;

/// A kind of fault. The same for an answer and for the end of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Something is not there.
    NotFound(Missing),
    /// Something is there already, e.g. a VM of that number.
    AlreadyExists,
    /// The VM is locked by something that is under way, or that died.
    Locked {
        /// What holds it: `backup`, `clone`, `create`, `migrate`, `rollback`, `snapshot`,
        /// `snapshot-delete`, `suspending`, `suspended`.
        lock: String,
    },
    /// A lock was not given in time; somebody else works on the same VM or storage. Try again.
    LockTimeout,
    /// A right is missing. For a token with rights on a pool this can also mean that the VM is being made or is gone.
    Forbidden {
        /// The path of the missing right; nothing if several would do, or if a pool was not named.
        path: Option<String>,
        /// The right; several that would do are joined by `|`.
        privilege: Option<String>,
    },
    /// The cluster has lost its majority: it can be read, not changed.
    NoQuorum,
    /// The node that the call is about does not answer the API host.
    NodeUnreachable,
    /// The VM runs, and must not for this, or runs already.
    Running,
    /// The VM does not run, and must for this.
    NotRunning,
    /// The VM is protected against removal.
    Protected,
    /// The configuration has changed since it was read.
    DigestMismatch,
    /// The agent inside the guest does not answer.
    AgentDown,
    /// A parameter was refused; nothing was done.
    BadParameter {
        /// Which, and why. At least one.
        fields: Vec<FieldFault>,
    },
    /// The credentials were not accepted.
    Unauthorized,
    /// Something took too long, e.g. a guest that did not shut down.
    TimedOut,
    /// A task was aborted or its process died.
    Interrupted,
    /// This release does not know the call.
    NotImplemented,
    /// Something in front of the API asks for fewer calls.
    TooManyCalls,
    /// Anything else; the text says what.
    Other,
}

/// What is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The VM.
    Vm,
    /// The node.
    Node,
    /// A volume.
    Volume,
    /// A storage.
    Storage,
    /// A pool.
    Pool,
    /// A snapshot.
    Snapshot,
    /// The task, or its log is gone.
    Task,
    /// Something else.
    Other,
}

/// What is wrong with one parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFault {
    /// The parameter.
    pub field: String,
    /// What is wrong with it, as the server says it.
    pub text: String,
}

impl Fault {
    /// The kind of an answer with an error status.
    pub(crate) fn of_answer(status: u16, text: &str, fields: Vec<FieldFault>) -> Self {
        match status {
            401 => Self::Unauthorized,
            403 => text::forbidden(text),
            429 => Self::TooManyCalls,
            // Told by something in front of the API, or by the API host about the node.
            502..=504 | 595 | 596 | 599 => Self::NodeUnreachable,
            501 if text.contains("not implemented") => Self::NotImplemented,
            400 if !fields.is_empty() => of_fields(fields),
            _ => text::fault(text),
        }
    }

    /// The kind of a task's last words.
    pub(crate) fn of_task(text: &str) -> Self {
        text::fault(text)
    }

    /// Whether the same call may succeed later by itself.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Locked { .. }
            | Self::LockTimeout
            | Self::NoQuorum
            | Self::NodeUnreachable
            | Self::AgentDown
            | Self::TimedOut
            | Self::TooManyCalls => true,
            Self::NotFound(_)
            | Self::AlreadyExists
            | Self::Forbidden { .. }
            | Self::Running
            | Self::NotRunning
            | Self::Protected
            | Self::DigestMismatch
            | Self::BadParameter { .. }
            | Self::Unauthorized
            | Self::Interrupted
            | Self::NotImplemented
            | Self::Other => false,
        }
    }
}

/// Refused parameters; a task that is not there is told as one.
fn of_fields(fields: Vec<FieldFault>) -> Fault {
    let is_lost_task =
        |fault: &FieldFault| fault.field == "upid" && fault.text.contains("no such task");
    if fields.iter().any(is_lost_task) {
        Fault::NotFound(Missing::Task)
    } else {
        Fault::BadParameter { fields }
    }
}

impl fmt::Display for FieldFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.text)
    }
}

#[cfg(test)]
mod tests;
