use crate::{AccountId, OrganisationId, Role, TenantId, TokenId};
use std::fmt;
use uuid::Uuid;

/// In whose name something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Whoever holds an API token.
    Token(TokenId),
    /// A person who signed in.
    Account(AccountId),
}

impl Subject {
    /// The UUID of its identifier; no token and no account share one.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        match self {
            Self::Token(id) => id.uuid(),
            Self::Account(id) => id.uuid(),
        }
    }

    /// Finds out whose identifier a text is.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let token = text.parse().map(Self::Token).ok();
        token.or_else(|| text.parse().map(Self::Account).ok())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(id) => id.fmt(f),
            Self::Account(id) => id.fmt(f),
        }
    }
}

/// How far a role reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Within {
    /// Everything.
    Platform,
    /// One organisation and its tenants.
    Organisation(OrganisationId),
    /// One tenant.
    Tenant(TenantId),
}

/// A role that somebody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// What they may be.
    pub role: Role,
    /// Where.
    pub within: Within,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// In whose name.
    pub subject: Subject,
    /// Every role that they have.
    pub grants: Vec<Grant>,
    /// The request, for the audit log.
    pub request_id: String,
}

/// Who does something, and as what: the role that allowed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acting {
    /// In whose name.
    pub subject: Subject,
    /// The role that counts where it is done.
    pub role: Role,
    /// The request, for the audit log.
    pub request_id: String,
}

/// What is acted upon: everything, an organisation, or one tenant and what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The platform.
    Platform,
    /// One organisation.
    Organisation(OrganisationId),
    /// One tenant.
    Tenant {
        /// Which.
        id: TenantId,
        /// Whose it is; nothing if it is the platform's.
        organisation: Option<OrganisationId>,
    },
}

impl Scope {
    /// A tenant that belongs to no organisation.
    #[must_use]
    pub const fn tenant(id: TenantId) -> Self {
        Self::Tenant { id, organisation: None }
    }
}

impl Actor {
    /// The holder of an API token: with a role in one tenant, or an operator.
    #[must_use]
    pub fn of_token(
        token: TokenId,
        role: Role,
        tenant: Option<TenantId>,
        request_id: String,
    ) -> Self {
        let within = tenant.map_or(Within::Platform, Within::Tenant);
        let grants = vec![Grant { role, within }];
        Self { subject: Subject::Token(token), grants, request_id }
    }

    /// What they are in `scope`: of several roles the mightiest.
    #[must_use]
    pub fn role_in(&self, scope: Scope) -> Option<Role> {
        let covering = self.grants.iter().filter(|grant| grant.within.covers(scope));
        covering.map(|grant| grant.role).min()
    }

    /// The mightiest of all their roles.
    #[must_use]
    pub fn mightiest(&self) -> Option<Role> {
        self.grants.iter().map(|grant| grant.role).min()
    }

    /// Whether they run the platform.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.role_in(Scope::Platform) == Some(Role::Operator)
    }
}

impl Within {
    fn covers(self, scope: Scope) -> bool {
        match (self, scope) {
            (Self::Platform, _) => true,
            (Self::Organisation(own), Scope::Organisation(id)) => own == id,
            (Self::Organisation(own), Scope::Tenant { organisation, .. }) => {
                organisation == Some(own)
            }
            (Self::Tenant(own), Scope::Tenant { id, .. }) => own == id,
            (Self::Organisation(_) | Self::Tenant(_), Scope::Platform)
            | (Self::Tenant(_), Scope::Organisation(_)) => false,
        }
    }
}
