//! One tenant's sessions: looks, lets be done what is due, waits for news.

use super::{
    jobs::{self, News},
    overview::{Look, Outcome, Overview, Record, longest},
};
use crate::{
    Context,
    backoff::{Backoff, SPREAD},
    hint::Hint,
    watch::{Target, Wake},
};
use domain::TenantId;
use jiff::{SignedDuration, Timestamp};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, mpsc},
    task::{AbortHandle, JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

/// How long a worker and its watch stay after the last session has ended.
const LINGERS: SignedDuration = SignedDuration::from_mins(1);
/// After a failure.
pub(super) const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(15), spread: SPREAD };

struct Worker {
    cx: Context,
    tenant: TenantId,
    /// Wakes the tenant's own controller.
    tenants: mpsc::UnboundedSender<Wake>,
    overview: Overview,
    news: mpsc::UnboundedReceiver<News>,
    sender: mpsc::UnboundedSender<News>,
    watch: Option<AbortHandle>,
    tasks: JoinSet<Outcome>,
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
    let overview = Overview::new(tenant, is_suspect, BACKOFF, cx.clock.now());
    let tasks = JoinSet::new();
    let mut worker = Worker { cx, tenant, tenants, overview, news, sender, watch: None, tasks };
    let mut idle_until = worker.now() + LINGERS;
    while !cancel.is_cancelled() {
        let next = match Record::read(&worker.cx, tenant).await {
            Ok(None) => break,
            Ok(Some(record)) => {
                if !record.sessions.is_empty() {
                    idle_until = worker.now() + LINGERS;
                } else if worker.now() >= idle_until && worker.overview.is_done() {
                    break;
                }
                let next = worker.round(&record).await;
                let is_idle = record.sessions.is_empty() && worker.overview.is_done();
                if is_idle { idle_until } else { next }
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the tenant's sessions could not be read"
                );
                worker.now() + longest(BACKOFF)
            }
        };
        let left = Duration::try_from(next.duration_since(worker.now())).unwrap_or_default();
        tokio::select! {
            () = cancel.cancelled() => {}
            () = wake.notified() => {}
            Some(news) = worker.news.recv() => worker.take(news),
            Some(ended) = worker.tasks.join_next() => worker.ended(ended),
            () = tokio::time::sleep(left) => {}
        }
    }
    worker.drain().await;
}

impl Worker {
    fn now(&self) -> Timestamp {
        self.cx.clock.now()
    }

    /// Begins what is due. Gives the time at which something may have to be done again.
    async fn round(&mut self, record: &Record) -> Timestamp {
        let Look { tasks, next, needs_watch } = self.overview.look(&self.cx, record).await;
        if needs_watch && self.watch.is_none() {
            let follow = jobs::follow(self.cx.clone(), self.tenant, self.sender.clone());
            self.watch = Some(tokio::spawn(follow).abort_handle());
        }
        for task in tasks {
            self.tasks.spawn(task.carry_out(self.cx.clone(), self.tenant));
        }
        next
    }

    fn ended(&mut self, ended: Result<Outcome, JoinError>) {
        let now = self.now();
        match ended {
            Ok(outcome) => {
                if self.overview.take_outcome(outcome, now) {
                    let target = Target::Tenant(self.tenant);
                    // Nobody listens any more only while the process ends.
                    let _ = self.tenants.send(Wake { target, hint: Hint::Everything });
                }
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "something about a session broke off"
                );
                self.overview.broke_off(now);
            }
        }
    }

    fn take(&mut self, news: News) {
        self.overview.take_news(news);
        while let Ok(news) = self.news.try_recv() {
            self.overview.take_news(news);
        }
    }

    /// Lets what is under way come to its end. Whoever stops the controllers says how long this may take.
    async fn drain(mut self) {
        if let Some(watch) = self.watch.take() {
            watch.abort();
        }
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}
