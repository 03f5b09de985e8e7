//! How much there is of everything, for the platform's own monitoring.

use crate::{App, error::FindError};
use domain::{OperationKind, PlanBatchLineState, SessionState, TenantPhase};

/// Numbers of the whole platform.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Tenants in each phase.
    pub tenants: Vec<(TenantPhase, u64)>,
    /// Sessions in each state that is not final.
    pub sessions: Vec<(SessionState, u64)>,
    /// Operations of each kind that are not over.
    pub operations: Vec<(OperationKind, u64)>,
    /// Tenants of batches in each state that is not final.
    pub plan_batch_lines: Vec<(PlanBatchLineState, u64)>,
}

/// Counts, in the database: no row is read.
///
/// # Errors
/// If the record does not answer.
pub async fn count(app: &App) -> Result<Numbers, FindError> {
    let mut numbers = Numbers::zero();
    set(&mut numbers.tenants, app.store.tenant_count().await?);
    set(&mut numbers.sessions, app.store.session_count().await?);
    set(&mut numbers.operations, app.store.operation_count().await?);
    set(&mut numbers.plan_batch_lines, app.store.plan_batch_line_count().await?);
    Ok(numbers)
}

fn set<K: PartialEq>(counts: &mut [(K, u64)], found: Vec<(K, u64)>) {
    for (key, count) in found {
        if let Some(known) = counts.iter_mut().find(|(known, _)| *known == key) {
            known.1 = count;
        }
    }
}

impl Numbers {
    /// Every series is there from the start, so that an alert can tell "none" from "not known".
    fn zero() -> Self {
        use TenantPhase as P;
        let phases = [P::Pending, P::Provisioning, P::Ready, P::Degraded, P::Deleting];
        let states = SessionState::ALL.into_iter().filter(|state| !state.is_final());
        let lines = PlanBatchLineState::ALL.into_iter().filter(|state| !state.is_final());
        Self {
            tenants: phases.map(|phase| (phase, 0)).to_vec(),
            sessions: states.map(|state| (state, 0)).collect(),
            operations: OperationKind::ALL.map(|kind| (kind, 0)).to_vec(),
            plan_batch_lines: lines.map(|state| (state, 0)).collect(),
        }
    }
}
