//! Why a call or a task did not succeed, and what may be done about it.

use crate::{Fault, Invalid, Missing, NodeName, Upid, Version, VmId};
use std::{error::Error as StdError, fmt, time::Duration};
use tokio::time::Instant;

/// A source that only says more.
pub(crate) type Source = Box<dyn StdError + Send + Sync>;

/// Why a call or a task did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Proxmox VE refused the call.
    #[error("{call}: {text} (status {status})")]
    Refused {
        /// Which call.
        call: Call,
        /// The status of the answer.
        status: u16,
        /// The kind of fault.
        fault: Fault,
        /// What it said: the message or, without one, the reason phrase; then what is wrong with each parameter.
        text: String,
    },
    /// A task ended with an error. Part of its work may be done.
    #[error("task {} on {}: {text}", upid.kind(), upid.node())]
    Task {
        /// Which task.
        upid: Box<Upid>,
        /// The kind of fault.
        fault: Fault,
        /// Its last words.
        text: String,
    },
    /// A task was not over in time. It goes on.
    #[error("task {} on {} is not over after {} s", upid.kind(), upid.node(), waited.as_secs())]
    StillRunning {
        /// Which task.
        upid: Box<Upid>,
        /// How long it was waited for.
        waited: Duration,
        /// Why the last look at it failed, if it did.
        #[source]
        source: Option<Box<Error>>,
    },
    /// The credentials were not accepted: 401.
    ///
    /// Each refusal takes the server 3 seconds. So after one, calls are refused here and at once, with
    /// the same text, until [`Timing::cool_down`](crate::Timing::cool_down) has passed or
    /// [`Client::replace_token`](crate::Client::replace_token) was called; then a single call tries again.
    /// While a token has not been accepted yet, calls go one after the other for the same reason.
    #[error("{call}: the API token is not accepted: {text}")]
    Unauthorized {
        /// Which call.
        call: Call,
        /// What the server said.
        text: String,
        /// Whether this call was sent, or refused here because of an earlier one.
        was_sent: bool,
    },
    /// No API host could be reached. Nothing was sent.
    #[error("{call}: no API host can be reached")]
    Unreachable {
        /// Which call.
        call: Call,
        /// What the last attempt said.
        #[source]
        source: Source,
    },
    /// The host's certificate is not trusted. Nothing was sent.
    #[error("{call}: the certificate of {host} is not trusted: {reason}")]
    Untrusted {
        /// Which call.
        call: Call,
        /// Which API host.
        host: String,
        /// Why not; of a certificate that is not pinned, its fingerprint.
        reason: String,
    },
    /// Too many calls to the node are under way, for longer than a call may take. Nothing was sent.
    #[error("{call}: {limit} calls to the same node are under way")]
    Busy {
        /// Which call.
        call: Call,
        /// How many may be.
        limit: usize,
    },
    /// A read was not answered, however often it was repeated.
    #[error("{call}: no answer")]
    NoAnswer {
        /// Which call.
        call: Call,
        /// What happened instead.
        #[source]
        source: Source,
    },
    /// A write was sent and its answer is lost: it may have happened or not. Look before it is sent again:
    /// [`Client::find_task`](crate::Client::find_task).
    #[error("{}: sent, but the answer is lost", sent.call)]
    OutcomeUnknown {
        /// What was sent.
        sent: Box<Sent>,
        /// What happened instead of an answer.
        #[source]
        source: Source,
    },
    /// An answer is not what the API promises. A write has happened all the same.
    #[error("{call}: cannot read the answer")]
    Unreadable {
        /// Which call.
        call: Call,
        /// What is wrong with it.
        #[source]
        source: Source,
    },
    /// The release does not have this. Nothing was sent.
    #[error("{what} needs Proxmox VE {needs}, this is {found}")]
    TooOld {
        /// What was asked for.
        what: &'static str,
        /// The first release that has it.
        needs: Version,
        /// The release that answers.
        found: Version,
    },
    /// A value that Proxmox VE would refuse. Nothing was sent.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// A method of HTTP; the API knows no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Does or creates.
    Post,
    /// Changes.
    Put,
    /// Removes or aborts.
    Delete,
}

/// Names a call for messages: its method and path, never its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The path below `/api2/json`.
    pub path: String,
}

/// A write whose answer is lost, with what is needed to look for its task.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Which call.
    pub call: Call,
    /// The API host that it was sent to.
    pub host: String,
    /// The node that would run the task.
    pub node: Option<NodeName>,
    /// The VM that it is about; for a clone the source.
    pub vm: Option<VmId>,
    /// The type of the task that it would have begun; nothing if it begins none.
    pub task: Option<&'static str>,
    /// When it was sent.
    pub at: Instant,
}

/// What may be done after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// The same call may succeed later, and repeating it is safe.
    Later,
    /// First look whether it has happened.
    AfterLook,
    /// It will fail again until somebody changes something.
    Never,
}

impl Error {
    /// The kind of fault, if it is Proxmox VE that told one, in an answer or at the end of a task.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Refused { fault, .. } | Self::Task { fault, .. } => Some(fault),
            Self::Unauthorized { .. } => Some(&Fault::Unauthorized),
            Self::StillRunning { .. }
            | Self::Unreachable { .. }
            | Self::Untrusted { .. }
            | Self::Busy { .. }
            | Self::NoAnswer { .. }
            | Self::OutcomeUnknown { .. }
            | Self::Unreadable { .. }
            | Self::TooOld { .. }
            | Self::Invalid(_) => None,
        }
    }

    /// What may be done after it.
    ///
    /// A failed task is never repeated blindly: part of its work may be done. Only where the fault shows
    /// that it waited in vain for a lock or the majority has it done nothing.
    #[must_use]
    pub fn repeat(&self) -> Repeat {
        match self {
            Self::Refused { fault, .. } if fault.is_passing() => Repeat::Later,
            Self::Task {
                fault: Fault::LockTimeout | Fault::Locked { .. } | Fault::NoQuorum,
                ..
            }
            | Self::Unreachable { .. }
            | Self::Busy { .. }
            | Self::NoAnswer { .. } => Repeat::Later,
            Self::OutcomeUnknown { .. } | Self::StillRunning { .. } | Self::Task { .. } => {
                Repeat::AfterLook
            }
            Self::Refused { .. }
            | Self::Unauthorized { .. }
            | Self::Untrusted { .. }
            | Self::Unreadable { .. }
            | Self::TooOld { .. }
            | Self::Invalid(_) => Repeat::Never,
        }
    }

    /// It and its sources, in one line for people.
    #[must_use]
    pub fn with_sources(&self) -> String {
        chain(self)
    }

    /// Whether the VM is not there: "already gone" for a removal.
    ///
    /// A token that has its rights from a pool is answered [`Fault::Forbidden`] instead, see
    /// [`Client::is_free`](crate::Client::is_free).
    #[must_use]
    pub fn is_vm_missing(&self) -> bool {
        self.fault() == Some(&Fault::NotFound(Missing::Vm))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        })
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// An error with its sources, in one line.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let sources = std::iter::successors(Some(error), |error| (*error).source());
    sources.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
