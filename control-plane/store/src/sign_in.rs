use crate::{
    Change, Store, StoreError, account, column,
    entity::{accounts, sign_in_failures as failures, sign_ins},
    secret::sha256,
    token::random,
    txn::{By, Place, Txn, in_txn},
};
use domain::{Account, AccountId, Actor, Email, SignIn, SignInId};
use jiff::{SignedDuration, Timestamp};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, Set,
};
use secrecy::{ExposeSecret as _, SecretString};

const PREFIX: &str = "wrs_";
/// How exactly it is known when somebody was last there: a page that is looked at does not write each time.
const USED: SignedDuration = SignedDuration::from_mins(5);
/// After how long without use it is over.
const IDLE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A sign-in at the only moment when its secret can be seen.
#[derive(Debug, Clone)]
pub struct NewSignIn {
    /// What is known about it.
    pub sign_in: SignIn,
    /// What the browser keeps: `wrs_…`. Only its SHA-256 is stored.
    pub secret: SecretString,
}

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Who.
    pub account: Account,
    /// In which browser.
    pub sign_in: SignInId,
    /// What they may.
    pub actor: Actor,
}

/// How often somebody did not get in, one time after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failures {
    /// How often.
    pub count: u32,
    /// The last time.
    pub last_at: Timestamp,
}

impl Store {
    /// Signs somebody in whose password was right. Their failures are forgotten.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.sign_in.create", skip_all)]
    pub async fn sign_in_create(
        &self,
        account: &Account,
        device: &str,
        valid: SignedDuration,
        request_id: &str,
    ) -> Result<NewSignIn, StoreError> {
        in_txn!(self, |txn| create_in_txn(&mut txn, account, device, valid, request_id))
    }

    /// Who shows this secret; nobody if it is over.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.sign_in.person", skip_all)]
    pub async fn signed_in(
        &self,
        secret: &str,
        request_id: String,
    ) -> Result<Option<SignedIn>, StoreError> {
        if !secret.starts_with(PREFIX) {
            return Ok(None);
        }
        let hash = sha256(secret.as_bytes()).to_vec();
        let select = sign_ins::Entity::find().filter(sign_ins::Column::Hash.eq(hash));
        let Some(row) = select.one(&self.0.read).await? else { return Ok(None) };
        let now = self.0.now();
        let before = |kept: SignedDuration| column::time(now.saturating_sub(kept).unwrap_or(now));
        if row.expires_at <= column::time(now) || row.last_used_at < before(IDLE) {
            return Ok(None);
        }
        if row.last_used_at < before(USED) {
            in_txn!(self, |txn| used_in_txn(&mut txn, row.id))?;
        }
        let select = accounts::Entity::find_by_id(row.account);
        let account = select.one(&self.0.read).await?.ok_or(StoreError::NotFound)?;
        let account = Account::try_from(account)?;
        let actor = account::actor(&self.0.read, account.id, request_id).await?;
        Ok(Some(SignedIn { account, sign_in: SignInId::new(row.id), actor }))
    }

    /// Where somebody is signed in, the newest first.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.sign_in.list", skip_all)]
    pub async fn sign_in_list(&self, account: AccountId) -> Result<Vec<SignIn>, StoreError> {
        let now = self.0.now();
        let idle = column::time(now.saturating_sub(IDLE).unwrap_or(now));
        let select = sign_ins::Entity::find()
            .filter(sign_ins::Column::Account.eq(account.uuid()))
            .filter(sign_ins::Column::ExpiresAt.gt(column::time(now)))
            .filter(sign_ins::Column::LastUsedAt.gte(idle));
        let rows = select.order_by_desc(sign_ins::Column::Id).all(&self.0.read).await?;
        rows.into_iter().map(SignIn::try_from).collect()
    }

    /// Signs somebody out: in one browser of theirs.
    ///
    /// # Errors
    /// `NotFound` if they are not signed in there; or if the database fails.
    #[tracing::instrument(name = "db.sign_in.end", skip_all)]
    pub async fn sign_in_end(
        &self,
        actor: &Actor,
        account: AccountId,
        id: SignInId,
    ) -> Result<(), StoreError> {
        in_txn!(self, |txn| end_in_txn(&mut txn, actor, account, id))
    }

    /// How often nobody got in with this address, one time after the other; whether it has an account or not.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.sign_in.failures", skip_all)]
    pub async fn sign_in_failures(&self, email: &Email) -> Result<Option<Failures>, StoreError> {
        let Some(row) = failures::Entity::find_by_id(key(email)).one(&self.0.read).await? else {
            return Ok(None);
        };
        let last_at = column::to_time("sign_in_failures.last_at", row.last_at)?;
        Ok(Some(Failures { count: u32::try_from(row.failures).unwrap_or(u32::MAX), last_at }))
    }

    /// Counts one more, and forgets those that are older than a day.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.sign_in.failed", skip_all)]
    pub async fn sign_in_failed(&self, email: &Email, request_id: &str) -> Result<(), StoreError> {
        in_txn!(self, |txn| failed_in_txn(&mut txn, email, request_id))
    }
}

async fn create_in_txn(
    txn: &mut Txn,
    account: &Account,
    device: &str,
    valid: SignedDuration,
    request_id: &str,
) -> Result<NewSignIn, StoreError> {
    failures::Entity::delete_by_id(key(&account.email)).exec(&txn.db).await?;
    let secret = SecretString::from(random(PREFIX, txn.store.ids.secret()));
    let row = sign_ins::Model {
        id: txn.store.ids.uuid(),
        account: account.id.uuid(),
        hash: sha256(secret.expose_secret().as_bytes()).to_vec(),
        device: device.to_owned(),
        created_at: txn.at(),
        last_used_at: txn.at(),
        expires_at: txn.later(valid),
    };
    let sign_in = SignIn::try_from(row.clone())?;
    sign_ins::Entity::insert(row.into_active_model()).exec_without_returning(&txn.db).await?;
    let by = By::own(account.id, request_id.to_owned());

    txn.audit_by(by, "account.sign-in", Place::NOWHERE, sign_in.id.to_string()).await?;
    Ok(NewSignIn { sign_in, secret })
}

async fn used_in_txn(txn: &mut Txn, id: uuid::Uuid) -> Result<(), StoreError> {
    sign_ins::Entity::update_many()
        .set(sign_ins::ActiveModel { last_used_at: Set(txn.at()), ..Default::default() })
        .filter(sign_ins::Column::Id.eq(id))
        .exec(&txn.db)
        .await?;
    Ok(())
}

async fn end_in_txn(
    txn: &mut Txn,
    actor: &Actor,
    account: AccountId,
    id: SignInId,
) -> Result<(), StoreError> {
    let deleted = sign_ins::Entity::delete_many()
        .filter(sign_ins::Column::Id.eq(id.uuid()))
        .filter(sign_ins::Column::Account.eq(account.uuid()))
        .exec(&txn.db)
        .await?;
    if deleted.rows_affected != 1 {
        return Err(StoreError::NotFound);
    }
    txn.changed(Change::Account(account));
    let by = By::own(account, actor.request_id.clone());
    txn.audit_by(by, "account.sign-out", Place::NOWHERE, id.to_string()).await
}

async fn failed_in_txn(txn: &mut Txn, email: &Email, request_id: &str) -> Result<(), StoreError> {
    const KEPT: SignedDuration = SignedDuration::from_hours(24);
    let old = txn.now.saturating_sub(KEPT).unwrap_or(txn.now);
    failures::Entity::delete_many()
        .filter(failures::Column::LastAt.lt(column::time(old)))
        .exec(&txn.db)
        .await?;
    let before = failures::Entity::find_by_id(key(email)).one(&txn.db).await?;
    let row = failures::ActiveModel {
        key: Set(key(email)),
        failures: Set(before.as_ref().map_or(0, |before| before.failures).saturating_add(1)),
        last_at: Set(txn.at()),
    };
    if before.is_some() {
        row.update(&txn.db).await?;
    } else {
        failures::Entity::insert(row).exec_without_returning(&txn.db).await?;
    }
    let by = By { request_id: request_id.to_owned(), ..By::default() };
    let target = hex::encode(&key(email)[..8]);
    txn.audit_by(by, "account.sign-in.failed", Place::NOWHERE, target).await
}

/// What an address is counted under.
fn key(email: &Email) -> Vec<u8> {
    sha256(email.as_str().as_bytes()).to_vec()
}

impl TryFrom<sign_ins::Model> for SignIn {
    type Error = StoreError;

    fn try_from(row: sign_ins::Model) -> Result<Self, StoreError> {
        Ok(Self {
            id: SignInId::new(row.id),
            device: row.device,
            created_at: column::to_time("sign_ins.created_at", row.created_at)?,
            last_used_at: column::to_time("sign_ins.last_used_at", row.last_used_at)?,
            expires_at: column::to_time("sign_ins.expires_at", row.expires_at)?,
        })
    }
}
