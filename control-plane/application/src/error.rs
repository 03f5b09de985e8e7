//! What every use case can be refused for.

use domain::{Action, Actor, Authorized, Denied, Kept, PlanName, Scope, authorize};
use jiff::Timestamp;
use store::StoreError;

/// What was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noun {
    /// A tenant.
    Tenant,
    /// A session of a tenant.
    Session,
    /// An operation.
    Operation,
    /// An uploaded input.
    Blob,
    /// An API token.
    Token,
    /// The result of a session.
    Result,
    /// A file that a session left.
    Artifact,
    /// A change of plan.
    PlanChange,
    /// A batch of changes of plan.
    PlanBatch,
    /// A tenant's own node.
    Node,
    /// Something that is left over.
    Orphan,
    /// An organisation.
    Organisation,
    /// Somebody in an organisation.
    Member,
    /// An invite.
    Invite,
    /// A browser in which somebody is signed in.
    SignIn,
    /// Something that only operators know of.
    Page,
}

/// Why a thing was not handed out.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// It does not exist, or the caller may not know that it does: the same answer.
    #[error("{0:?} not found")]
    Missing(Noun),
    /// The caller may see it, but not do this.
    #[error("the role {role} may not do this")]
    Forbidden {
        /// The caller's role.
        role: &'static str,
    },
    /// It was there, and its time was over.
    #[error("{kept:?} removed at {removed_at}")]
    Expired {
        /// What is not there any more.
        kept: Kept,
        /// When it was removed.
        removed_at: Timestamp,
        /// Whose time counts.
        plan: PlanName,
    },
    /// The record did not answer.
    #[error("read the record")]
    Store(#[from] StoreError),
}

impl FindError {
    /// What a write ended with; the thing may have gone since it was looked up.
    pub(crate) fn of_write(error: StoreError, noun: Noun) -> Self {
        if matches!(error, StoreError::NotFound) { Self::Missing(noun) } else { Self::Store(error) }
    }
}

/// Asks the policy table; what the caller may not know becomes "no such `noun`".
pub(crate) fn permit<A: Action>(
    actor: &Actor,
    scope: Scope,
    noun: Noun,
) -> Result<Authorized<A>, FindError> {
    authorize(actor, scope).map_err(|denied| match denied {
        Denied::Hidden => FindError::Missing(noun),
        Denied::Forbidden { role } => FindError::Forbidden { role },
    })
}
