use crate::{
    Change, Store, StoreError, column,
    entity::tokens,
    error::write_error,
    secret::sha256,
    tenant,
    txn::{Place, Txn, in_txn},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use domain::{Actor, Authorized, CreateToken, RevokeToken, Role, TenantId, TokenId};
use jiff::Timestamp;
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, sea_query::SimpleExpr,
};
use secrecy::{ExposeSecret, SecretString};

const PREFIX: &str = "wrn_";
/// Hexadecimal digits at a token's end that tell a typing error from an unknown token.
const CHECK_DIGITS: usize = 6;

/// What is known about a token; not the token itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Names it in the audit log.
    pub id: TokenId,
    /// What it is for.
    pub name: String,
    /// What its holder may be.
    pub role: Role,
    /// Where; nothing for an operator's.
    pub tenant: Option<TenantId>,
    /// Whether it is the one that the first start made.
    pub is_bootstrap: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Why a token was not taken back.
#[derive(Debug, thiserror::Error)]
pub enum TokenRevokeError {
    /// Nobody could do anything about the platform any more.
    #[error("it is the last token of an operator")]
    LastOperator,
    /// The record failed; `NotFound` if there is no such token where the proof is for.
    #[error("take the token back")]
    Store(#[from] StoreError),
}

write_error!(TokenRevokeError);

/// A token at the only moment when it can be seen.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Names it in the audit log.
    pub id: TokenId,
    /// The token itself: `wrn_…`. Only its SHA-256 is stored.
    pub secret: SecretString,
}

impl Store {
    /// Makes a token. Without a proof only the bootstrap token can be made: an operator's, as the
    /// first of all. Whether the caller may give this role away is for the use case to decide.
    ///
    /// # Errors
    /// `Refused` for a second bootstrap token, or a role that does not go with the tenant;
    /// `NotFound` if there is no such tenant or the proof is for another one; or if the database
    /// fails.
    #[tracing::instrument(name = "db.token.create", skip_all)]
    pub async fn token_create(
        &self,
        proof: Option<&Authorized<CreateToken>>,
        role: Role,
        tenant: Option<TenantId>,
        name: &str,
    ) -> Result<NewToken, StoreError> {
        if proof.is_some_and(|proof| proof.tenant() != tenant) {
            return Err(StoreError::NotFound);
        }
        if tenant.is_none() != (role == Role::Operator) {
            return Err(StoreError::Refused("operators have no tenant, and all others have one"));
        }
        if proof.is_none() && role != Role::Operator {
            return Err(StoreError::Refused("the bootstrap token is an operator's"));
        }
        in_txn!(self, |txn| create_in_txn(&mut txn, proof, role, tenant, name))
    }

    /// Makes an operator's token for whoever has the record itself in hand: the way back when every
    /// other one is lost.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.token.recover", skip_all)]
    pub async fn token_recover(&self, name: &str) -> Result<NewToken, StoreError> {
        in_txn!(self, |txn| recover_in_txn(&mut txn, name))
    }

    /// At most `limit` tokens of a tenant, or of operators, by identifier, starting after `after`.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.token.list", skip_all)]
    pub async fn token_list(
        &self,
        tenant: Option<TenantId>,
        after: Option<TokenId>,
        limit: u64,
    ) -> Result<Vec<Token>, StoreError> {
        let mut select = tokens::Entity::find().filter(of(tenant));
        if let Some(after) = after {
            select = select.filter(tokens::Column::Id.gt(after.uuid()));
        }
        let select = select.order_by_asc(tokens::Column::Id).limit(limit);
        select.all(&self.0.read).await?.into_iter().map(Token::try_from).collect()
    }

    /// One token of a tenant, or of operators.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.token.get", skip_all)]
    pub async fn token_get(
        &self,
        tenant: Option<TenantId>,
        id: TokenId,
    ) -> Result<Option<Token>, StoreError> {
        let select = tokens::Entity::find_by_id(id.uuid()).filter(of(tenant));
        select.one(&self.0.read).await?.map(Token::try_from).transpose()
    }

    /// Takes a token back: from now on it is nobody's. The proof says whether it is a tenant's or an
    /// operator's.
    ///
    /// # Errors
    /// `NotFound` if there is no such token there; `LastOperator` if no operator would be left; or
    /// if the database fails.
    #[tracing::instrument(name = "db.token.revoke", skip_all)]
    pub async fn token_revoke(
        &self,
        proof: &Authorized<RevokeToken>,
        id: TokenId,
    ) -> Result<(), TokenRevokeError> {
        in_txn!(self, |txn| revoke_in_txn(&mut txn, proof, id))
    }

    /// Whether there is any token.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.token.is_any", skip_all)]
    pub async fn token_is_any(&self) -> Result<bool, StoreError> {
        Ok(tokens::Entity::find().limit(1).one(&self.0.read).await?.is_some())
    }

    /// Who shows this token; nobody if it is not one.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.token.actor", skip_all)]
    pub async fn actor_by_token(
        &self,
        token: &str,
        request_id: String,
    ) -> Result<Option<Actor>, StoreError> {
        if !is_well_formed(token) {
            return Ok(None);
        }
        let hash = sha256(token.as_bytes()).to_vec();
        let select = tokens::Entity::find().filter(tokens::Column::Hash.eq(hash));
        let Some(row) = select.one(&self.0.read).await? else { return Ok(None) };
        actor_of(&row, request_id).map(Some)
    }
}

async fn create_in_txn(
    txn: &mut Txn,
    proof: Option<&Authorized<CreateToken>>,
    role: Role,
    tenant: Option<TenantId>,
    name: &str,
) -> Result<NewToken, StoreError> {
    if proof.is_none() && tokens::Entity::find().count(&txn.db).await? > 0 {
        return Err(StoreError::Refused("there are tokens already"));
    }
    if let Some(id) = tenant {
        let select = tenant::existing_by_id(id).lock_shared();
        select.one(&txn.db).await?.ok_or(StoreError::NotFound)?;
    }
    let token = insert_in_txn(txn, role, tenant, name, proof.is_none()).await?;
    let actor = proof.map(Authorized::actor);
    txn.audit(actor, "token.create", tenant, token.id.to_string()).await?;
    Ok(token)
}

async fn recover_in_txn(txn: &mut Txn, name: &str) -> Result<NewToken, StoreError> {
    let token = insert_in_txn(txn, Role::Operator, None, name, false).await?;
    txn.audit(None, "token.recover", Place::NOWHERE, token.id.to_string()).await?;
    Ok(token)
}

async fn revoke_in_txn(
    txn: &mut Txn,
    proof: &Authorized<RevokeToken>,
    id: TokenId,
) -> Result<(), TokenRevokeError> {
    let tenant = proof.tenant();
    // All of them, so that two operators cannot take back each other's at the same time.
    let select = tokens::Entity::find().filter(of(tenant)).lock_exclusive();
    let all = select.all(&txn.db).await?;
    if all.iter().all(|token| token.id != id.uuid()) {
        return Err(StoreError::NotFound.into());
    }
    if tenant.is_none() && all.len() == 1 {
        return Err(TokenRevokeError::LastOperator);
    }
    let deleted = tokens::Entity::delete_by_id(id.uuid()).exec(&txn.db).await?;
    if deleted.rows_affected != 1 {
        return Err(StoreError::Stale.into());
    }
    txn.changed(Change::Token(id));
    txn.audit(Some(proof.actor()), "token.revoke", tenant, id.to_string()).await?;
    Ok(())
}

async fn insert_in_txn(
    txn: &mut Txn,
    role: Role,
    tenant: Option<TenantId>,
    name: &str,
    is_bootstrap: bool,
) -> Result<NewToken, StoreError> {
    let id = TokenId::new(txn.store.ids.uuid());
    let secret = random(PREFIX, txn.store.ids.secret());
    let secret = SecretString::from(format!("{secret}{}", check_digits(&secret)));
    let row = tokens::Model {
        id: id.uuid(),
        hash: sha256(secret.expose_secret().as_bytes()).to_vec(),
        role: role.as_str().to_owned(),
        tenant: tenant.map(TenantId::uuid),
        name: name.to_owned(),
        is_bootstrap,
        created_at: txn.at(),
    };
    tokens::Entity::insert(row.into_active_model()).exec_without_returning(&txn.db).await?;
    Ok(NewToken { id, secret })
}

/// Who shows a token.
pub(crate) fn actor_of(row: &tokens::Model, request_id: String) -> Result<Actor, StoreError> {
    let role = column::to_word("tokens.role", &row.role)?;
    let tenant = row.tenant.map(TenantId::new);
    Ok(Actor::of_token(TokenId::new(row.id), role, tenant, request_id))
}

/// The tokens of a tenant, or those of operators.
fn of(tenant: Option<TenantId>) -> SimpleExpr {
    match tenant {
        Some(tenant) => tokens::Column::Tenant.eq(tenant.uuid()),
        None => tokens::Column::Tenant.is_null(),
    }
}

impl TryFrom<tokens::Model> for Token {
    type Error = StoreError;

    fn try_from(row: tokens::Model) -> Result<Self, StoreError> {
        Ok(Self {
            id: TokenId::new(row.id),
            name: row.name,
            role: column::to_word("tokens.role", &row.role)?,
            tenant: row.tenant.map(TenantId::new),
            is_bootstrap: row.is_bootstrap,
            created_at: column::to_time("tokens.created_at", row.created_at)?,
        })
    }
}

/// A token's text: prefix and 32 random bytes in base64url (RFC 4648, section 5).
pub(crate) fn random(prefix: &str, bytes: [u8; 32]) -> String {
    format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

fn check_digits(token: &str) -> String {
    let mut digits = hex::encode(sha256(token.as_bytes()));
    digits.truncate(CHECK_DIGITS);
    digits
}

fn is_well_formed(token: &str) -> bool {
    let split = token.len().checked_sub(CHECK_DIGITS).and_then(|at| token.split_at_checked(at));
    split.is_some_and(|(text, digits)| text.starts_with(PREFIX) && check_digits(text) == digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_mistyped_token_is_told_from_a_good_one(bytes in any::<[u8; 32]>(), at in 4..53usize) {
            let token = random(PREFIX, bytes);
            let token = format!("{token}{}", check_digits(&token));
            prop_assert_eq!(token.len(), 53);
            prop_assert!(is_well_formed(&token));
            let mut wrong = token.into_bytes();
            wrong[at] = if wrong[at] == b'x' { b'y' } else { b'x' };
            prop_assert!(!is_well_formed(&String::from_utf8(wrong).expect("still ASCII")));
        }

        #[test]
        fn no_text_makes_the_check_panic(text in "(wrn_)?\\PC*") {
            let _ = is_well_formed(&text);
        }
    }
}
