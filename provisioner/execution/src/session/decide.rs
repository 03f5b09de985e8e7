//! What to do about a session, from what is known. Pure.

use domain::{Run, Session, SessionState};
use jiff::{SignedDuration, Timestamp};

/// What a session's Job may take beyond its time limit and grace period, before it is ended whatever
/// the tenant's cluster says.
const BEYOND: SignedDuration = SignedDuration::from_secs(30);
/// When a run whose agent has not started is looked at.
const FIRST_LOOK: SignedDuration = SignedDuration::from_secs(10);
/// After what silence of a runner, which is heard every 5 s, its pod and its node are looked at; and how
/// often then.
const SILENT: SignedDuration = SignedDuration::from_secs(12);
const LISTENS: SignedDuration = SignedDuration::from_secs(3);
/// How long the Job may take to notice that its process is over.
const JOB_NOTICES: SignedDuration = SignedDuration::from_secs(10);
/// How long the runner's report may come after the Job's success.
const REPORT_COMES: SignedDuration = SignedDuration::from_secs(5);
/// When a pod that is to go is taken out of the API, after its grace period.
pub(super) const FORCED: SignedDuration = SignedDuration::from_secs(15);
/// When the host is asked what of a session that is being stopped still runs, after its grace period: by
/// then its node has ended every process of it, or cannot.
const ASKED: SignedDuration = SignedDuration::from_secs(7);
/// When its token dies if nobody could prove that its process has, after its grace period.
const FENCED: SignedDuration = SignedDuration::from_secs(9);
/// How often proof is looked for at first; later after a tenth of the time that has gone by, and at least
/// this often.
const PROVES: SignedDuration = SignedDuration::from_secs(1);
const PROVES_AT_LEAST: SignedDuration = SignedDuration::from_secs(30);
/// How often the Job of a run whose node is emptied is told to go, as long as it does not.
const TELLS: SignedDuration = SignedDuration::from_secs(3);
/// When a run that failed is asked about again, until it is proven that nothing of it runs.
const SETTLES: SignedDuration = SignedDuration::from_secs(2);

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
    /// Its last run failed and another follows: see to it that nothing of that one runs any more.
    Settle,
    /// Its run was made; find out whether its Job was, and make it if not.
    Resume,
    /// Its agent should have started: look at the pod and at events.
    Look,
    /// Its runner is not heard of: find out whether its process still runs.
    Listen {
        /// Since when.
        since: Timestamp,
    },
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
    /// It was to stop: find out whether anything of it still runs, and see to it that it ends.
    Prove {
        /// Its time to end is over: its token is to be dead whatever is found out.
        is_late: bool,
    },
    /// Its node is emptied: delete the Job, with its grace period.
    Leave,
    /// The same, and it has had its grace period and more: end the run for the record.
    Drained,
    /// It has had its time and more.
    TimeOut,
}

impl Todo {
    /// Whether it may have to be done again, some time after it was done.
    pub(super) const fn has_a_next_time(&self) -> bool {
        matches!(
            self,
            Self::Look
                | Self::Listen { .. }
                | Self::Settle
                | Self::Stop
                | Self::Leave
                | Self::Prove { .. }
        )
    }
}

/// What is known besides the session itself.
#[derive(Debug, Clone)]
pub(super) struct Known<'a> {
    pub(super) run: Option<&'a Run>,
    pub(super) job: &'a JobState,
    pub(super) now: Timestamp,
    /// Since when runners can be heard: nobody was while Warren was away.
    pub(super) listening_since: Timestamp,
    /// Whether the tenant is ready.
    pub(super) is_ready: bool,
    /// Whether one more session may be in flight.
    pub(super) has_slot: bool,
    /// When its pod was last looked at, its Job last deleted, or its last run last asked about.
    pub(super) last: Option<Timestamp>,
}

pub(super) fn decide(session: &Session, known: &Known<'_>) -> Todo {
    match session.state {
        SessionState::Queued => queued(session, known),
        SessionState::Starting | SessionState::Running => in_flight(session, known),
        SessionState::Stopping => stopping(session, known),
        SessionState::Succeeded
        | SessionState::Failed
        | SessionState::TimedOut
        | SessionState::Stopped => Todo::Wait(None),
    }
}

fn queued(session: &Session, known: &Known<'_>) -> Todo {
    if known.run.is_some_and(|run| run.settled_at.is_none()) {
        let again = known.last.map(|last| last + SETTLES);
        return match again {
            Some(again) if known.now < again => Todo::Wait(Some(again)),
            Some(_) | None => Todo::Settle,
        };
    }
    match session.retry_at {
        Some(at) if known.now < at => Todo::Wait(Some(at)),
        Some(_) | None if known.is_ready && known.has_slot => Todo::Submit,
        Some(_) | None => Todo::Wait(None),
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
    let drained = known.run.and_then(|run| run.drain.as_ref()).map(|drain| drain.at);
    match known.job {
        JobState::Unknown | JobState::Active { .. } if let Some(asked) = drained => {
            leaving(session, known, asked, deadline)
        }
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
        JobState::Active { .. } if session.state == SessionState::Running => match over {
            Some(over) => Todo::Wait(Some(over.min(deadline))),
            None => running(session, known, deadline),
        },
        JobState::Active { .. } => {
            let look = known.last.unwrap_or(created) + FIRST_LOOK;
            if known.now >= look { Todo::Look } else { Todo::Wait(Some(look.min(deadline))) }
        }
    }
}

/// Its run is to end because its node is emptied: it is told to, and after its grace period it is over whatever is known.
fn leaving(session: &Session, known: &Known<'_>, asked: Timestamp, deadline: Timestamp) -> Todo {
    let fenced = asked + grace(session) + FENCED;
    if known.now >= fenced {
        return Todo::Drained;
    }
    let next = fenced.min(deadline);
    if matches!(known.job, JobState::Active { is_going: true }) {
        return Todo::Wait(Some(next));
    }
    match known.last.filter(|last| *last >= asked).map(|last| last + TELLS) {
        Some(again) if known.now < again => Todo::Wait(Some(again.min(next))),
        Some(_) | None => Todo::Leave,
    }
}

/// The pod of a process that is gone may say that it runs, for as long as its node is gone too.
fn running(session: &Session, known: &Known<'_>, deadline: Timestamp) -> Todo {
    let heard = known.run.and_then(|run| run.heartbeat_at).or(session.running_at);
    let since = heard.unwrap_or(known.listening_since).max(known.listening_since);
    let again = known.last.map(|last| last + LISTENS);
    let look = again.map_or(since + SILENT, |again| again.max(since + SILENT));
    if known.now >= look { Todo::Listen { since } } else { Todo::Wait(Some(look.min(deadline))) }
}

fn stopping(session: &Session, known: &Known<'_>) -> Todo {
    let is_over = match known.job {
        JobState::Complete { .. } | JobState::Failed { .. } | JobState::Absent => true,
        // The Job may have been made although nobody noted it: it is deleted unseen.
        JobState::Unknown | JobState::Active { is_going: false } if known.last.is_none() => {
            if known.now < asks_host_at(session) {
                return Todo::Stop;
            }
            false
        }
        JobState::Unknown | JobState::Active { .. } => false,
    };
    let asked = session.stop_requested_at.unwrap_or(known.now);
    let begins = if is_over { asked } else { asks_host_at(session) };
    let gone_by = known.now.duration_since(asked);
    let pause = (gone_by / 10).clamp(PROVES, PROVES_AT_LEAST);
    let again = known.last.filter(|last| *last >= begins).map(|last| last + pause);
    let fenced = asked + grace(session) + FENCED;
    let due = again.map_or(begins, |again| again.max(begins));
    // The token dies in time, however long the pause.
    let due = if known.last.is_none_or(|last| last < fenced) { due.min(fenced) } else { due };
    if known.now < due {
        return Todo::Wait(Some(due));
    }
    Todo::Prove { is_late: known.now >= fenced }
}

/// When the host is asked about a session that is being stopped, whatever its tenant's cluster says.
pub(super) fn asks_host_at(session: &Session) -> Timestamp {
    session.stop_requested_at.unwrap_or(session.created_at) + grace(session) + ASKED
}

pub(super) fn grace(session: &Session) -> SignedDuration {
    SignedDuration::from_secs(i64::from(session.spec.grace_period_seconds))
}

#[cfg(test)]
mod tests;
