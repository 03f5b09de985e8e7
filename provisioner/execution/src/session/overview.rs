//! What is known of one tenant's sessions, and what is to be done about them. Does nothing itself, and its
//! only time is the clock's: whoever works with it decides when, and in what order.

use super::{
    decide::{JobState, Known, Todo, asks_host_at, decide},
    end::{self, ActError, Acted, act},
    ended::{Active, Ended},
    jobs::{Jobs, News},
};
use crate::{Context, backoff::Backoff};
use domain::{ConditionKind, Run, RunId, Session, SessionId, SessionState, TenantId};
use jiff::{SignedDuration, Timestamp};
use std::collections::{HashMap, HashSet};
use store::StoreError;

/// When everything is looked at although nothing has happened.
const FULL_LOOK: SignedDuration = SignedDuration::from_mins(5);
/// Whoever has not looked for so long has stood still: silence meanwhile is nobody's but its own. While
/// agents run there is a look at least every twelve seconds.
const STOOD_STILL: SignedDuration = SignedDuration::from_secs(20);

/// What is known of one tenant's sessions.
pub(super) struct Overview {
    tenant: TenantId,
    backoff: Backoff,
    /// Since when it could hear runners: it began, or went on after it had stood still.
    since: Timestamp,
    /// When it last looked at every session.
    looked_at: Timestamp,
    jobs: Jobs,
    /// Sessions that something is being done about.
    busy: HashSet<SessionId>,
    /// When something was last done about a session's pod or Job.
    last: HashMap<SessionId, (SessionState, Timestamp)>,
    failures: HashMap<SessionId, (u32, Timestamp)>,
    ended: Ended,
    /// Whether earlier processes may have left Jobs: the tenant's cluster has to say.
    is_suspect: bool,
}

/// What the record says.
pub(super) struct Record {
    is_ready: bool,
    sessions_at_once: usize,
    /// Those that are not over, oldest first.
    pub(super) sessions: Vec<Session>,
}

/// What came of a look.
pub(super) struct Look {
    /// What is to be done now, each at its own pace.
    pub(super) tasks: Vec<Task>,
    /// When something may have to be done again.
    pub(super) next: Timestamp,
    /// Whether the tenant's cluster can be asked, and has to be, which Jobs it has.
    pub(super) needs_watch: bool,
}

/// Something to do.
#[derive(Debug)]
pub(super) enum Task {
    /// About a session and its newest run.
    Act(Box<Session>, Option<Box<Run>>, Todo),
    /// See to it that nothing of a run that is over runs any more.
    ClearAway(RunId),
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Outcome {
    Acted(SessionId, Result<Acted, ActError>),
    /// Whether it is proven.
    ClearedAway(RunId, Result<bool, ActError>),
}

impl Record {
    /// Nothing of a tenant that is gone or on its way out: its sessions are ended by its removal.
    pub(super) async fn read(cx: &Context, tenant: TenantId) -> Result<Option<Self>, StoreError> {
        let Some(record) = cx.store.tenant_get(tenant).await? else { return Ok(None) };
        if record.deletion_requested_at.is_some() {
            return Ok(None);
        }
        let plan = record.plan();
        Ok(Some(Self {
            is_ready: record.conditions.is_true(ConditionKind::Ready),
            sessions_at_once: usize::try_from(plan.sessions_at_once).unwrap_or(usize::MAX),
            sessions: cx.store.session_active(tenant).await?,
        }))
    }
}

impl Task {
    /// Does it. Repeating it is harmless, and so is being cut off at any moment.
    pub(super) async fn carry_out(self, cx: Context, tenant: TenantId) -> Outcome {
        match self {
            Self::Act(session, run, todo) => {
                let result = Box::pin(act(&cx, &session, run.as_deref(), todo)).await;
                Outcome::Acted(session.id, result)
            }
            Self::ClearAway(run) => {
                Outcome::ClearedAway(run, Box::pin(end::clear_away(&cx, tenant, run)).await)
            }
        }
    }
}

impl Overview {
    pub(super) fn new(
        tenant: TenantId,
        is_suspect: bool,
        backoff: Backoff,
        now: Timestamp,
    ) -> Self {
        Self {
            tenant,
            backoff,
            since: now,
            looked_at: now,
            jobs: Jobs::default(),
            busy: HashSet::new(),
            last: HashMap::new(),
            failures: HashMap::new(),
            ended: Ended::new(backoff),
            is_suspect,
        }
    }

    /// Looks at every session once. What it gives to be done counts as being done.
    pub(super) async fn look(&mut self, cx: &Context, record: &Record) -> Look {
        let now = self.now(cx);
        let needs_watch = record.is_ready && (!record.sessions.is_empty() || !self.is_done());
        let active: HashSet<SessionId> = record.sessions.iter().map(|session| session.id).collect();
        self.last.retain(|session, _| active.contains(session));
        self.failures.retain(|session, _| active.contains(session));
        let is_queued = |session: &&Session| session.state == SessionState::Queued;
        let queued = record.sessions.iter().filter(is_queued);
        let submitting = queued.filter(|session| self.busy.contains(&session.id)).count();
        let in_flight = record.sessions.iter().filter(|session| !is_queued(session)).count();
        let mut slots = record.sessions_at_once.saturating_sub(in_flight + submitting);

        let mut look = Look { tasks: Vec::new(), next: now + FULL_LOOK, needs_watch };
        for session in &record.sessions {
            if self.busy.contains(&session.id) {
                continue;
            }
            if let Some((_, until)) = self.failures.get(&session.id)
                && *until > now
                && !is_past(session, now)
            {
                look.next = look.next.min(*until);
                continue;
            }
            let run = match run_of(cx, session).await {
                Ok(run) => run,
                Err(error) => {
                    tracing::warn!(
                        session.id = %session.id,
                        error = &error as &dyn std::error::Error,
                        "a run could not be read"
                    );
                    look.next = look.next.min(now + longest(self.backoff));
                    continue;
                }
            };
            let job = run.as_ref().map_or(JobState::Unknown, |run| self.jobs.state(run.id));
            let last = self.last.get(&session.id);
            let last = last.filter(|(state, _)| *state == session.state).map(|(_, at)| *at);
            let known = Known {
                run: run.as_ref(),
                job: &job,
                now,
                listening_since: self.since,
                is_ready: record.is_ready,
                has_slot: slots > 0,
                last,
            };
            let todo = decide(session, &known);
            if let Todo::Wait(until) = todo {
                look.next = until.map_or(look.next, |until| look.next.min(until));
                continue;
            }
            if todo == Todo::Submit {
                slots -= 1;
            }
            if todo.has_a_next_time() {
                self.last.insert(session.id, (session.state, now));
            }
            self.busy.insert(session.id);
            look.tasks.push(Task::Act(Box::new(session.clone()), run.map(Box::new), todo));
        }
        self.look_after_ended(cx, record, now).await;
        look.tasks.extend(self.ended.due(now).map(Task::ClearAway));
        look.next = self.ended.next().map_or(look.next, |next| look.next.min(next));
        look
    }

    /// Takes note of what came of a task. Whether the tenant's own controller is to look after it.
    pub(super) fn take_outcome(&mut self, outcome: Outcome, now: Timestamp) -> bool {
        let (session, result) = match outcome {
            Outcome::Acted(session, result) => (session, result),
            Outcome::ClearedAway(run, result) => {
                self.ended.cleared_away(run, result, now);
                return false;
            }
        };
        self.busy.remove(&session);
        let acted = match result {
            Ok(acted) => acted,
            Err(error) => return self.failed(session, &error, now),
        };
        self.failures.remove(&session);
        match acted {
            Acted::JobIsThere(run) => self.jobs.made(run),
            Acted::JobIsLeft(run) => self.ended.clear_away(run, now),
            Acted::Done => {}
        }
        false
    }

    fn failed(&mut self, session: SessionId, error: &ActError, now: Timestamp) -> bool {
        let failures = self.failures.get(&session).map_or(0, |(failures, _)| *failures) + 1;
        let wait = self.backoff.after_answer(failures, error.retry_after());
        let wait = SignedDuration::try_from(wait).unwrap_or(FULL_LOOK);
        self.failures.insert(session, (failures, now + wait));
        // What was tried does not count as done.
        self.last.remove(&session);
        tracing::warn!(
            session.id = %session,
            failures,
            error = error as &dyn std::error::Error,
            "nothing could be done about a session; it is tried again"
        );
        matches!(error, ActError::NoProject(_))
    }

    /// A task broke off, and nobody knows which one: all are looked at again.
    pub(super) fn broke_off(&mut self, now: Timestamp) {
        self.busy.clear();
        self.ended.broke_off(now);
    }

    pub(super) fn take_news(&mut self, news: News) {
        self.jobs.take(news);
    }

    /// Whether it is proven that nothing runs on whose session is over.
    pub(super) fn is_done(&self) -> bool {
        self.busy.is_empty() && self.ended.is_empty() && !self.is_suspect
    }

    /// The time of this look.
    fn now(&mut self, cx: &Context) -> Timestamp {
        let now = cx.clock.now();
        if now.duration_since(self.looked_at) > STOOD_STILL {
            self.since = now;
        }
        self.looked_at = now;
        now
    }

    /// Sees to it that of sessions that are over nothing runs any more.
    async fn look_after_ended(&mut self, cx: &Context, record: &Record, now: Timestamp) {
        let runs = record.sessions.iter().filter_map(|session| session.run).collect();
        let active = Active { runs, busy: &self.busy };
        match self.ended.look(cx, self.tenant, &mut self.jobs, &active, now).await {
            // The tenant's cluster has had its say about everything.
            Ok(()) => self.is_suspect &= !self.jobs.is_complete(),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the runs of the tenant's sessions that are over could not be read"
            ),
        }
    }
}

async fn run_of(cx: &Context, session: &Session) -> Result<Option<Run>, StoreError> {
    match session.run {
        Some(run) => cx.store.run_get(run).await,
        None => Ok(None),
    }
}

/// Whether a session's time is over: that does not wait for a tenant that cannot be reached.
fn is_past(session: &Session, now: Timestamp) -> bool {
    if session.state == SessionState::Stopping {
        return now >= asks_host_at(session);
    }
    let began = session.running_at.or(session.starting_at);
    let allowed = i64::from(session.spec.timeout_seconds + session.spec.grace_period_seconds);
    began.is_some_and(|began| now >= began + SignedDuration::from_secs(allowed + 30))
}

pub(super) fn longest(backoff: Backoff) -> SignedDuration {
    SignedDuration::try_from(backoff.longest).unwrap_or(FULL_LOOK)
}
