use crate::{Store, StoreError, column, entity::audit};
use domain::{AccountId, OrganisationId, Role, Subject, TenantId, TokenId};
use jiff::Timestamp;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

/// Who did what, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its identifier; later ones sort after earlier ones.
    pub id: Uuid,
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
}

impl Store {
    /// At most `limit` entries, newest first, starting after (before in time) `after`; those of one
    /// tenant, or all.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.audit.list", skip_all)]
    pub async fn audit_list(
        &self,
        tenant: Option<TenantId>,
        after: Option<Uuid>,
        limit: u64,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let mut select = audit::Entity::find();
        if let Some(tenant) = tenant {
            select = select.filter(audit::Column::Tenant.eq(tenant.uuid()));
        }
        if let Some(after) = after {
            select = select.filter(audit::Column::Id.lt(after));
        }
        let select = select.order_by_desc(audit::Column::Id).limit(limit);
        select.all(&self.0.read).await?.into_iter().map(AuditEntry::try_from).collect()
    }
}

impl TryFrom<audit::Model> for AuditEntry {
    type Error = StoreError;

    fn try_from(row: audit::Model) -> Result<Self, StoreError> {
        let role = row.role.as_deref();
        let account = row.account.map(|id| Subject::Account(AccountId::new(id)));
        Ok(Self {
            id: row.id,
            at: column::to_time("audit.at", row.at)?,
            subject: row.token.map(|id| Subject::Token(TokenId::new(id))).or(account),
            role: role.map(|role| column::to_word("audit.role", role)).transpose()?,
            tenant: row.tenant.map(TenantId::new),
            organisation: row.organisation.map(OrganisationId::new),
            action: row.action,
            target: row.target,
            request_id: row.request_id,
        })
    }
}
