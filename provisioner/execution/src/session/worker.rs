//! One tenant's sessions: decides, acts, waits for news.

use super::{
    decide::{JobState, Known, Todo, decide},
    end::{ActError, Acted, Over, act, over},
    jobs::{self, Jobs, News},
    leftovers::Leftovers,
};
use crate::{
    Context,
    backoff::Backoff,
    hint::Hint,
    watch::{Target, Wake},
};
use domain::{ConditionKind, Plan, Run, RunId, Session, SessionId, SessionState, TenantId};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use store::StoreError;
use tokio::{
    sync::{Notify, Semaphore, mpsc},
    task::{AbortHandle, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// How long a worker and its watch stay after the last session has ended.
const LINGERS: Duration = Duration::from_mins(1);
/// When everything is looked at although nothing has happened.
const FULL_LOOK: Duration = Duration::from_mins(5);
/// After a failure.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(15) };

/// Jobs that are being made at the same time for one tenant. Pods that start side by side slow one another down: of
/// many sessions the oldest are to run soon, not all of them late.
const SUBMITTED_AT_ONCE: usize = 1;

struct Worker {
    cx: Context,
    tenant: TenantId,
    submitting: Arc<Semaphore>,
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
    /// Jobs without an active session that end by themselves.
    ending: HashSet<RunId>,
    /// Jobs without an active session that have to go.
    leftovers: Leftovers,
    /// Whether earlier processes may have left Jobs: the tenant's cluster has to say.
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
        cx,
        tenant,
        submitting: Arc::new(Semaphore::new(SUBMITTED_AT_ONCE)),
        tenants,
        jobs: Jobs::default(),
        news,
        sender,
        watch: None,
        acts: JoinSet::new(),
        busy: HashSet::new(),
        last: HashMap::new(),
        failures: HashMap::new(),
        ending: HashSet::new(),
        leftovers: Leftovers::new(BACKOFF),
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
            Some(()) = worker.leftovers.next_end() => {}
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

        let now = self.cx.clock.now();
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
            if matches!(todo, Todo::Look | Todo::Stop | Todo::ForceStop) {
                self.last.insert(session.id, (session.state, now));
            }
            self.begin(session.clone(), run, todo);
        }
        self.look_for_strays(&record.sessions).await;
        let due = self.leftovers.start_due(&self.cx, self.tenant);
        due.map_or(next, |due| next.min(due))
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
        let turns = (todo == Todo::Submit).then(|| Arc::clone(&self.submitting));
        self.acts.spawn(async move {
            let _turn = match &turns {
                Some(turns) => turns.acquire().await.ok(),
                None => None,
            };
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
                self.leftovers.add(run);
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

    /// Finds Jobs that still run although the record says that their session is over. What the record
    /// does not know is left alone.
    async fn look_for_strays(&mut self, sessions: &[Session]) {
        let known: HashSet<RunId> = sessions.iter().filter_map(|session| session.run).collect();
        self.jobs.keep(&known);
        let is_new = |run: &RunId| {
            !known.contains(run) && !self.ending.contains(run) && !self.leftovers.has(*run)
        };
        let strays: Vec<RunId> = self.jobs.active().filter(is_new).collect();
        let mut is_all = self.jobs.is_complete();
        for id in strays {
            match over(&self.cx.store, self.tenant, id).await {
                Ok(Over::ByItself) => {
                    self.ending.insert(id);
                }
                Ok(Over::InTheRecord(..)) => self.leftovers.add(id),
                Ok(Over::No) => {}
                Err(error) => {
                    is_all = false;
                    tracing::warn!(
                        run.id = %id,
                        error = &error as &dyn std::error::Error,
                        "a run could not be read"
                    );
                }
            }
        }
        self.is_suspect &= !is_all;
    }

    /// Whether it is proven that no process runs on whose session is over.
    fn is_done(&self) -> bool {
        self.acts.is_empty() && self.leftovers.is_empty() && !self.is_suspect
    }

    /// Lets what is under way come to its end. Whoever stops the controllers says how long this may take.
    async fn drain(mut self) {
        if let Some(watch) = self.watch.take() {
            watch.abort();
        }
        while self.acts.join_next().await.is_some() {}
        self.leftovers.drain().await;
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
    let began = session.running_at.or(session.starting_at);
    let allowed = i64::from(session.spec.timeout_seconds + session.spec.grace_period_seconds);
    began.is_some_and(|began| now >= began + SignedDuration::from_secs(allowed + 30))
}

fn instant(now: Timestamp, until: Timestamp) -> Instant {
    let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
    Instant::now() + left
}
