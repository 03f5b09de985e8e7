//! Runs that are over for the record: each is settled when it is proven that nothing of it runs any more,
//! and nothing is left alone before.

use super::{
    LONGEST_JOB,
    decide::JobState,
    end::{self, ActError},
    jobs::Jobs,
};
use crate::{Context, backoff::Backoff};
use domain::{Run, RunId, SessionId, TenantId};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, HashSet};
use store::StoreError;

/// How long a run that is over may take to end by itself, with its Job.
const BY_ITSELF: SignedDuration = SignedDuration::from_secs(10);

struct Leftover {
    failures: u32,
    /// When it is looked at next; nothing while it is.
    due: Option<Timestamp>,
}

/// What is left of one tenant's sessions.
pub(super) struct Ended {
    backoff: Backoff,
    /// Runs that end by themselves, and when they should have.
    ending: BTreeMap<RunId, Timestamp>,
    /// Runs whose Jobs have to go.
    leftovers: BTreeMap<RunId, Leftover>,
}

/// Whose runs are somebody else's to look after.
pub(super) struct Active<'a> {
    /// The newest runs of sessions that are not over.
    pub(super) runs: HashSet<RunId>,
    /// Sessions that something is being done about.
    pub(super) busy: &'a HashSet<SessionId>,
}

impl Active<'_> {
    fn has(&self, run: &Run) -> bool {
        self.runs.contains(&run.id) || self.busy.contains(&run.session)
    }
}

impl Ended {
    pub(super) fn new(backoff: Backoff) -> Self {
        Self { backoff, ending: BTreeMap::new(), leftovers: BTreeMap::new() }
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.ending.is_empty() && self.leftovers.is_empty()
    }

    /// Nobody waits for this run to end by itself.
    pub(super) fn clear_away(&mut self, run: RunId, now: Timestamp) {
        self.ending.remove(&run);
        self.leftovers.entry(run).or_insert(Leftover { failures: 0, due: Some(now) });
    }

    /// Takes note of the runs that the record has as over and not as settled, and settles those of which
    /// the watch on Jobs says that they have ended.
    pub(super) async fn look(
        &mut self,
        cx: &Context,
        tenant: TenantId,
        jobs: &mut Jobs,
        active: &Active<'_>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let over = cx.store.runs_unproven(tenant, now - LONGEST_JOB).await?;
        let over = over.into_iter().filter(|run| !active.has(run));
        let over: BTreeMap<RunId, Run> = over.map(|run| (run.id, run)).collect();
        jobs.keep(&active.runs);
        self.ending.retain(|run, _| over.contains_key(run));
        for run in over.keys().filter(|run| !self.leftovers.contains_key(run)) {
            self.ending.entry(*run).or_insert(now + BY_ITSELF);
        }
        self.find_strays(cx, tenant, jobs, active, now).await?;
        for (id, run) in over {
            let Some(due) = self.ending.get(&id).copied() else { continue };
            let has_ended = matches!(
                jobs.state(id),
                JobState::Complete { .. } | JobState::Failed { .. } | JobState::Absent
            );
            // Without its Job noted as made, its Secret may be there and nobody's.
            if has_ended && run.job_created_at.is_some() {
                cx.store.run_settled(id).await?;
                self.ending.remove(&id);
            } else if has_ended || due <= now {
                self.clear_away(id, now);
            }
        }
        Ok(())
    }

    /// Jobs that still run although the record has them as over, and as settled. What the record does not
    /// know is left alone.
    async fn find_strays(
        &mut self,
        cx: &Context,
        tenant: TenantId,
        jobs: &Jobs,
        active: &Active<'_>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let is_new = |run: &RunId| {
            let is_known = active.runs.contains(run) || self.ending.contains_key(run);
            !is_known && !self.leftovers.contains_key(run)
        };
        for stray in jobs.active().filter(is_new).collect::<Vec<_>>() {
            match end::over(&cx.store, tenant, stray).await? {
                Some((_, run)) if !active.has(&run) => self.clear_away(stray, now),
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    /// The runs whose Jobs are to be cleared away now. Each counts as being cleared away until
    /// [`Ended::cleared_away`] says what came of it.
    pub(super) fn due(&mut self, now: Timestamp) -> impl Iterator<Item = RunId> {
        self.leftovers.iter_mut().filter_map(move |(run, leftover)| {
            leftover.due.take_if(|due| *due <= now).map(|_| *run)
        })
    }

    /// When the next one is to be cleared away, or should have ended by itself.
    pub(super) fn next(&self) -> Option<Timestamp> {
        let leftovers = self.leftovers.values().filter_map(|leftover| leftover.due);
        leftovers.chain(self.ending.values().copied()).min()
    }

    pub(super) fn cleared_away(
        &mut self,
        run: RunId,
        result: Result<bool, ActError>,
        now: Timestamp,
    ) {
        match result {
            Ok(true) => {
                self.leftovers.remove(&run);
            }
            Ok(false) => self.put_off(run, None, now),
            Err(error) => {
                tracing::warn!(
                    run.id = %run,
                    error = &error as &dyn std::error::Error,
                    "the Job of a session that is over could not be cleared away; it is tried again"
                );
                self.put_off(run, Some(&error), now);
            }
        }
    }

    /// Clearing one away broke off, and nobody knows which: all are looked at again.
    pub(super) fn broke_off(&mut self, now: Timestamp) {
        let runs: Vec<RunId> = self.leftovers.keys().copied().collect();
        for run in runs {
            self.put_off(run, None, now);
        }
    }

    fn put_off(&mut self, run: RunId, error: Option<&ActError>, now: Timestamp) {
        if let Some(leftover) = self.leftovers.get_mut(&run) {
            leftover.failures = leftover.failures.saturating_add(1);
            let asked = error.and_then(ActError::retry_after);
            let wait = self.backoff.after_answer(leftover.failures, asked);
            leftover.due = Some(now.saturating_add(wait).unwrap_or(now));
        }
    }
}
