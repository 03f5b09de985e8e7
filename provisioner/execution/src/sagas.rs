//! Operations of ordered, reversible steps across systems: a node is attached, released, switched off or on, a tenant
//! moved to another plan. The log of steps is in the record, so any process can go on with any of them from any point.

mod executor;
#[cfg(test)]
mod harness;
mod step;

pub(crate) use step::{Progress, Saga, Step, StepContext, StepError, Subject};

use crate::{Context, backoff::Backoff, machines, plan_change};
use domain::{Operation, OperationId, OperationKind};
use std::{collections::HashMap, error::Error};
use store::Change;
use tokio::{
    sync::broadcast::error::RecvError,
    task::{Id, JoinSet},
};
use tokio_util::sync::CancellationToken;

/// Sees to it that every saga goes on, one task for each, until cancelled.
pub(crate) async fn run(cx: Context, cancel: CancellationToken) {
    let mut changes = cx.store.changes();
    let mut sagas = Sagas { cx, running: HashMap::new(), tasks: JoinSet::new() };
    if cancel.run_until_cancelled(sagas.start_all()).await.is_none() {
        return;
    }
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            change = changes.recv() => match change {
                Ok(Change::Operation(operation)) => sagas.look_at(operation).await,
                Ok(
                    Change::Tenant(_)
                    | Change::Session { .. }
                    | Change::Log(_)
                    | Change::Node { .. }
                    | Change::Orphan(_)
                    | Change::PlanBatch(_)
                    | Change::Token(_)
                    | Change::Account(_),
                ) => {}
                Err(RecvError::Lagged(_)) => sagas.start_all().await,
                Err(RecvError::Closed) => break,
            },
            Some(ended) = sagas.tasks.join_next_with_id() => {
                let id = match ended {
                    Ok((id, ())) => id,
                    Err(error) => {
                        tracing::error!(error = &error as &dyn Error, "an operation broke off; it goes on");
                        error.id()
                    }
                };
                sagas.ended(id).await;
            }
        }
    }
    // Steps are repeatable: whatever is cut off is done again by whoever comes next.
    sagas.tasks.shutdown().await;
}

struct Sagas {
    cx: Context,
    running: HashMap<OperationId, tokio::task::AbortHandle>,
    tasks: JoinSet<()>,
}

impl Sagas {
    /// Starts every saga that is not over and not running.
    async fn start_all(&mut self) {
        let mut failures = 0;
        let open = loop {
            match self.cx.store.operation_sagas().await {
                Ok(open) => break open,
                Err(error) => {
                    failures += 1;
                    tracing::error!(error = &error as &dyn Error, "operations could not be listed");
                    tokio::time::sleep(Backoff::HOST.after(failures)).await;
                }
            }
        };
        for operation in open {
            self.start(&operation);
        }
    }

    async fn look_at(&mut self, id: OperationId) {
        if self.running.contains_key(&id) {
            return;
        }
        match self.cx.store.operation_get(id).await {
            Ok(Some(operation)) if !operation.state.is_final() => self.start(&operation),
            Ok(_) => {}
            Err(_) => self.start_all().await,
        }
    }

    fn start(&mut self, operation: &Operation) {
        if self.running.contains_key(&operation.id) {
            return;
        }
        match operation.kind {
            OperationKind::NodeAttach => self.drive(&machines::ATTACH, operation.id),
            OperationKind::NodeRelease => self.drive(&machines::RELEASE, operation.id),
            OperationKind::NodeStop => self.drive(&machines::STOP, operation.id),
            OperationKind::NodeStart => self.drive(&machines::START, operation.id),
            OperationKind::NodeReboot => self.drive(&machines::REBOOT, operation.id),
            OperationKind::PlanChange => self.drive(&plan_change::CHANGE, operation.id),
            OperationKind::TenantCreate | OperationKind::TenantDelete => {}
        }
    }

    fn drive<S: Subject>(&mut self, saga: &'static Saga<S>, id: OperationId) {
        let cx = self.cx.clone();
        let task = self.tasks.spawn(async move { executor::drive(&cx, saga, id).await });
        self.running.insert(id, task);
    }

    /// A task is over; one that broke off is begun anew.
    async fn ended(&mut self, task: Id) {
        let found = self.running.iter().find(|(_, running)| running.id() == task);
        let Some(id) = found.map(|(id, _)| *id) else { return };
        self.running.remove(&id);
        self.look_at(id).await;
    }
}
