//! API tokens: of tenants, and of operators.

use crate::openapi::words;
use application::{
    Token,
    token::{IssuedToken, TokenRequest},
};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod operator;
pub(crate) mod revoke;

/// A token. Its text is not kept and cannot be shown again.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuedToken)]
pub(crate) struct IssuedTokenBody {
    id: String,
    name: String,
    #[schema(schema_with = words::role)]
    role: &'static str,
    /// The tenant's id; nothing for an operator's.
    tenant: Option<String>,
    /// Sent as `Authorization: Bearer wrn_…`.
    token: String,
}

/// What is known about a token.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Token)]
pub(crate) struct TokenBody {
    id: String,
    name: String,
    #[schema(schema_with = words::role)]
    role: &'static str,
    /// The tenant's id; nothing for an operator's.
    tenant: Option<String>,
    /// Whether it is the one that the first start made.
    is_bootstrap: bool,
    created_at: Timestamp,
}

impl From<IssuedToken> for IssuedTokenBody {
    fn from(token: IssuedToken) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name,
            role: token.role.as_str(),
            tenant: token.tenant.map(|tenant| tenant.to_string()),
            token: token.secret.expose_secret().to_owned(),
        }
    }
}

impl From<Token> for TokenBody {
    fn from(token: Token) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name,
            role: token.role.as_str(),
            tenant: token.tenant.map(|tenant| tenant.to_string()),
            is_bootstrap: token.is_bootstrap,
            created_at: token.created_at,
        }
    }
}

impl std::fmt::Debug for IssuedTokenBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedTokenBody").field("id", &self.id).finish_non_exhaustive()
    }
}

impl From<create::CreateToken> for TokenRequest {
    fn from(create::CreateToken { name, role }: create::CreateToken) -> Self {
        Self { name, role }
    }
}
