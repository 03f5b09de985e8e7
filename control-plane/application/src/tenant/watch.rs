//! Looking at a tenant for as long as something happens to it.

use crate::{App, wait::Waiter};
use domain::{OperationId, TenantId};
use std::time::Duration;
use store::Change;

/// Wakes whoever looks at a tenant. What is to be seen is asked for by the usual use cases, each time: so it is never
/// more than the caller may see by then.
#[derive(Debug)]
pub struct Watch {
    waiter: Waiter,
    tenant: TenantId,
}

impl Watch {
    /// Made before the first look, so that nothing is missed between looking and waiting; ends after `time`.
    #[must_use]
    pub fn new(app: &App, tenant: TenantId, time: Duration) -> Self {
        Self { waiter: Waiter::new(app, time), tenant }
    }

    /// Whether to look again: waits for a change of the tenant, of its nodes, or of one of the `operations` that are
    /// looked at. False when the time is up.
    pub async fn changed(&mut self, operations: &[OperationId]) -> bool {
        let Self { waiter, tenant } = self;
        let matters = |change| match change {
            Change::Tenant(of) | Change::Node { tenant: of, .. } => of == *tenant,
            Change::Operation(id) => operations.contains(&id),
            Change::Session { .. }
            | Change::Log(_)
            | Change::Orphan(_)
            | Change::PlanBatch(_)
            | Change::Token(_)
            | Change::Account(_) => false,
        };
        waiter.is_worth_a_look(matters).await
    }
}
