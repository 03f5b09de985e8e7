use crate::{
    Store, StoreError, column,
    entity::{blobs, tenants},
    txn::{Txn, in_txn},
};
use domain::TenantId;
use jiff::Timestamp;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set};

/// A removed tenant of which there may still be objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemovedTenant {
    /// Its identifier.
    pub id: TenantId,
    /// When it was removed.
    pub removed_at: Timestamp,
}

impl Store {
    /// At most `limit` removed tenants that are not erased, by identifier, starting after `after`.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.tenant.unerased", skip_all)]
    pub async fn tenant_unerased(
        &self,
        after: Option<TenantId>,
        limit: u64,
    ) -> Result<Vec<RemovedTenant>, StoreError> {
        let mut select = tenants::Entity::find()
            .select_only()
            .column(tenants::Column::Id)
            .column(tenants::Column::DeletedAt)
            .filter(tenants::Column::DeletedAt.is_not_null())
            .filter(tenants::Column::ErasedAt.is_null());
        if let Some(after) = after {
            select = select.filter(tenants::Column::Id.gt(after.uuid()));
        }
        let select = select.order_by_asc(tenants::Column::Id).limit(limit);
        let rows: Vec<(uuid::Uuid, i64)> = select.into_tuple().all(&self.0.read).await?;
        let removed = |(id, at)| {
            let removed_at = column::to_time("tenants.deleted_at", at)?;
            Ok(RemovedTenant { id: TenantId::new(id), removed_at })
        };
        rows.into_iter().map(removed).collect()
    }

    /// Forgets the uploads of a removed tenant, when the objects are gone.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.tenant.forget_uploads", skip_all)]
    pub async fn tenant_forget_uploads(&self, id: TenantId) -> Result<(), StoreError> {
        in_txn!(self, |txn| forget_uploads_in_txn(&mut txn, id))
    }

    /// Notes that nothing of a removed tenant is left in the object store; the first time counts.
    ///
    /// # Errors
    /// `Refused` if the tenant is not removed; or if the database fails.
    #[tracing::instrument(name = "db.tenant.erased", skip_all)]
    pub async fn tenant_erased(&self, id: TenantId) -> Result<(), StoreError> {
        in_txn!(self, |txn| erased_in_txn(&mut txn, id))
    }
}

async fn forget_uploads_in_txn(txn: &mut Txn, id: TenantId) -> Result<(), StoreError> {
    blobs::Entity::delete_many().filter(blobs::Column::Tenant.eq(id.uuid())).exec(&txn.db).await?;
    Ok(())
}

/// Nobody waits for this, so no change is told.
async fn erased_in_txn(txn: &mut Txn, id: TenantId) -> Result<(), StoreError> {
    let select = tenants::Entity::find_by_id(id.uuid()).lock_exclusive();
    let row = select.one(&txn.db).await?.ok_or(StoreError::NotFound)?;
    if row.deleted_at.is_none() {
        return Err(StoreError::Refused("the tenant is not removed"));
    }
    if row.erased_at.is_some() {
        return Ok(());
    }
    let change = tenants::ActiveModel { erased_at: Set(Some(txn.at())), ..Default::default() };
    tenants::Entity::update_many()
        .set(change)
        .filter(tenants::Column::Id.eq(id.uuid()))
        .exec(&txn.db)
        .await?;
    txn.audit(None, "tenant.erase", Some(id), id.to_string()).await
}
