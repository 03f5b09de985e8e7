//! Runs that are over for the record: each is settled when it is proven that nothing of it runs any more,
//! and nothing is left alone before.

use super::{
    LONGEST_JOB,
    decide::JobState,
    end::{self, ActError},
    jobs::Jobs,
};
use crate::{Context, backoff::Backoff};
use domain::{RunId, Session, SessionId, TenantId};
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};
use store::StoreError;
use tokio::{
    task::{JoinError, JoinSet},
    time::Instant,
};

/// How long a run that is over may take to end by itself, with its Job.
const BY_ITSELF: Duration = Duration::from_secs(10);

struct Leftover {
    failures: u32,
    /// When it is looked at next; nothing while it is.
    due: Option<Instant>,
}

/// What is left of one tenant's sessions.
pub(super) struct Ended {
    backoff: Backoff,
    /// The newest run of each session that is not over.
    active: HashMap<SessionId, RunId>,
    /// Whether the record was asked about runs of earlier processes.
    is_read: bool,
    /// Runs that end by themselves, and when they should have.
    ending: HashMap<RunId, Instant>,
    /// Runs whose Jobs have to go.
    leftovers: HashMap<RunId, Leftover>,
    looks: JoinSet<(RunId, Result<bool, ActError>)>,
}

impl Ended {
    pub(super) fn new(backoff: Backoff) -> Self {
        Self {
            backoff,
            active: HashMap::new(),
            is_read: false,
            ending: HashMap::new(),
            leftovers: HashMap::new(),
            looks: JoinSet::new(),
        }
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.ending.is_empty() && self.leftovers.is_empty()
    }

    /// Nobody waits for this run to end by itself.
    pub(super) fn clear_away(&mut self, run: RunId) {
        self.ending.remove(&run);
        self.leftovers.entry(run).or_insert(Leftover { failures: 0, due: Some(Instant::now()) });
    }

    /// Takes note of the runs of sessions that are over by now, and settles those of which the watch on
    /// Jobs says that they have ended. `is_suspect`: the record has to say what earlier processes left.
    /// Whether the tenant's cluster had its say about everything.
    pub(super) async fn look(
        &mut self,
        cx: &Context,
        tenant: TenantId,
        jobs: &mut Jobs,
        sessions: &[Session],
        is_suspect: bool,
    ) -> Result<bool, StoreError> {
        let due = Instant::now() + BY_ITSELF;
        let active = sessions.iter().filter_map(|session| Some((session.id, session.run?)));
        let before = std::mem::replace(&mut self.active, active.collect());
        let known: HashSet<RunId> = self.active.values().copied().collect();
        let mut over: Vec<RunId> = before
            .into_iter()
            .filter(|(session, _)| !self.active.contains_key(session))
            .map(|(_, run)| run)
            .collect();
        jobs.keep(&known);
        if is_suspect && !self.is_read {
            let since = cx.clock.now() - LONGEST_JOB;
            over.extend(cx.store.runs_unproven(tenant, since).await?);
            self.is_read = true;
        }
        for run in over {
            if !known.contains(&run) && !self.leftovers.contains_key(&run) {
                self.ending.entry(run).or_insert(due);
            }
        }
        // Jobs that still run although the record says that their session is over. What the record does
        // not know is left alone.
        let is_new = |run: &RunId| {
            let is_known = known.contains(run) || self.ending.contains_key(run);
            !is_known && !self.leftovers.contains_key(run)
        };
        for stray in jobs.active().filter(is_new).collect::<Vec<_>>() {
            match end::over(&cx.store, tenant, stray).await? {
                Some((_, run)) if run.exited_at.is_some() => {
                    self.ending.insert(stray, due);
                }
                Some(_) => self.clear_away(stray),
                None => {}
            }
        }
        self.settle(cx, jobs).await?;
        Ok(jobs.is_complete())
    }

    async fn settle(&mut self, cx: &Context, jobs: &Jobs) -> Result<(), StoreError> {
        let now = Instant::now();
        for (run, due) in self.ending.clone() {
            match jobs.state(run) {
                JobState::Complete { .. } | JobState::Failed { .. } | JobState::Absent => {
                    cx.store.run_settled(run).await?;
                    self.ending.remove(&run);
                }
                JobState::Active { .. } | JobState::Unknown if due <= now => self.clear_away(run),
                JobState::Active { .. } | JobState::Unknown => {}
            }
        }
        Ok(())
    }

    /// Begins the looks whose time has come. Gives the time of the next one, or of what should end by itself.
    pub(super) fn start_due(&mut self, cx: &Context, tenant: TenantId) -> Option<Instant> {
        let now = Instant::now();
        for (run, leftover) in &mut self.leftovers {
            if leftover.due.is_some_and(|due| due <= now) {
                leftover.due = None;
                let (cx, run) = (cx.clone(), *run);
                self.looks
                    .spawn(async move { (run, Box::pin(end::clear_away(&cx, tenant, run)).await) });
            }
        }
        let leftovers = self.leftovers.values().filter_map(|leftover| leftover.due);
        leftovers.chain(self.ending.values().copied()).min()
    }

    /// The end of a look; nothing while none is under way.
    pub(super) async fn next(&mut self) -> Option<()> {
        let ended = self.looks.join_next().await?;
        self.ended(ended);
        Some(())
    }

    fn ended(&mut self, ended: Result<(RunId, Result<bool, ActError>), JoinError>) {
        match ended {
            Ok((run, Ok(true))) => {
                self.leftovers.remove(&run);
            }
            Ok((run, Ok(false))) => self.put_off(run, None),
            Ok((run, Err(error))) => {
                tracing::warn!(
                    run.id = %run,
                    error = &error as &dyn std::error::Error,
                    "the Job of a session that is over could not be cleared away; it is tried again"
                );
                self.put_off(run, Some(&error));
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "clearing a Job away broke off; it begins anew"
                );
                // Which one is not known: all are looked at again.
                let runs: Vec<RunId> = self.leftovers.keys().copied().collect();
                for run in runs {
                    self.put_off(run, None);
                }
            }
        }
    }

    fn put_off(&mut self, run: RunId, error: Option<&ActError>) {
        if let Some(leftover) = self.leftovers.get_mut(&run) {
            leftover.failures = leftover.failures.saturating_add(1);
            let asked = error.and_then(ActError::retry_after);
            let wait = self.backoff.after_answer(leftover.failures, asked);
            leftover.due = Some(Instant::now() + wait);
        }
    }

    /// Lets what is under way come to its end.
    pub(super) async fn drain(&mut self) {
        while self.looks.join_next().await.is_some() {}
    }
}
