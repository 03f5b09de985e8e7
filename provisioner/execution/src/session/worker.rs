//! One tenant's sessions: decides, acts, waits for news.

use super::{
    decide::{JobState, Known, Todo, asks_host_at, decide},
    end::{ActError, Acted, act},
    ended::Ended,
    jobs::{self, Jobs, News},
};
use crate::{
    Context,
    backoff::Backoff,
    hint::Hint,
    watch::{Target, Wake},
};
use domain::{ConditionKind, Plan, Run, Session, SessionId, SessionState, TenantId};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use store::StoreError;
use tokio::{
    sync::{Notify, mpsc},
    task::{AbortHandle, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// How long a worker and its watch stay after the last session has ended.
const LINGERS: Duration = Duration::from_mins(1);
/// When everything is looked at although nothing has happened.
const FULL_LOOK: Duration = Duration::from_mins(5);
/// Whoever has not looked for so long has stood still: silence meanwhile is nobody's but its own. While
/// agents run there is a look at least every twelve seconds.
const STOOD_STILL: SignedDuration = SignedDuration::from_secs(20);
/// After a failure.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(15) };

struct Worker {
    cx: Context,
    /// Since when it could hear runners: it began, or went on after it had stood still.
    since: Timestamp,
    /// When it last looked at every session.
    looked_at: Timestamp,
    tenant: TenantId,
    /// Wakes the tenant's own controller.
    tenants: mpsc::UnboundedSender<Wake>,
    jobs: Jobs,
    news: mpsc::UnboundedReceiver<News>,
    sender: mpsc::UnboundedSender<News>,
    watch: Option<AbortHandle>,
    acts: JoinSet<(SessionId, Result<Acted, ActError>)>,
    /// Sessions that something is being done about.
    busy: HashSet<SessionId>,
    /// When something was last done about a session's pod or Job.
    last: HashMap<SessionId, (SessionState, Timestamp)>,
    failures: HashMap<SessionId, (u32, Instant)>,
    ended: Ended,
    /// Whether earlier processes may have left runs that are not settled: the record has to say, and the
    /// tenant's cluster.
    is_suspect: bool,
}

/// What the record says.
struct Record {
    is_ready: bool,
    sessions_at_once: usize,
    sessions: Vec<Session>,
}

/// Works until the tenant has had no active session for a while and nothing is left of any, or until
/// cancelled.
#[tracing::instrument(name = "sessions.tenant", skip_all, fields(tenant.id = %tenant))]
pub(super) async fn run(
    cx: Context,
    tenant: TenantId,
    is_suspect: bool,
    wake: Arc<Notify>,
    tenants: mpsc::UnboundedSender<Wake>,
    cancel: CancellationToken,
) {
    let (sender, news) = mpsc::unbounded_channel();
    let mut worker = Worker {
        since: cx.clock.now(),
        looked_at: cx.clock.now(),
        cx,
        tenant,
        tenants,
        jobs: Jobs::default(),
        news,
        sender,
        watch: None,
        acts: JoinSet::new(),
        busy: HashSet::new(),
        last: HashMap::new(),
        failures: HashMap::new(),
        ended: Ended::new(BACKOFF),
        is_suspect,
    };
    let mut idle_until = Instant::now() + LINGERS;
    while !cancel.is_cancelled() {
        let next = match worker.record().await {
            Ok(None) => break,
            Ok(Some(record)) => {
                if !record.sessions.is_empty() {
                    idle_until = Instant::now() + LINGERS;
                } else if Instant::now() >= idle_until && worker.is_done() {
                    break;
                }
                let next = worker.round(&record).await;
                let is_idle = record.sessions.is_empty() && worker.is_done();
                if is_idle { idle_until } else { next }
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the tenant's sessions could not be read"
                );
                Instant::now() + BACKOFF.longest
            }
        };
        tokio::select! {
            () = cancel.cancelled() => {}
            () = wake.notified() => {}
            Some(news) = worker.news.recv() => worker.take(news),
            Some(ended) = worker.acts.join_next() => worker.acted(ended),
            Some(()) = worker.ended.next() => {}
            () = tokio::time::sleep_until(next) => {}
        }
    }
    worker.drain().await;
}

impl Worker {
    async fn record(&self) -> Result<Option<Record>, StoreError> {
        let Some(record) = self.cx.store.tenant_get(self.tenant).await? else { return Ok(None) };
        // Sessions of a tenant on its way out are ended by its removal.
        if record.deletion_requested_at.is_some() {
            return Ok(None);
        }
        let plan = Plan::current(record.plan);
        Ok(Some(Record {
            is_ready: record.conditions.is_true(ConditionKind::Ready),
            sessions_at_once: usize::try_from(plan.sessions_at_once).unwrap_or(usize::MAX),
            sessions: self.cx.store.session_active(self.tenant).await?,
        }))
    }

    /// Looks at every session once. Gives the time at which something may have to be done again.
    async fn round(&mut self, record: &Record) -> Instant {
        let is_needed = !record.sessions.is_empty() || !self.is_done();
        if self.watch.is_none() && record.is_ready && is_needed {
            let follow = jobs::follow(self.cx.clone(), self.tenant, self.sender.clone());
            self.watch = Some(tokio::spawn(follow).abort_handle());
        }
        let active: HashSet<SessionId> = record.sessions.iter().map(|session| session.id).collect();
        self.last.retain(|session, _| active.contains(session));
        self.failures.retain(|session, _| active.contains(session));
        let is_queued = |session: &&Session| session.state == SessionState::Queued;
        let queued = record.sessions.iter().filter(is_queued);
        let submitting = queued.filter(|session| self.busy.contains(&session.id)).count();
        let in_flight = record.sessions.iter().filter(|session| !is_queued(session)).count();
        let mut slots = record.sessions_at_once.saturating_sub(in_flight + submitting);

        let now = self.now();
        let mut next = Instant::now() + FULL_LOOK;
        for session in &record.sessions {
            if self.busy.contains(&session.id) {
                continue;
            }
            if let Some((_, until)) = self.failures.get(&session.id)
                && *until > Instant::now()
                && !is_past(session, now)
            {
                next = next.min(*until);
                continue;
            }
            let run = match self.run_of(session).await {
                Ok(run) => run,
                Err(error) => {
                    tracing::warn!(
                        session.id = %session.id,
                        error = &error as &dyn std::error::Error,
                        "a run could not be read"
                    );
                    next = next.min(Instant::now() + BACKOFF.longest);
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
                next = until.map_or(next, |until| next.min(instant(now, until)));
                continue;
            }
            if todo == Todo::Submit {
                slots -= 1;
            }
            if todo.has_a_next_time() {
                self.last.insert(session.id, (session.state, now));
            }
            self.begin(session.clone(), run, todo);
        }
        let due = self.look_after_ended(&record.sessions).await;
        due.map_or(next, |due| next.min(due))
    }

    /// The time of this look.
    fn now(&mut self) -> Timestamp {
        let now = self.cx.clock.now();
        if now.duration_since(self.looked_at) > STOOD_STILL {
            self.since = now;
        }
        self.looked_at = now;
        now
    }

    async fn run_of(&self, session: &Session) -> Result<Option<Run>, StoreError> {
        match session.run {
            Some(run) => self.cx.store.run_get(run).await,
            None => Ok(None),
        }
    }

    fn begin(&mut self, session: Session, run: Option<Run>, todo: Todo) {
        self.busy.insert(session.id);
        let cx = self.cx.clone();
        self.acts.spawn(async move {
            let result = Box::pin(act(&cx, &session, run.as_ref(), todo)).await;
            (session.id, result)
        });
    }

    fn acted(
        &mut self,
        ended: Result<(SessionId, Result<Acted, ActError>), tokio::task::JoinError>,
    ) {
        let (session, result) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "something about a session broke off"
                );
                // Which one is not known: all are looked at again.
                self.busy.clear();
                return;
            }
        };
        self.busy.remove(&session);
        match result {
            Ok(Acted::JobIsThere(run)) => {
                self.jobs.made(run);
                self.failures.remove(&session);
            }
            Ok(Acted::JobIsLeft(run)) => {
                self.ended.clear_away(run);
                self.failures.remove(&session);
            }
            Ok(Acted::Done) => {
                self.failures.remove(&session);
            }
            Err(error) => {
                let (failures, _) =
                    self.failures.get(&session).copied().unwrap_or((0, Instant::now()));
                if matches!(error, ActError::NoProject(_)) {
                    let target = Target::Tenant(self.tenant);
                    // Nobody listens any more only while the process ends.
                    let _ = self.tenants.send(Wake { target, hint: Hint::Everything });
                }
                let wait = BACKOFF.after_answer(failures + 1, error.retry_after());
                self.failures.insert(session, (failures + 1, Instant::now() + wait));
                // What was tried does not count as done.
                self.last.remove(&session);
                tracing::warn!(
                    session.id = %session,
                    failures = failures + 1,
                    error = &error as &dyn std::error::Error,
                    "nothing could be done about a session; it is tried again"
                );
            }
        }
    }

    fn take(&mut self, news: News) {
        self.jobs.take(news);
        while let Ok(news) = self.news.try_recv() {
            self.jobs.take(news);
        }
    }

    /// Sees to it that of sessions that are over nothing runs any more. When it wants to be asked again.
    async fn look_after_ended(&mut self, sessions: &[Session]) -> Option<Instant> {
        let (cx, tenant) = (&self.cx, self.tenant);
        let looked = self.ended.look(cx, tenant, &mut self.jobs, sessions, self.is_suspect);
        match looked.await {
            Ok(is_all) => self.is_suspect &= !is_all,
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the runs of the tenant's sessions that are over could not be read"
            ),
        }
        self.ended.start_due(&self.cx, self.tenant)
    }

    /// Whether it is proven that nothing runs on whose session is over.
    fn is_done(&self) -> bool {
        self.acts.is_empty() && self.ended.is_empty() && !self.is_suspect
    }

    /// Lets what is under way come to its end. Whoever stops the controllers says how long this may take.
    async fn drain(mut self) {
        if let Some(watch) = self.watch.take() {
            watch.abort();
        }
        while self.acts.join_next().await.is_some() {}
        self.ended.drain().await;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
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

fn instant(now: Timestamp, until: Timestamp) -> Instant {
    let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
    Instant::now() + left
}
