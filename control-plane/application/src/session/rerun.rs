//! Running a session again that is over.

use super::{CreateError, Found, NewRerun, SessionView, find, start};
use crate::{App, Draft, error::FindError, tenant::TenantRef};
use domain::{Actor, CreateSession, SessionId, SessionState};
use store::{Created, IdempotencyKey};

/// Why a session was not run again.
#[derive(Debug, thiserror::Error)]
pub enum RerunError {
    /// The new session was refused.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// It is not over.
    #[error("the session {id} is {state}")]
    NotOver {
        /// Which.
        id: SessionId,
        /// How far it is.
        state: SessionState,
    },
}

/// Starts a new session from what another one was to do, secrets included, with some changes. The rules
/// are those for a new session, as the plan now has them.
///
/// # Errors
/// If the caller may not, the session is not over, a field breaks a rule, an input is not there any more,
/// too many sessions wait, or the tenant is being deleted.
pub async fn rerun(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    session: SessionId,
    changes: Draft<NewRerun>,
    key: Option<&IdempotencyKey>,
) -> Result<Created<SessionView>, RerunError> {
    let found = find::<CreateSession>(app, actor, tenant, session).await?;
    let Found { tenant, session, proof } = found;
    if !session.state.is_final() {
        return Err(RerunError::NotOver { id: session.id, state: session.state });
    }
    let plan = tenant.plan();
    let spec = changes.check(|changes| changes.check(session.spec, &plan));
    let spec = spec.map_err(CreateError::Invalid)?;
    Ok(start(app, actor, &tenant, &proof, spec, key).await?)
}

impl From<FindError> for RerunError {
    fn from(error: FindError) -> Self {
        Self::Create(error.into())
    }
}
