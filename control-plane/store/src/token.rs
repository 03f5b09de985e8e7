use crate::{
    Store, StoreError, column,
    entity::tokens,
    secret::sha256,
    tenant,
    txn::{Txn, in_txn},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use domain::{Actor, Authorized, CreateToken, Role, TenantId, TokenId};
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QuerySelect,
};
use secrecy::{ExposeSecret, SecretString};

const PREFIX: &str = "wrn_";
/// Hexadecimal digits at a token's end that tell a typing error from an unknown token.
const CHECK_DIGITS: usize = 6;

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

    /// Whether there is any token.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn token_is_any(&self) -> Result<bool, StoreError> {
        Ok(tokens::Entity::find().limit(1).one(&self.0.read).await?.is_some())
    }

    /// Who shows this token; nobody if it is not one.
    ///
    /// # Errors
    /// If the database fails.
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
        Ok(Some(Actor {
            token: TokenId::new(row.id),
            role: column::to_word("tokens.role", &row.role)?,
            tenant: row.tenant.map(TenantId::new),
            request_id,
        }))
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
    let id = TokenId::new(txn.store.ids.uuid());
    let secret = random(PREFIX, txn.store.ids.secret());
    let secret = SecretString::from(format!("{secret}{}", check_digits(&secret)));
    let row = tokens::Model {
        id: id.uuid(),
        hash: sha256(secret.expose_secret().as_bytes()).to_vec(),
        role: role.as_str().to_owned(),
        tenant: tenant.map(TenantId::uuid),
        name: name.to_owned(),
        is_bootstrap: proof.is_none(),
        created_at: txn.at(),
    };
    tokens::Entity::insert(row.into_active_model()).exec_without_returning(&txn.db).await?;
    let actor = proof.map(Authorized::actor);
    txn.audit(actor, "token.create", tenant, id.to_string()).await?;
    Ok(NewToken { id, secret })
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
