//! What to do about a session, from what is known. Pure.

use domain::{Run, Session, SessionState};
use jiff::{SignedDuration, Timestamp};

/// What a session's Job may take beyond its time limit and grace period, before it is ended whatever
/// the tenant's cluster says.
const BEYOND: SignedDuration = SignedDuration::from_secs(30);
/// When a run whose agent has not started is looked at.
const FIRST_LOOK: SignedDuration = SignedDuration::from_secs(10);
/// How long the Job may take to notice that its process is over.
const JOB_NOTICES: SignedDuration = SignedDuration::from_secs(10);
/// How long the runner's report may come after the Job's success.
const REPORT_COMES: SignedDuration = SignedDuration::from_secs(5);
/// When a pod that is being stopped is taken out of the API, after its grace period.
pub(super) const FORCED: SignedDuration = SignedDuration::from_secs(15);
/// When a session counts as stopped although nobody confirmed it, after its grace period.
const UNCONFIRMED: SignedDuration = SignedDuration::from_secs(45);

/// What the watch says about a run's Job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum JobState {
    /// The watch has not begun, or is broken.
    Unknown,
    /// There is none.
    Absent,
    /// It is there.
    Active {
        /// Whether it is on its way out.
        is_going: bool,
    },
    /// It succeeded.
    Complete {
        /// When that was first seen.
        seen: Timestamp,
    },
    /// It failed.
    Failed {
        /// The Job controller's word.
        reason: String,
        /// Its sentence.
        message: String,
    },
}

/// What is to be done about a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Todo {
    /// Nothing, until something happens or the time has come.
    Wait(Option<Timestamp>),
    /// Make its run and the Job.
    Submit,
    /// Its run was made; find out whether its Job was, and make it if not.
    Resume,
    /// Its agent should have started: look at the pod and at events.
    Look,
    /// The Job succeeded and its runner has said nothing.
    SucceedUnreported,
    /// The Job failed: find out why.
    Judge {
        /// The Job controller's word.
        reason: String,
        /// Its sentence.
        message: String,
    },
    /// Its process is over and the Job does not notice: find out why, and end both.
    Over,
    /// The Job seems to be gone: make sure, and end the session.
    Gone,
    /// Delete the Job, with its grace period.
    Stop,
    /// The pod does not end: take it out of the API.
    ForceStop,
    /// The process is over; the session was being stopped.
    Stopped,
    /// Nobody confirmed the end of the process.
    StoppedUnconfirmed,
    /// It has had its time and more.
    TimeOut,
}

/// What is known besides the session itself.
#[derive(Debug, Clone)]
pub(super) struct Known<'a> {
    pub(super) run: Option<&'a Run>,
    pub(super) job: &'a JobState,
    pub(super) now: Timestamp,
    /// Whether the tenant is ready.
    pub(super) is_ready: bool,
    /// Whether one more session may be in flight.
    pub(super) has_slot: bool,
    /// When its pod was last looked at, or its Job last deleted.
    pub(super) last: Option<Timestamp>,
}

pub(super) fn decide(session: &Session, known: &Known<'_>) -> Todo {
    match session.state {
        SessionState::Queued if known.is_ready && known.has_slot => Todo::Submit,
        SessionState::Starting | SessionState::Running => in_flight(session, known),
        SessionState::Stopping => stopping(session, known),
        SessionState::Queued
        | SessionState::Succeeded
        | SessionState::Failed
        | SessionState::TimedOut
        | SessionState::Stopped => Todo::Wait(None),
    }
}

fn in_flight(session: &Session, known: &Known<'_>) -> Todo {
    let began = session.running_at.or(session.starting_at).unwrap_or(session.created_at);
    let allowed = SignedDuration::from_secs(i64::from(session.spec.timeout_seconds));
    let deadline = began + allowed + grace(session) + BEYOND;
    if known.now >= deadline {
        return Todo::TimeOut;
    }
    // A pod that was taken off its node without a word never ends for the Job that it belongs to.
    let over = known.run.and_then(|run| run.exited_at).map(|exited| exited + JOB_NOTICES);
    let Some(created) = known.run.and_then(|run| run.job_created_at) else {
        return if known.is_ready { Todo::Resume } else { Todo::Wait(Some(deadline)) };
    };
    match known.job {
        JobState::Unknown => Todo::Wait(Some(deadline)),
        JobState::Absent => Todo::Gone,
        JobState::Complete { seen } => {
            let patience = *seen + REPORT_COMES;
            if known.now >= patience { Todo::SucceedUnreported } else { Todo::Wait(Some(patience)) }
        }
        JobState::Failed { reason, message } => {
            Todo::Judge { reason: reason.clone(), message: message.clone() }
        }
        JobState::Active { .. } if over.is_some_and(|over| known.now >= over) => Todo::Over,
        JobState::Active { .. } if session.state == SessionState::Running => {
            Todo::Wait(Some(over.map_or(deadline, |over| over.min(deadline))))
        }
        JobState::Active { .. } => {
            let look = known.last.unwrap_or(created) + FIRST_LOOK;
            if known.now >= look { Todo::Look } else { Todo::Wait(Some(look.min(deadline))) }
        }
    }
}

fn stopping(session: &Session, known: &Known<'_>) -> Todo {
    let asked = session.stop_requested_at.unwrap_or(known.now) + grace(session);
    let (forced, unconfirmed) = (asked + FORCED, asked + UNCONFIRMED);
    if known.now >= unconfirmed {
        return Todo::StoppedUnconfirmed;
    }
    match known.job {
        JobState::Complete { .. } | JobState::Failed { .. } => Todo::Stopped,
        JobState::Absent => Todo::Gone,
        // The Job may have been made although nobody noted it: it is deleted unseen.
        JobState::Unknown | JobState::Active { is_going: false } if known.last.is_none() => {
            Todo::Stop
        }
        JobState::Unknown | JobState::Active { .. } => {
            let was_forced = known.last.is_some_and(|last| last >= forced);
            if known.now >= forced && !was_forced {
                Todo::ForceStop
            } else if was_forced {
                Todo::Wait(Some(unconfirmed))
            } else {
                Todo::Wait(Some(forced))
            }
        }
    }
}

pub(super) fn grace(session: &Session) -> SignedDuration {
    SignedDuration::from_secs(i64::from(session.spec.grace_period_seconds))
}

#[cfg(test)]
mod tests;
