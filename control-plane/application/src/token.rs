//! API tokens of tenants.

use crate::{
    App, Draft,
    error::{FindError, Noun},
    tenant::{self, TenantRef},
};
use domain::{Actor, CreateToken, Invalid, Role, TenantId, TokenId};
use secrecy::SecretString;

/// What a caller sends to make a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// What it is for.
    pub name: String,
    /// What its holder may be.
    pub role: String,
}

/// A token, with the only copy of its text.
#[derive(Debug)]
pub struct IssuedToken {
    /// Its identifier.
    pub id: TokenId,
    /// What it is for.
    pub name: String,
    /// What its holder may be.
    pub role: Role,
    /// Where.
    pub tenant: TenantId,
    /// Its text.
    pub secret: SecretString,
}

/// Why a token was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// Not found or not allowed.
    #[error(transparent)]
    Find(#[from] FindError),
    /// Fields break rules.
    #[error("{0}")]
    Invalid(Invalid),
}

/// Whose token this is; nothing if it is nobody's.
///
/// # Errors
/// If the record does not answer.
pub async fn actor(
    app: &App,
    secret: &str,
    request_id: String,
) -> Result<Option<Actor>, FindError> {
    Ok(app.store.actor_by_token(secret, request_id).await?)
}

/// Makes a token for a tenant, at most as mighty as the caller's own.
///
/// # Errors
/// If the caller may not, or a field breaks a rule.
pub async fn create(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    request: Draft<TokenRequest>,
) -> Result<IssuedToken, CreateError> {
    let (tenant, proof) = tenant::find::<CreateToken>(app, actor, tenant).await?;
    let checked = request.check(|request| request.check(actor.role));
    let (name, role) = checked.map_err(CreateError::Invalid)?;
    let token = app.store.token_create(Some(&proof), role, Some(tenant.id), &name).await;
    let token = token.map_err(|error| FindError::of_write(error, Noun::Tenant))?;
    Ok(IssuedToken { id: token.id, name, role, tenant: tenant.id, secret: token.secret })
}

impl TokenRequest {
    fn check(self, own: Role) -> Result<(String, Role), Invalid> {
        const GRANTABLE: &str = "one of: owner, admin, developer, viewer, billing";
        let mut invalid = Invalid::default();
        let is_printable = !self.name.chars().any(char::is_control);
        if !(1..=64).contains(&self.name.chars().count()) || !is_printable {
            invalid.add("/name", &self.name, "1 to 64 characters without control characters");
        }
        let role = Role::parse(&self.role).filter(|role| *role != Role::Operator);
        match role {
            None => invalid.add("/role", &self.role, GRANTABLE),
            Some(role) if rank(role) < rank(own) => {
                let limit = format!("at most your own role, {}", own.as_str());
                invalid.add("/role", role.as_str(), limit);
            }
            Some(_) => {}
        }
        match role {
            Some(role) if invalid.fields.is_empty() => Ok((self.name, role)),
            _ => Err(invalid),
        }
    }
}

/// The place in the list of roles: a smaller number is mightier.
fn rank(role: Role) -> usize {
    Role::ALL.iter().position(|other| *other == role).expect("the list has every role")
}
