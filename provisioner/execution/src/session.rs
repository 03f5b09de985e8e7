//! Runs sessions as Jobs in their tenants' clusters: one worker for each tenant with active sessions.

mod decide;
mod drain;
mod end;
mod ended;
mod evidence;
mod jobs;
mod listen;
mod overview;
#[cfg(test)]
mod simulation;
mod stop;
mod submit;
mod worker;

pub(crate) use drain::{Emptying, Tally, drain};

use crate::{Context, watch::Wake};
use domain::TenantId;
use jiff::SignedDuration;
use std::{collections::HashMap, sync::Arc, time::Duration};
use store::{Change, StoreError};
use tokio::{
    sync::{Notify, broadcast::error::RecvError, mpsc::UnboundedSender},
    task::{Id, JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

/// When the record is asked again after it gave no answer.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Longer than any Job lives: a session's longest time limit, and a margin.
const LONGEST_JOB: SignedDuration = SignedDuration::from_hours(26);

struct Workers {
    cx: Context,
    tenants: UnboundedSender<Wake>,
    cancel: CancellationToken,
    wakes: HashMap<TenantId, (Id, Arc<Notify>)>,
    tasks: JoinSet<()>,
}

/// Keeps a worker for every tenant that needs one, until cancelled.
pub(crate) async fn run(cx: Context, tenants: UnboundedSender<Wake>, cancel: CancellationToken) {
    let mut changes = cx.store.changes();
    let mut workers = Workers {
        cx,
        tenants,
        cancel: cancel.clone(),
        wakes: HashMap::new(),
        tasks: JoinSet::new(),
    };
    workers.wake_all().await;
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            change = changes.recv() => match change {
                Ok(Change::Session { tenant, .. }) => workers.wake(tenant),
                Ok(Change::Tenant(tenant)) => workers.wake_if_there(tenant),
                Ok(
                    Change::Operation(_)
                    | Change::Log(_)
                    | Change::Node { .. }
                    | Change::Orphan(_)
                    | Change::PlanBatch(_)
                    | Change::Token(_)
                    | Change::Account(_),
                ) => {}
                Err(RecvError::Lagged(_)) => workers.wake_all().await,
                Err(RecvError::Closed) => break,
            },
            Some(ended) = workers.tasks.join_next_with_id() => workers.ended(ended).await,
        }
    }
    // Workers end by the same token; whoever stops the controllers says how long that may take.
    while workers.tasks.join_next().await.is_some() {}
}

impl Workers {
    /// Wakes the workers of all tenants that have active sessions, or had some whose Jobs may still be
    /// there.
    async fn wake_all(&mut self) {
        loop {
            match self.needed().await {
                Ok((unproven, active)) => {
                    for tenant in unproven {
                        self.wake_or_begin(tenant, true);
                    }
                    for tenant in active {
                        self.wake(tenant);
                    }
                    return;
                }
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the active sessions could not be listed"
                    );
                    let wait = tokio::time::sleep(AFTER_FAILURE);
                    if self.cancel.run_until_cancelled(wait).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    /// The tenants whose sessions have ended without proof, and those with active ones.
    async fn needed(&self) -> Result<(Vec<TenantId>, Vec<TenantId>), StoreError> {
        let since = self.cx.clock.now() - LONGEST_JOB;
        let unproven = self.cx.store.runs_unproven_tenants(since).await?;
        Ok((unproven, self.cx.store.sessions_active_tenants().await?))
    }

    fn wake(&mut self, tenant: TenantId) {
        self.wake_or_begin(tenant, false);
    }

    fn wake_or_begin(&mut self, tenant: TenantId, is_suspect: bool) {
        if let Some((_, wake)) = self.wakes.get(&tenant) {
            wake.notify_one();
            return;
        }
        let wake = Arc::new(Notify::new());
        let woken = Arc::clone(&wake);
        let (cx, cancel) = (self.cx.clone(), self.cancel.clone());
        let tenants = self.tenants.clone();
        let task = self.tasks.spawn(worker::run(cx, tenant, is_suspect, woken, tenants, cancel));
        self.wakes.insert(tenant, (task.id(), wake));
    }

    fn wake_if_there(&self, tenant: TenantId) {
        if let Some((_, wake)) = self.wakes.get(&tenant) {
            wake.notify_one();
        }
    }

    /// A worker ends when its tenant has no active session; one may have come in between.
    async fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let (id, is_broken) = match ended {
            Ok((id, ())) => (id, false),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a worker for sessions broke off; another one begins"
                );
                (error.id(), true)
            }
        };
        let tenant =
            self.wakes.iter().find(|(_, (task, _))| *task == id).map(|(tenant, _)| *tenant);
        let Some(tenant) = tenant else { return };
        self.wakes.remove(&tenant);
        if self.cancel.is_cancelled() {
            return;
        }
        let is_idle = self.cx.store.session_active(tenant).await.is_ok_and(|all| all.is_empty());
        if (!is_idle || is_broken) && self.is_there(tenant).await {
            // What a worker knew that broke off, nobody knows.
            self.wake_or_begin(tenant, is_broken);
        }
    }

    /// A tenant on its way out has its sessions ended by its removal.
    async fn is_there(&self, tenant: TenantId) -> bool {
        match self.cx.store.tenant_get(tenant).await {
            Ok(record) => record.is_some_and(|record| record.deletion_requested_at.is_none()),
            Err(_) => true,
        }
    }
}
