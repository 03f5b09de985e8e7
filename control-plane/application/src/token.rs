//! API tokens: of tenants, and of operators.

use crate::{
    App, Draft, Page,
    error::{FindError, Noun, permit},
    tenant::{self, TenantRef},
    wait::{Closed, Listener},
};
use domain::{
    Action, Actor, Authorized, CreateToken, Invalid, ReadToken, RevokeToken, Role, Scope, Subject,
    TenantId, TokenId,
};
use secrecy::SecretString;
use store::{Change, StoreError, Token, TokenRevokeError};

/// The roles that somebody can be given in a tenant or an organisation.
pub(crate) const GRANTABLE: &str = "one of: owner, admin, developer, viewer, billing";

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
    /// Where; nothing for an operator's.
    pub tenant: Option<TenantId>,
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

/// Why a token was not taken back.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// Not found or not allowed.
    #[error(transparent)]
    Find(#[from] FindError),
    /// No operator would be left.
    #[error("it is the last token of an operator")]
    LastOperator,
}

/// The secret in the value of an `Authorization` header, which is of the scheme `Bearer`.
///
/// Source: RFC 6750, section 2.1; RFC 9110, section 11.1, for the scheme in any case.
#[must_use]
pub fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, secret) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
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

/// Waits until a caller may something else than when they asked: mostly, because their token was taken back.
pub async fn revoked(app: &App, actor: &Actor) {
    let mut listener = Listener::new(app);
    let theirs = match actor.subject {
        Subject::Token(id) => Change::Token(id),
        Subject::Account(id) => Change::Account(id),
    };
    loop {
        // What cannot be read now is looked at again with the next change.
        if let Ok(now) = app.store.actor_of(actor.subject, String::new()).await
            && now.is_none_or(|now| now.grants != actor.grants)
        {
            return;
        }
        if let Err(Closed) = listener.hear(|change| change == theirs).await {
            return;
        }
    }
}

/// Makes a token: for a tenant, at most as mighty as the caller's own; or, without one, an
/// operator's, as only operators may.
///
/// # Errors
/// If the caller may not, or a field breaks a rule.
pub async fn create(
    app: &App,
    actor: &Actor,
    tenant: Option<&TenantRef>,
    request: Draft<TokenRequest>,
) -> Result<IssuedToken, CreateError> {
    let proof = authorized::<CreateToken>(app, actor, tenant).await?;
    let tenant = proof.tenant();
    let checked = request.check(|request| request.check(proof.actor().role, tenant.is_some()));
    let (name, role) = checked.map_err(CreateError::Invalid)?;
    let token = app.store.token_create(Some(&proof), role, tenant, &name).await;
    let token = token.map_err(|error| FindError::of_write(error, Noun::Tenant))?;
    Ok(IssuedToken { id: token.id, name, role, tenant, secret: token.secret })
}

/// The tokens of a tenant; or, without one, those of operators.
///
/// # Errors
/// If the caller may not see them.
pub async fn list(
    app: &App,
    actor: &Actor,
    tenant: Option<&TenantRef>,
    after: Option<TokenId>,
    limit: u64,
) -> Result<Page<Token, TokenId>, FindError> {
    let proof = authorized::<ReadToken>(app, actor, tenant).await?;
    let tokens = app.store.token_list(proof.tenant(), after, limit + 1).await?;
    Ok(Page::cut(tokens, limit, |token| token.id))
}

/// Takes a token back; from now on it is nobody's. One that is mightier than the caller's own is
/// not theirs to take.
///
/// # Errors
/// If the caller may not, there is no such token, or no operator would be left.
pub async fn revoke(
    app: &App,
    actor: &Actor,
    tenant: Option<&TenantRef>,
    id: TokenId,
) -> Result<(), RevokeError> {
    let proof = authorized::<RevokeToken>(app, actor, tenant).await?;
    let token = app.store.token_get(proof.tenant(), id).await.map_err(FindError::from)?;
    let token = token.ok_or(FindError::Missing(Noun::Token))?;
    let own = proof.actor().role;
    if token.role < own {
        return Err(FindError::Forbidden { role: own.as_str() }.into());
    }
    match app.store.token_revoke(&proof, id).await {
        Ok(()) => Ok(()),
        Err(TokenRevokeError::LastOperator) => Err(RevokeError::LastOperator),
        // Somebody else was faster.
        Err(TokenRevokeError::Store(StoreError::Stale)) => {
            Err(FindError::Missing(Noun::Token).into())
        }
        Err(TokenRevokeError::Store(error)) => Err(FindError::of_write(error, Noun::Token).into()),
    }
}

async fn authorized<A: Action>(
    app: &App,
    actor: &Actor,
    tenant: Option<&TenantRef>,
) -> Result<Authorized<A>, FindError> {
    match tenant {
        Some(tenant) => tenant::find(app, actor, tenant).await.map(|(_, proof)| proof),
        None => permit(actor, Scope::Platform, Noun::Page),
    }
}

impl TokenRequest {
    fn check(self, own: Role, is_tenants: bool) -> Result<(String, Role), Invalid> {
        let mut invalid = Invalid::default();
        let is_printable = !self.name.chars().any(char::is_control);
        if !(1..=64).contains(&self.name.chars().count()) || !is_printable {
            invalid.add("/name", &self.name, "1 to 64 characters without control characters");
        }
        let role = Role::parse(&self.role).filter(|role| is_tenants == (*role != Role::Operator));
        match role {
            None if is_tenants => invalid.add("/role", &self.role, GRANTABLE),
            None => invalid.add("/role", &self.role, "operator; other roles are a tenant's"),
            Some(role) if role < own => {
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

#[cfg(test)]
mod tests {
    use super::bearer;

    #[test]
    fn a_secret_is_read_from_the_scheme_bearer_alone() {
        for value in ["Bearer wrn_1", "bearer wrn_1", "BEARER  wrn_1 "] {
            assert_eq!(bearer(value), Some("wrn_1"), "{value}");
        }
        for value in ["", "Bearer", "wrn_1", "Basic wrn_1", "Bearerwrn_1 x"] {
            assert_eq!(bearer(value), None, "{value}");
        }
    }
}
