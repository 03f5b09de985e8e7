//! How much there is of everything, for the platform's own monitoring.

use crate::{App, error::FindError};
use domain::{OperationKind, SessionState, Tenant, TenantPhase};

/// Numbers of the whole platform.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Tenants in each phase.
    pub tenants: Vec<(TenantPhase, u64)>,
    /// Sessions in each state that is not final.
    pub sessions: Vec<(SessionState, u64)>,
    /// Operations of each kind that are not over.
    pub operations: Vec<(OperationKind, u64)>,
}

const TENANTS_AT_ONCE: u64 = 500;

/// Counts. Costs one look at every tenant, and more only for those in which something happens.
///
/// # Errors
/// If the record does not answer.
pub async fn count(app: &App) -> Result<Numbers, FindError> {
    let mut numbers = Numbers::zero();
    let mut after = None;
    loop {
        let tenants = app.store.tenant_list(after, TENANTS_AT_ONCE).await?;
        let Some(last) = tenants.last() else { break };
        after = Some(last.id);
        for tenant in &tenants {
            add(&mut numbers.tenants, tenant.phase());
            if may_have_operation(tenant)
                && let Some(operation) = app.store.operation_open(tenant.id).await?
            {
                add(&mut numbers.operations, operation.kind);
            }
        }
    }
    for tenant in app.store.sessions_active_tenants().await? {
        for session in app.store.session_active(tenant).await? {
            add(&mut numbers.sessions, session.state);
        }
    }
    Ok(numbers)
}

/// Operations make tenants usable, and end them.
fn may_have_operation(tenant: &Tenant) -> bool {
    !tenant.was_ready || tenant.deletion_requested_at.is_some()
}

fn add<K: PartialEq>(counts: &mut Vec<(K, u64)>, key: K) {
    match counts.iter_mut().find(|(known, _)| *known == key) {
        Some((_, count)) => *count += 1,
        None => counts.push((key, 1)),
    }
}

impl Numbers {
    /// Every series is there from the start, so that an alert can tell "none" from "not known".
    fn zero() -> Self {
        use TenantPhase as P;
        let phases = [P::Pending, P::Provisioning, P::Ready, P::Degraded, P::Deleting];
        let states = SessionState::ALL.into_iter().filter(|state| !state.is_final());
        let kinds = [OperationKind::TenantCreate, OperationKind::TenantDelete];
        Self {
            tenants: phases.map(|phase| (phase, 0)).to_vec(),
            sessions: states.map(|state| (state, 0)).collect(),
            operations: kinds.map(|kind| (kind, 0)).to_vec(),
        }
    }
}
