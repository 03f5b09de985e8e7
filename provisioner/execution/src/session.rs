//! Runs sessions as Jobs in their tenants' clusters: one worker for each tenant with active sessions.

mod decide;
mod end;
mod evidence;
mod jobs;
mod submit;
mod worker;

use crate::{Context, watch::Wake};
use domain::TenantId;
use std::{collections::HashMap, sync::Arc, time::Duration};
use store::Change;
use tokio::{
    sync::{Notify, broadcast::error::RecvError, mpsc::UnboundedSender},
    task::{Id, JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

/// When the record is asked again after it gave no answer.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

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
                Ok(Change::Operation(_) | Change::Log(_)) => {}
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
    /// Wakes the workers of all tenants that have active sessions.
    async fn wake_all(&mut self) {
        loop {
            match self.cx.store.sessions_active_tenants().await {
                Ok(tenants) => {
                    for tenant in tenants {
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

    fn wake(&mut self, tenant: TenantId) {
        if let Some((_, wake)) = self.wakes.get(&tenant) {
            wake.notify_one();
            return;
        }
        let wake = Arc::new(Notify::new());
        let woken = Arc::clone(&wake);
        let (cx, cancel) = (self.cx.clone(), self.cancel.clone());
        let tenants = self.tenants.clone();
        let task = self.tasks.spawn(worker::run(cx, tenant, woken, tenants, cancel));
        self.wakes.insert(tenant, (task.id(), wake));
    }

    fn wake_if_there(&self, tenant: TenantId) {
        if let Some((_, wake)) = self.wakes.get(&tenant) {
            wake.notify_one();
        }
    }

    /// A worker ends when its tenant has no active session; one may have come in between.
    async fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a worker for sessions broke off; another one begins"
                );
                error.id()
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
        if !is_idle && self.is_there(tenant).await {
            self.wake(tenant);
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
