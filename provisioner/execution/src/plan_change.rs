//! A tenant moves to another plan: room for both plans, nodes for the new one, new pods to the new place, the old ones
//! after them in waves, proof, and only then the new price and the end of what is not needed any more.

mod capacity;
mod moving;
mod placement;
mod places;
mod prepare;
mod settle;

pub use capacity::{CapacityError, capacity};
pub use places::{SurveyError, survey, volumes_on};
pub(crate) use places::{bound_to, on_node, pods};

use crate::{
    Context,
    sagas::{Saga, StepContext, StepError, Subject},
};
use async_trait::async_trait;
use domain::{Operation, PlanChange, Problem, Subscription, Tenant, VolumesDuringMove};
use std::time::Duration;
use store::{Change, StoreError};
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// Between two looks at something that is on its way.
const LOOK: Duration = Duration::from_millis(500);
/// Between two looks at the record if nothing new is heard.
const NEWS: Duration = Duration::from_secs(5);

/// Moves a tenant. Until the new plan is paid for, all of it can be taken back.
pub(crate) static CHANGE: Saga<Moving> = Saga {
    steps: &[
        &prepare::Check,
        &prepare::Nodes,
        &placement::Placement,
        &moving::Move,
        &settle::Verify,
        &settle::Commit,
        &settle::Release,
    ],
    end: None,
    commit: Some("commit"),
};

/// What the steps are about, as it was when the step began.
#[derive(Debug)]
pub(crate) struct Moving {
    change: PlanChange,
    tenant: Tenant,
}

type MoveContext<'a> = StepContext<'a, Moving>;

#[async_trait]
impl Subject for Moving {
    type End = Option<Problem>;

    async fn load(cx: &Context, operation: &Operation) -> Result<Self, StoreError> {
        let change = cx.store.plan_change_get(operation.id).await?.ok_or(StoreError::NotFound)?;
        let tenant = cx.store.tenant_get(change.tenant).await?.ok_or(StoreError::NotFound)?;
        Ok(Self { change, tenant })
    }

    async fn end(
        cx: &Context,
        operation: &Operation,
        end: Option<Problem>,
    ) -> Result<(), StoreError> {
        cx.store.plan_change_end(operation, end).await
    }

    fn undone(problem: Option<Problem>) -> Option<Problem> {
        problem
    }
}

impl MoveContext<'_> {
    /// The tenant as the record has it now.
    async fn tenant(&self) -> Result<Tenant, StepError> {
        let found = self.cx.store.tenant_get(self.subject.change.tenant).await?;
        found.ok_or_else(|| StepError::Retry("the tenant is gone".to_owned()))
    }

    /// Waits a moment; fails if nobody wants the step to go on.
    async fn pause(&self) -> Result<(), StepError> {
        tokio::time::sleep(LOOK).await;
        self.progress.check_wanted().await
    }

    /// Waits until the record says something new of the tenant, or of this change; fails if nobody wants the step to go
    /// on.
    async fn news(&self, changes: &mut Receiver<Change>) -> Result<(), StepError> {
        let (tenant, operation) = (self.subject.change.tenant, self.subject.change.operation);
        let news = async {
            loop {
                match changes.recv().await {
                    Ok(Change::Tenant(of) | Change::Node { tenant: of, .. }) if of == tenant => {
                        break;
                    }
                    Ok(Change::Operation(of)) if of == operation => break,
                    Ok(_) => {}
                    // Nobody knows what was missed.
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        // Whatever becomes of the news, the record is looked at.
        let _ = tokio::time::timeout(NEWS, news).await;
        self.progress.check_wanted().await
    }

    /// What becomes of volumes on the disks of nodes that are left.
    fn volumes(&self) -> VolumesDuringMove {
        self.subject.change.preview.volumes
    }

    fn to(&self) -> Subscription {
        self.subject.change.to
    }

    fn from(&self) -> Subscription {
        self.subject.change.from
    }
}
