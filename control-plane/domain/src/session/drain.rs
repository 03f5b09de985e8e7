//! What becomes of a session when the node that it runs on has to be emptied.

use super::{Cause, Evidence, FailureClass, SessionState};
use crate::{OperationId, OperationKind};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What may be done with a session when its node has to be emptied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnDrain {
    /// It runs on to its end; at the drain's deadline its run is cut off.
    #[default]
    Wait,
    /// It is stopped as its user would stop it.
    Stop,
    /// Its run is ended and another one begins elsewhere, as soon as there is such a place.
    Restart,
}

/// How a run ends whose node is emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrainEnd {
    /// Its session is stopped.
    Stop,
    /// Another run follows, and this one does not count as an attempt.
    Restart,
    /// It may not run on: the session's rule for class `infrastructure` says what follows.
    CutOff,
}

/// The order to end a run because its node is emptied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// When that was decided.
    pub at: Timestamp,
    /// The operation that empties the node.
    pub operation: OperationId,
    /// What that is for.
    pub kind: OperationKind,
    /// The node.
    pub node: String,
    /// How the run ends.
    pub end: DrainEnd,
}

impl OnDrain {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Wait, Self::Stop, Self::Restart];

    /// The word as users write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }

    /// Finds a choice by its word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.as_str() == text)
    }

    /// How a run is to end now; nothing while it runs on. `has_place` says whether another one could begin elsewhere,
    /// `is_over` whether the node cannot wait any longer.
    #[must_use]
    pub const fn end(self, has_place: bool, is_over: bool) -> Option<DrainEnd> {
        match self {
            Self::Stop => Some(DrainEnd::Stop),
            Self::Restart if has_place || is_over => Some(DrainEnd::Restart),
            Self::Wait if is_over => Some(DrainEnd::CutOff),
            Self::Restart | Self::Wait => None,
        }
    }
}

impl fmt::Display for OnDrain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Drain {
    /// Why a session whose run is being ended is in its state.
    #[must_use]
    pub fn under_way(&self) -> Cause {
        let what = match self.end {
            DrainEnd::Stop => "it is being stopped",
            DrainEnd::Restart => "its run is being ended, and another one begins elsewhere",
            DrainEnd::CutOff => "its time there is over, and its run is being ended",
        };
        self.cause(None, "is being emptied", what)
    }

    /// Why the run ended, if nothing else ended it.
    #[must_use]
    pub fn failure(&self) -> Cause {
        let what = match self.end {
            DrainEnd::Stop => "it was stopped",
            DrainEnd::Restart => "its run was ended",
            DrainEnd::CutOff => "its run could not wait for its end any longer",
        };
        self.cause(Some(FailureClass::Infrastructure), "was emptied", what)
    }

    /// What is said of a session that reached `next` with such a run: an end that was asked for is told as that,
    /// whatever it looked like.
    #[must_use]
    pub fn explain(&self, next: SessionState, cause: Option<Cause>) -> Option<Cause> {
        use FailureClass::{Infrastructure, Transient};
        let class = cause.as_ref().and_then(|cause| cause.class);
        match (next, class) {
            (SessionState::Stopped, _) if self.end == DrainEnd::Stop => {
                Some(self.cause(None, "was emptied", "it was stopped; its process has ended"))
            }
            (SessionState::Failed, Some(Infrastructure)) => Some(self.failure()),
            // Its agent never began.
            (SessionState::Failed, Some(Transient)) => Some(self.failure().before_start()),
            _ => cause,
        }
    }

    fn cause(&self, class: Option<FailureClass>, node: &str, what: &str) -> Cause {
        let Self { operation, kind, node: name, .. } = self;
        let kind = kind.as_str();
        let message = format!("its node {name} {node} by operation {operation} ({kind}): {what}");
        let cause = Cause { class, ..Cause::plain(Cause::NODE_DRAINED, message) };
        cause.with(Evidence {
            node: Some(name.clone()),
            operation: Some(operation.to_string()),
            ..Evidence::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::drain;

    #[test]
    fn each_policy_ends_a_run_when_it_says_so_and_nothing_outlives_the_deadline() {
        let ends = |policy: OnDrain| {
            [(false, false), (true, false), (false, true)]
                .map(|(has_place, is_over)| policy.end(has_place, is_over))
        };
        let (stop, restart, cut) = (DrainEnd::Stop, DrainEnd::Restart, DrainEnd::CutOff);
        assert_eq!(ends(OnDrain::Wait), [None, None, Some(cut)]);
        assert_eq!(ends(OnDrain::Stop), [Some(stop); 3]);
        assert_eq!(ends(OnDrain::Restart), [None, Some(restart), Some(restart)]);
    }

    #[test]
    fn what_a_drain_ended_says_so_and_what_ended_by_itself_does_not() {
        let gone = || Some(Cause::failure(FailureClass::Infrastructure, "JobGone", ""));
        let told = |end, next, cause| drain(end).explain(next, cause).map(|cause| cause.reason);
        let drained = Some(Cause::NODE_DRAINED.to_owned());
        assert_eq!(told(DrainEnd::Restart, SessionState::Failed, gone()), drained);
        let stopped = || Some(Cause::plain("Stopped", ""));
        assert_eq!(told(DrainEnd::Stop, SessionState::Stopped, stopped()), drained);
        let by_user = told(DrainEnd::Restart, SessionState::Stopped, stopped());
        assert_eq!(by_user, Some("Stopped".to_owned()), "its user was quicker");
        let agent = Some(Cause::failure(FailureClass::Agent, "ExitCode", ""));
        assert_eq!(
            told(DrainEnd::Restart, SessionState::Failed, agent),
            Some("ExitCode".to_owned())
        );
        let cause = drain(DrainEnd::Stop).under_way();
        assert!(cause.message.contains("w-1") && cause.message.contains("op_"), "{cause:?}");
        assert!(cause.message.contains("node-stop"), "{cause:?}");
    }
}
