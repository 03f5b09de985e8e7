//! Sessions whose node is to be emptied: what becomes of each, by its own policy.

use super::decide::grace;
use crate::Context;
use domain::{DrainEnd, OperationId, Run, RunId, Session, SessionState, SessionsDuringMove};
use jiff::{SignedDuration, Timestamp};
use std::fmt;
use store::StoreError;

/// Who empties a place, and how long that can wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Emptying {
    pub(crate) operation: OperationId,
    /// What holds for all sessions, if it is not left to them.
    pub(crate) rule: SessionsDuringMove,
    /// Whether another run could begin elsewhere.
    pub(crate) has_place: bool,
    /// When it cannot wait any longer; nothing if sessions may have all their time.
    pub(crate) until: Option<Timestamp>,
}

/// What is waited for, for whoever watches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Sessions that run on, and the longest time that one of them has left.
    waiting: usize,
    left: SignedDuration,
    /// Those of them that would begin again elsewhere if there were such a place.
    without_place: usize,
    /// Those that are ending, by how.
    stopping: usize,
    again: usize,
    cut_off: usize,
}

/// Does with each run, found on the node that goes with it, what its session says. Repeating it is harmless.
pub(crate) async fn drain(
    cx: &Context,
    runs: impl IntoIterator<Item = (&RunId, &String)>,
    emptying: &Emptying,
) -> Result<Tally, StoreError> {
    let mut tally = Tally::default();
    for (id, node) in runs {
        let Some((session, run)) = under_way(cx, *id).await? else { continue };
        if let Some(drain) = &run.drain {
            tally.add(drain.end);
            continue;
        }
        let now = cx.clock.now();
        let policy = emptying.rule.of(session.spec.on_drain);
        let is_over = emptying.until.is_some_and(|until| now >= until);
        if let Some(end) = policy.end(emptying.has_place, is_over) {
            cx.store.session_drain(emptying.operation, *id, node, end).await?;
            tally.add(end);
            continue;
        }
        let ends = emptying.until.map_or(ends_at(&session), |until| until.min(ends_at(&session)));
        tally.waiting += 1;
        tally.left = tally.left.max(ends.duration_since(now)).max(SignedDuration::ZERO);
        let waits_for_place = policy.end(true, false) == Some(DrainEnd::Restart);
        tally.without_place += usize::from(waits_for_place);
    }
    Ok(tally)
}

/// A run that is the newest of a session that starts or runs.
async fn under_way(cx: &Context, id: RunId) -> Result<Option<(Session, Run)>, StoreError> {
    let Some(run) = cx.store.run_get(id).await? else { return Ok(None) };
    let session = cx.store.session_get(run.session).await?;
    let is_meant = |session: &Session| {
        let is_drained = run.drain.is_some() && session.state == SessionState::Stopping;
        session.run == Some(id)
            && (is_drained
                || matches!(session.state, SessionState::Starting | SessionState::Running))
    };
    Ok(session.filter(is_meant).map(|session| (session, run)))
}

/// When a session's own time is over.
fn ends_at(session: &Session) -> Timestamp {
    let began = session.running_at.or(session.starting_at).unwrap_or(session.created_at);
    began + SignedDuration::from_secs(i64::from(session.spec.timeout_seconds)) + grace(session)
}

impl Tally {
    /// Whether no session is waited for.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn add(&mut self, end: DrainEnd) {
        match end {
            DrainEnd::Stop => self.stopping += 1,
            DrainEnd::Restart => self.again += 1,
            DrainEnd::CutOff => self.cut_off += 1,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { waiting, left, without_place, stopping, again, cut_off } = self;
        let parts = [
            (*waiting, format!("running on, for {} s at most", left.as_secs())),
            (
                *without_place,
                "of them would begin again elsewhere, but there is no place".to_owned(),
            ),
            (*stopping, "being stopped".to_owned()),
            (*again, "ending to begin again elsewhere".to_owned()),
            (*cut_off, "being cut off".to_owned()),
        ];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0);
        let parts: Vec<String> = parts.map(|(count, what)| format!("{count} {what}")).collect();
        write!(f, "sessions: {}", parts.join(", "))
    }
}
