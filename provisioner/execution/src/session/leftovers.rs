//! Runs of sessions that are over, whose Jobs may still be there: nothing is left alone before that is
//! disproved.

use super::end::{self, ActError};
use crate::{Context, backoff::Backoff};
use domain::{RunId, TenantId};
use std::collections::HashMap;
use tokio::{
    task::{JoinError, JoinSet},
    time::Instant,
};

struct Leftover {
    failures: u32,
    /// When it is looked at next; nothing while it is.
    due: Option<Instant>,
}

/// What is left of one tenant's sessions.
pub(super) struct Leftovers {
    backoff: Backoff,
    all: HashMap<RunId, Leftover>,
    looks: JoinSet<(RunId, Result<bool, ActError>)>,
}

impl Leftovers {
    pub(super) fn new(backoff: Backoff) -> Self {
        Self { backoff, all: HashMap::new(), looks: JoinSet::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn has(&self, run: RunId) -> bool {
        self.all.contains_key(&run)
    }

    pub(super) fn add(&mut self, run: RunId) {
        self.all.entry(run).or_insert(Leftover { failures: 0, due: Some(Instant::now()) });
    }

    /// Begins the looks whose time has come. Gives the time of the next one.
    pub(super) fn start_due(&mut self, cx: &Context, tenant: TenantId) -> Option<Instant> {
        let now = Instant::now();
        for (run, leftover) in &mut self.all {
            if leftover.due.is_some_and(|due| due <= now) {
                leftover.due = None;
                let (cx, run) = (cx.clone(), *run);
                self.looks
                    .spawn(async move { (run, Box::pin(end::clear_away(&cx, tenant, run)).await) });
            }
        }
        self.all.values().filter_map(|leftover| leftover.due).min()
    }

    /// The end of a look; nothing while none is under way.
    pub(super) async fn next_end(&mut self) -> Option<()> {
        let ended = self.looks.join_next().await?;
        self.ended(ended);
        Some(())
    }

    fn ended(&mut self, ended: Result<(RunId, Result<bool, ActError>), JoinError>) {
        match ended {
            Ok((run, Ok(true))) => {
                self.all.remove(&run);
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
                let runs: Vec<RunId> = self.all.keys().copied().collect();
                for run in runs {
                    self.put_off(run, None);
                }
            }
        }
    }

    fn put_off(&mut self, run: RunId, error: Option<&ActError>) {
        if let Some(leftover) = self.all.get_mut(&run) {
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
