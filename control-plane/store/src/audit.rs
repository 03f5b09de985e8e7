use crate::{
    Store, StoreError, column,
    entity::{accounts, audit, audit_chain, tokens},
    txn::{Txn, in_txn},
};
use domain::{AccountId, AuditId, OrganisationId, Role, Seal, Subject, TenantId, TokenId};
use jiff::Timestamp;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    Select, sea_query::OnConflict,
};
use serde::Serialize;
use std::collections::HashMap;

/// The most entries that are sealed in one transaction.
const SEALED_AT_ONCE: u64 = 200;
/// The only row of the chain's table.
const CHAIN: i64 = 1;

/// Who did what, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its identifier; later ones sort after earlier ones.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// Who did it; nothing if Warren did it by itself.
    pub subject: Option<Subject>,
    /// What they were where they did it.
    pub role: Option<Role>,
    /// In which tenant.
    pub tenant: Option<TenantId>,
    /// In which organisation.
    pub organisation: Option<OrganisationId>,
    /// What was done, e.g. `tenant.delete`.
    pub action: String,
    /// To what: an identifier.
    pub target: String,
    /// The request, if there was one.
    pub request_id: String,
    /// Its number in the chain; nothing in the moment before it is sealed.
    pub sequence: Option<i64>,
}

/// Which entries of the audit log; all of them by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Those of one tenant.
    pub tenant: Option<TenantId>,
    /// Those of one organisation.
    pub organisation: Option<OrganisationId>,
    /// What somebody did.
    pub subject: Option<Subject>,
    /// What was done: an action, or the first words of several, e.g. `tenant`; letters, dots, `-` and `_`.
    pub action: Option<String>,
}

/// An entry as it was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedEntry {
    /// Its number; the first is 1.
    pub sequence: i64,
    /// What is sealed: the entry as JSON.
    pub text: String,
    /// The seal of the entry before.
    pub previous: Seal,
    /// Its own: what `previous` and the text came to when it was sealed.
    pub seal: Seal,
}

/// What an entry's seal is made of. The names and their order are part of each seal.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Text<'a> {
    sequence: i64,
    id: AuditId,
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<TenantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organisation: Option<OrganisationId>,
    action: &'a str,
    target: &'a str,
    request_id: &'a str,
}

impl From<Option<TenantId>> for AuditFilter {
    fn from(tenant: Option<TenantId>) -> Self {
        Self { tenant, ..Self::default() }
    }
}

impl AuditFilter {
    fn select(&self) -> Select<audit::Entity> {
        let mut select = audit::Entity::find();
        if let Some(tenant) = self.tenant {
            select = select.filter(audit::Column::Tenant.eq(tenant.uuid()));
        }
        if let Some(organisation) = self.organisation {
            select = select.filter(audit::Column::Organisation.eq(organisation.uuid()));
        }
        select = match self.subject {
            Some(Subject::Token(id)) => select.filter(audit::Column::Token.eq(id.uuid())),
            Some(Subject::Account(id)) => select.filter(audit::Column::Account.eq(id.uuid())),
            None => select,
        };
        if let Some(action) = &self.action {
            let below = audit::Column::Action.starts_with(format!("{action}."));
            let either = Condition::any().add(audit::Column::Action.eq(action)).add(below);
            select = select.filter(either);
        }
        select
    }
}

impl Store {
    /// At most `limit` entries, newest first, starting after (before in time) `after`.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.audit.list", skip_all)]
    pub async fn audit_list(
        &self,
        filter: impl Into<AuditFilter>,
        after: Option<AuditId>,
        limit: u64,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let mut select = filter.into().select();
        if let Some(after) = after {
            select = select.filter(audit::Column::Id.lt(after.uuid()));
        }
        let select = select.order_by_desc(audit::Column::Id).limit(limit);
        select.all(&self.0.read).await?.into_iter().map(AuditEntry::try_from).collect()
    }

    /// What people call those who did something; who is not there any more has no name.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.audit.names", skip_all)]
    pub async fn audit_names(
        &self,
        subjects: impl IntoIterator<Item = Subject>,
    ) -> Result<HashMap<Subject, String>, StoreError> {
        let (mut of_tokens, mut of_accounts) = (Vec::new(), Vec::new());
        for subject in subjects {
            match subject {
                Subject::Token(id) => of_tokens.push(id.uuid()),
                Subject::Account(id) => of_accounts.push(id.uuid()),
            }
        }
        let tokens = tokens::Entity::find().filter(tokens::Column::Id.is_in(of_tokens));
        let tokens = tokens.all(&self.0.read).await?.into_iter();
        let accounts = accounts::Entity::find().filter(accounts::Column::Id.is_in(of_accounts));
        let accounts = accounts.all(&self.0.read).await?.into_iter();
        let tokens = tokens.map(|row| (Subject::Token(TokenId::new(row.id)), row.name));
        let accounts = accounts.map(|row| (Subject::Account(AccountId::new(row.id)), row.name));
        Ok(tokens.chain(accounts).collect())
    }

    /// At most `limit` entries as they are now, with the seals that they got, in the order of the chain, starting after
    /// the number `after`.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.audit.sealed", skip_all)]
    pub async fn audit_sealed(
        &self,
        filter: &AuditFilter,
        after: i64,
        limit: u64,
    ) -> Result<Vec<SealedEntry>, StoreError> {
        let select = filter.select().filter(audit::Column::Sequence.gt(after));
        let select = select.order_by_asc(audit::Column::Sequence).limit(limit);
        select.all(&self.0.read).await?.into_iter().map(SealedEntry::try_from).collect()
    }

    /// The number and the seal of the last entry of the chain; nothing before the first.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.audit.head", skip_all)]
    pub async fn audit_head(&self) -> Result<Option<(i64, Seal)>, StoreError> {
        let row = audit_chain::Entity::find_by_id(CHAIN).one(&self.0.read).await?;
        row.map(|row| Ok((row.sequence, to_seal(row.seal)?))).transpose()
    }

    /// Seals entries that have none, oldest first; whether there may be more of them.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.audit.seal", skip_all)]
    pub async fn audit_seal(&self) -> Result<bool, StoreError> {
        let unsealed = unsealed().limit(1).one(&self.0.read).await?;
        // A record in which nothing is done is not written to.
        if unsealed.is_none() {
            return Ok(false);
        }
        in_txn!(self, |txn| seal_in_txn(&mut txn))
    }

    /// Waits until this process has written entries that may not be sealed yet. For one caller.
    pub fn audited(&self) -> impl Future<Output = ()> + Send {
        self.0.audited.notified()
    }
}

fn unsealed() -> Select<audit::Entity> {
    let select = audit::Entity::find().filter(audit::Column::Sequence.is_null());
    select.order_by_asc(audit::Column::Id)
}

async fn seal_in_txn(txn: &mut Txn) -> Result<bool, StoreError> {
    let head = audit_chain::Entity::find_by_id(CHAIN).lock_exclusive().one(&txn.db).await?;
    let (mut sequence, mut last) = match head {
        Some(row) => (row.sequence, to_seal(row.seal)?),
        None => (0, Seal::BEFORE_ALL),
    };
    let rows = unsealed().limit(SEALED_AT_ONCE).all(&txn.db).await?;
    let is_more = u64::try_from(rows.len()).is_ok_and(|count| count == SEALED_AT_ONCE);
    for row in rows {
        sequence += 1;
        let seal = last.then(&text(&row, sequence)?);
        let sealed = audit::ActiveModel {
            id: Set(row.id),
            sequence: Set(Some(sequence)),
            previous: Set(Some(last.bytes().to_vec())),
            seal: Set(Some(seal.bytes().to_vec())),
            ..Default::default()
        };
        audit::Entity::update(sealed).exec(&txn.db).await?;
        last = seal;
    }
    let head = audit_chain::ActiveModel {
        id: Set(CHAIN),
        sequence: Set(sequence),
        seal: Set(last.bytes().to_vec()),
    };
    let columns = [audit_chain::Column::Sequence, audit_chain::Column::Seal];
    let replace = OnConflict::column(audit_chain::Column::Id).update_columns(columns).to_owned();
    audit_chain::Entity::insert(head).on_conflict(replace).exec_without_returning(&txn.db).await?;
    Ok(is_more)
}

/// What a row's seal is made of.
fn text(row: &audit::Model, sequence: i64) -> Result<String, StoreError> {
    Ok(column::json(&Text {
        sequence,
        id: AuditId::new(row.id),
        at: column::to_time("audit.at", row.at)?,
        subject: subject(row).map(|subject| subject.to_string()),
        role: row.role.as_deref(),
        tenant: row.tenant.map(TenantId::new),
        organisation: row.organisation.map(OrganisationId::new),
        action: &row.action,
        target: &row.target,
        request_id: &row.request_id,
    }))
}

fn subject(row: &audit::Model) -> Option<Subject> {
    let account = row.account.map(|id| Subject::Account(AccountId::new(id)));
    row.token.map(|id| Subject::Token(TokenId::new(id))).or(account)
}

fn to_seal(bytes: Vec<u8>) -> Result<Seal, StoreError> {
    Seal::try_from(bytes).map_err(|error| StoreError::corrupt("audit.seal", error))
}

impl TryFrom<audit::Model> for AuditEntry {
    type Error = StoreError;

    fn try_from(row: audit::Model) -> Result<Self, StoreError> {
        let role = row.role.as_deref();
        Ok(Self {
            id: AuditId::new(row.id),
            at: column::to_time("audit.at", row.at)?,
            subject: subject(&row),
            role: role.map(|role| column::to_word("audit.role", role)).transpose()?,
            tenant: row.tenant.map(TenantId::new),
            organisation: row.organisation.map(OrganisationId::new),
            action: row.action,
            target: row.target,
            request_id: row.request_id,
            sequence: row.sequence,
        })
    }
}

impl TryFrom<audit::Model> for SealedEntry {
    type Error = StoreError;

    fn try_from(row: audit::Model) -> Result<Self, StoreError> {
        let sequence = row.sequence.unwrap_or_default();
        let text = text(&row, sequence)?;
        // Whoever took a seal away is found as one that does not fit.
        let seal = |bytes: Option<Vec<u8>>| to_seal(bytes.unwrap_or_else(|| vec![0; 32]));
        Ok(Self { sequence, text, previous: seal(row.previous)?, seal: seal(row.seal)? })
    }
}
