//! The one watch on a tenant's Jobs, open while it has active sessions.

use super::decide::JobState;
use crate::Context;
use domain::{RunId, TenantId};
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use planning::job::RUN_LABEL;
use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};
use tokio::sync::mpsc;
use uuid::Uuid;

/// When a watch that could not be opened is tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What the watch told last about each run's Job.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    known: BTreeMap<RunId, JobState>,
    /// Jobs that were seen to go.
    gone: HashSet<RunId>,
    /// Jobs that a list under way has named.
    listed: Option<HashSet<RunId>>,
    is_complete: bool,
}

/// News from the watch.
#[derive(Debug)]
pub(super) enum News {
    /// A list begins.
    Begin,
    /// The list is complete: what it did not name is not there.
    Complete,
    /// A Job is there.
    There(RunId, JobState),
    /// A Job is gone.
    Gone(RunId),
}

impl Jobs {
    pub(super) fn take(&mut self, news: News) {
        match news {
            News::Begin => self.listed = Some(HashSet::new()),
            News::Complete => {
                if let Some(listed) = self.listed.take() {
                    self.known.retain(|run, _| listed.contains(run));
                }
                self.is_complete = true;
            }
            News::There(run, state) => {
                if let Some(listed) = &mut self.listed {
                    listed.insert(run);
                }
                // When something was first seen does not move.
                let is_same = matches!(
                    (self.known.get(&run), &state),
                    (Some(JobState::Complete { .. }), JobState::Complete { .. })
                );
                if !is_same {
                    self.known.insert(run, state);
                }
            }
            News::Gone(run) => {
                self.known.remove(&run);
                self.gone.insert(run);
            }
        }
    }

    pub(super) fn state(&self, run: RunId) -> JobState {
        match self.known.get(&run) {
            Some(state) => state.clone(),
            None if self.is_complete => JobState::Absent,
            None => JobState::Unknown,
        }
    }

    /// Nothing more will be asked about other runs.
    pub(super) fn keep(&mut self, runs: &HashSet<RunId>) {
        self.gone.retain(|run| runs.contains(run));
    }

    /// Whether the tenant's cluster has named all its Jobs.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The Jobs that have not ended.
    pub(super) fn active(&self) -> impl Iterator<Item = RunId> {
        self.known
            .iter()
            .filter(|(_, state)| matches!(state, JobState::Active { .. }))
            .map(|(run, _)| *run)
    }

    /// A Job was just made: until the watch tells of it, its absence says nothing. The watch may have
    /// been quicker, and may even have seen it go.
    pub(super) fn made(&mut self, run: RunId) {
        if self.gone.contains(&run) {
            return;
        }
        self.known.entry(run).or_insert(JobState::Active { is_going: false });
        if let Some(listed) = &mut self.listed {
            listed.insert(run);
        }
    }
}

/// Follows the tenant's Jobs until nobody listens any more. The watch is opened anew whenever Warren's
/// credential is.
pub(super) async fn follow(cx: Context, tenant: TenantId, news: mpsc::UnboundedSender<News>) {
    while !news.is_closed() {
        let connection = match cx.tenants.connection(tenant).await {
            Ok(connection) => connection,
            Err(error) => {
                tracing::debug!(
                    tenant.id = %tenant,
                    error = &error as &dyn std::error::Error,
                    "the watch on Jobs cannot be opened yet"
                );
                tokio::time::sleep(AFTER_FAILURE).await;
                continue;
            }
        };
        let left = connection.valid_until.duration_since(cx.clock.now());
        let left = Duration::try_from(left).unwrap_or_default().max(AFTER_FAILURE);
        let api: Api<Job> = Api::all(connection.client);
        let config = watcher::Config::default().labels(RUN_LABEL);
        let mut events = watcher(api, config).default_backoff().boxed();
        let forward = async {
            while let Some(event) = events.next().await {
                if let Some(item) = read(event, cx.clock.now())
                    && news.send(item).is_err()
                {
                    return;
                }
            }
        };
        // Its end is the end of the credential: the next round lists anew.
        let _ = tokio::time::timeout(left, forward).await;
    }
}

fn read(event: Result<Event<Job>, watcher::Error>, now: Timestamp) -> Option<News> {
    match event {
        Ok(Event::Init) => Some(News::Begin),
        Ok(Event::InitDone) => Some(News::Complete),
        Ok(Event::InitApply(job) | Event::Apply(job)) => {
            Some(News::There(run_of(&job)?, state_of(&job, now)))
        }
        Ok(Event::Delete(job)) => Some(News::Gone(run_of(&job)?)),
        Err(error) => {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the watch on Jobs broke off; it is opened again"
            );
            None
        }
    }
}

fn run_of(job: &Job) -> Option<RunId> {
    let digits = job.labels().get(RUN_LABEL)?;
    Uuid::try_parse(digits).ok().map(RunId::new)
}

pub(super) fn state_of(job: &Job, now: Timestamp) -> JobState {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_deref());
    let holds = |kind: &str| {
        conditions
            .into_iter()
            .flatten()
            .find(|condition| condition.type_ == kind && condition.status == "True")
    };
    if holds("Complete").is_some() {
        return JobState::Complete { seen: now };
    }
    if let Some(failed) = holds("Failed") {
        return JobState::Failed {
            reason: failed.reason.clone().unwrap_or_default(),
            message: failed.message.clone().unwrap_or_default(),
        };
    }
    JobState::Active { is_going: job.metadata.deletion_timestamp.is_some() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THERE: JobState = JobState::Active { is_going: false };

    fn run(number: u128) -> RunId {
        RunId::new(Uuid::from_u128(number))
    }

    #[test]
    fn absence_is_known_only_after_a_complete_list() {
        let mut jobs = Jobs::default();
        assert_eq!(jobs.state(run(1)), JobState::Unknown);
        jobs.take(News::Begin);
        jobs.take(News::There(run(2), THERE));
        assert_eq!(jobs.state(run(1)), JobState::Unknown);
        jobs.take(News::Complete);
        assert_eq!(jobs.state(run(1)), JobState::Absent);
        assert_eq!(jobs.state(run(2)), THERE);
    }

    #[test]
    fn a_job_that_a_later_list_does_not_name_is_gone_unless_it_was_just_made() {
        let mut jobs = Jobs::default();
        jobs.take(News::Begin);
        jobs.take(News::There(run(1), THERE));
        jobs.take(News::Complete);
        jobs.take(News::Begin);
        jobs.made(run(2));
        jobs.take(News::Complete);
        assert_eq!(jobs.state(run(1)), JobState::Absent);
        assert_eq!(jobs.state(run(2)), THERE);
    }

    #[test]
    fn a_job_that_went_before_its_making_was_noted_stays_gone() {
        let mut jobs = Jobs::default();
        jobs.take(News::Begin);
        jobs.take(News::Complete);
        jobs.take(News::There(run(1), THERE));
        jobs.take(News::Gone(run(1)));
        jobs.made(run(1));
        assert_eq!(jobs.state(run(1)), JobState::Absent);
    }

    #[test]
    fn the_time_at_which_a_success_was_first_seen_does_not_move() {
        let mut jobs = Jobs::default();
        let first = Timestamp::UNIX_EPOCH;
        jobs.take(News::There(run(1), JobState::Complete { seen: first }));
        let later = first + jiff::SignedDuration::from_secs(9);
        jobs.take(News::There(run(1), JobState::Complete { seen: later }));
        assert_eq!(jobs.state(run(1)), JobState::Complete { seen: first });
    }
}
