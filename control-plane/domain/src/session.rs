mod cause;
mod drain;
mod next_step;
mod retry;
mod spec;

pub use cause::{Cause, Evidence, FailureClass, Shortage};
pub use drain::{Drain, DrainEnd, OnDrain};
pub use next_step::NextStep;
pub use retry::{Retry, RetryPolicy, RetryRule};
pub use spec::{Input, InputSource, Resources, SessionSpec};

use crate::{Kept, Retention, RunId, SessionId, TenantId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How far a session is. The last four are final and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionState {
    /// Accepted, waits for its turn, for its tenant to be ready, or for its next run.
    Queued,
    /// Its Job is being made or its pod is on the way.
    Starting,
    /// The agent's process runs.
    Running,
    /// A stop was asked for; the process is being ended.
    Stopping,
    /// The agent ended with exit code 0.
    Succeeded,
    /// It ended in another way; the cause says how.
    Failed,
    /// Its time was up.
    TimedOut,
    /// It was stopped.
    Stopped,
}

impl SessionState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Starting,
        Self::Running,
        Self::Stopping,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Stopped,
    ];

    /// The word as users see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
            Self::Stopped => "stopped",
        }
    }

    /// Finds a state by its word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether nothing will change any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::TimedOut | Self::Stopped)
    }

    /// Whether a session in this state may go to `next`.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Queued => {
                matches!(next, Self::Starting | Self::Failed | Self::TimedOut | Self::Stopped)
            }
            Self::Starting => matches!(
                next,
                Self::Queued
                    | Self::Running
                    | Self::Stopping
                    | Self::Succeeded
                    | Self::Failed
                    | Self::TimedOut
            ),
            Self::Running => matches!(
                next,
                Self::Queued | Self::Stopping | Self::Succeeded | Self::Failed | Self::TimedOut
            ),
            Self::Stopping => {
                matches!(next, Self::Succeeded | Self::Failed | Self::TimedOut | Self::Stopped)
            }
            Self::Succeeded | Self::Failed | Self::TimedOut | Self::Stopped => false,
        }
    }
}

impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a run's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    /// Its exit code, if it ended by itself.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

/// What a run used, as its runner measured it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunUsage {
    /// CPU time of the agent and its children, in milliseconds.
    pub cpu_ms: u64,
    /// The most memory held at one time, in bytes.
    pub peak_memory_bytes: u64,
    /// Time from start to end, in milliseconds.
    pub wall_ms: u64,
}

/// One attempt at a session: one Job in the tenant's cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its identifier.
    pub id: RunId,
    /// What it is an attempt at.
    pub session: SessionId,
    /// Whose.
    pub tenant: TenantId,
    /// 1 for the first.
    pub attempt: u32,
    /// What it may use.
    pub resources: Resources,
    /// When it was decided to start it.
    pub created_at: Timestamp,
    /// When its Job was accepted by the tenant's API server.
    pub job_created_at: Option<Timestamp>,
    /// When the agent's process started.
    pub started_at: Option<Timestamp>,
    /// When its runner was last heard of.
    pub heartbeat_at: Option<Timestamp>,
    /// When the agent's process ended.
    pub exited_at: Option<Timestamp>,
    /// How it ended.
    pub exit: Option<Exit>,
    /// What it used.
    pub usage: Option<RunUsage>,
    /// The number of its next log line; the lines of each run are numbered from 1.
    pub next_log_line: u64,
    /// How many lines the runs before it have: their log is closed.
    pub lines_before: u64,
    /// The text of its log in bytes, line ends included.
    pub log_bytes: u64,
    /// How many bytes of text the runs before it have.
    pub log_bytes_before: u64,
    /// When a line had no room in the session's log; from then on its agent's lines are not kept.
    pub log_full_at: Option<Timestamp>,
    /// How many lines its runner gave up so far.
    pub log_missing_lines: u64,
    /// When it was over for the record; nothing that it says counts from then on.
    pub ended_at: Option<Timestamp>,
    /// Why it ended.
    pub cause: Option<Cause>,
    /// The order to end it because its node is emptied, if there is one.
    pub drain: Option<Drain>,
    /// When it was proven that nothing of it runs any more; only then another run may begin.
    pub settled_at: Option<Timestamp>,
}

impl Run {
    /// Whether it was ended for its node's sake, and does not count as an attempt.
    #[must_use]
    pub fn is_spared(&self) -> bool {
        self.cause.as_ref().is_some_and(|cause| self.is_spared_by(cause))
    }

    /// The same, if it ends for a cause.
    #[must_use]
    pub fn is_spared_by(&self, cause: &Cause) -> bool {
        self.drain.as_ref().is_some_and(|drain| drain.end == DrainEnd::Restart)
            && cause.reason == Cause::NODE_DRAINED
    }

    /// How many bytes of text its session's log has with it.
    #[must_use]
    pub const fn log_text_bytes(&self) -> u64 {
        self.log_bytes_before + self.log_bytes
    }

    /// Whether its log has everything that its agent wrote: its runner has told that it sent all, and gave
    /// nothing up. Nothing while that can still change.
    #[must_use]
    pub const fn is_log_whole(&self) -> Option<bool> {
        match (self.exited_at, self.ended_at) {
            (Some(_), _) => Some(self.log_missing_lines == 0),
            (None, Some(_)) => Some(self.heartbeat_at.is_none()),
            (None, None) => None,
        }
    }

    /// How many lines its session's log has with it.
    #[must_use]
    pub const fn log_lines(&self) -> u64 {
        self.lines_before + self.next_log_line.saturating_sub(1)
    }
}

/// One agent task of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its identifier.
    pub id: SessionId,
    /// Whose.
    pub tenant: TenantId,
    /// What it is to do.
    pub spec: SessionSpec,
    /// How far it is.
    pub state: SessionState,
    /// Why.
    pub cause: Option<Cause>,
    /// Counts changes of state; starts at 1.
    pub revision: i64,
    /// Its newest run, once there is one.
    pub run: Option<RunId>,
    /// When its next run may begin, if one failed and another follows.
    pub retry_at: Option<Timestamp>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its Job was asked for.
    pub starting_at: Option<Timestamp>,
    /// When the agent's process started.
    pub running_at: Option<Timestamp>,
    /// When a stop was asked for.
    pub stop_requested_at: Option<Timestamp>,
    /// When it reached its final state.
    pub finished_at: Option<Timestamp>,
    /// When its log was removed, because its time was over.
    pub log_removed_at: Option<Timestamp>,
    /// When its result and its artifacts were removed, because their time was over.
    pub files_removed_at: Option<Timestamp>,
}

impl Session {
    /// Until when something of it is kept under a plan that keeps it so long; nothing while it is not over.
    #[must_use]
    pub fn kept_until(&self, kept: Kept, retention: Retention) -> Option<Timestamp> {
        self.finished_at.map(|at| at.saturating_add(retention.of(kept)).unwrap_or(Timestamp::MAX))
    }

    /// When something of it was removed.
    #[must_use]
    pub const fn removed_at(&self, kept: Kept) -> Option<Timestamp> {
        match kept {
            Kept::Log => self.log_removed_at,
            Kept::Files => self.files_removed_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_final_state_is_never_left_and_every_walk_can_end(path in prop::collection::vec(0..8usize, 0..20)) {
            let mut state = SessionState::Queued;
            for index in path {
                let next = SessionState::ALL[index];
                if state.may_become(next) {
                    prop_assert!(!state.is_final());
                    state = next;
                }
            }
            let can_end = SessionState::ALL.into_iter().any(|next| next.is_final() && state.may_become(next));
            prop_assert!(state.is_final() || can_end);
        }
    }

    #[test]
    fn only_a_stopping_or_queued_session_becomes_stopped() {
        for state in SessionState::ALL {
            let allowed = matches!(state, SessionState::Stopping | SessionState::Queued);
            assert_eq!(state.may_become(SessionState::Stopped), allowed, "{state}");
        }
    }
}
