use crate::{
    Store, StoreError, column,
    entity::{blobs, tenants},
    error::write_error,
    tenant,
    txn::{Txn, in_txn},
};
use domain::{Bytes, Digest, InputSource, PlanName, SessionSpec, Tenant, TenantId, Uploads};
use jiff::Timestamp;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, Set,
    sea_query::{Expr, Query},
};

/// An input that a tenant uploaded; its bytes are in the object store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// How much a tenant has uploaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlobUsage {
    /// Sum of the sizes.
    pub bytes: u64,
    /// Number of uploads.
    pub count: u64,
}

/// Why an upload was not noted.
#[derive(Debug, thiserror::Error)]
pub enum BlobPutError {
    /// Its tenant is on its way out.
    #[error("the tenant is being deleted")]
    TenantDeleting,
    /// The tenant's plan has no room for it.
    #[error("no room for it beside {} bytes in {} uploads", used.bytes, used.count)]
    Full {
        /// What is there.
        used: BlobUsage,
        /// What may be there.
        limits: Uploads,
    },
    /// The record failed; `NotFound` if there is no such tenant.
    #[error("write the upload")]
    Store(#[from] StoreError),
}

write_error!(BlobPutError);

impl BlobUsage {
    /// Whether `size` more bytes are within limits.
    #[must_use]
    pub fn has_room_for(self, size: u64, limits: Uploads) -> bool {
        let Bytes(most) = limits.bytes;
        self.count < limits.count && self.bytes.saturating_add(size) <= most
    }
}

impl Store {
    /// Notes an uploaded input, whose bytes are in the object store, within the limits of its
    /// tenant's plan. One that is known is needed again from now on.
    ///
    /// Uploads of one tenant must come here one after the other: two at the same time could pass
    /// the limits together.
    ///
    /// # Errors
    /// If there is no room, the tenant is on its way out or is none, or the database fails.
    #[tracing::instrument(name = "db.blob.put", skip_all)]
    pub async fn blob_put(
        &self,
        tenant: TenantId,
        digest: &Digest,
        size: u64,
    ) -> Result<(), BlobPutError> {
        in_txn!(self, |txn| put_in_txn(&mut txn, tenant, digest, size))
    }

    /// An input that a tenant uploaded.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.blob.get", skip_all)]
    pub async fn blob_get(
        &self,
        tenant: TenantId,
        digest: &Digest,
    ) -> Result<Option<Blob>, StoreError> {
        let select = blobs::Entity::find()
            .filter(is(tenant, digest))
            .filter(blobs::Column::RemovingAt.is_null());
        let row = select.one(&self.0.read).await?;
        row.map(Blob::try_from).transpose()
    }

    /// How much a tenant has uploaded.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.blob.usage", skip_all)]
    pub async fn blob_usage(&self, tenant: TenantId) -> Result<BlobUsage, StoreError> {
        usage(&self.0.read, tenant).await
    }

    /// At most `limit` uploads of tenants with one plan that nobody has needed since `before` and no
    /// session that is not over names; and those whose removal was begun.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.blob.expired", skip_all)]
    pub async fn blob_expired(
        &self,
        plan: PlanName,
        before: Timestamp,
        limit: u64,
    ) -> Result<Vec<(TenantId, Digest)>, StoreError> {
        let of_plan = Query::select()
            .column(tenants::Column::Id)
            .from(tenants::Entity)
            .and_where(tenants::Column::Plan.eq(plan.as_str()))
            .and_where(tenants::Column::DeletedAt.is_null())
            .to_owned();
        let select = blobs::Entity::find()
            .filter(blobs::Column::Tenant.in_subquery(of_plan))
            .filter(is_removable(before))
            .order_by_asc(blobs::Column::NeededAt)
            .limit(limit);
        let rows = select.all(&self.0.read).await?.into_iter();
        let id = |row: blobs::Model| {
            Ok((TenantId::new(row.tenant), column::to_parsed("blobs.digest", &row.digest)?))
        };
        rows.map(id).collect()
    }

    /// Begins an upload's removal: from now on it is not there. Whether it is to be removed: not if
    /// somebody has needed it meanwhile. Ends with [`Store::blob_forget`], when its bytes are gone.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.blob.remove", skip_all)]
    pub async fn blob_remove(
        &self,
        tenant: TenantId,
        digest: &Digest,
        before: Timestamp,
    ) -> Result<bool, StoreError> {
        in_txn!(self, |txn| remove_in_txn(&mut txn, tenant, digest, before))
    }

    /// Ends an upload's removal.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.blob.forget", skip_all)]
    pub async fn blob_forget(&self, tenant: TenantId, digest: &Digest) -> Result<(), StoreError> {
        in_txn!(self, |txn| forget_in_txn(&mut txn, tenant, digest))
    }
}

/// Nobody waits for an upload, so no change is told.
async fn put_in_txn(
    txn: &mut Txn,
    tenant: TenantId,
    digest: &Digest,
    size: u64,
) -> Result<(), BlobPutError> {
    let owner = tenant::existing_by_id(tenant).lock_shared().one(&txn.db).await?;
    let owner = owner.ok_or(StoreError::NotFound)?;
    if owner.deletion_requested_at.is_some() {
        return Err(BlobPutError::TenantDeleting);
    }
    if need_in_txn(txn, tenant, digest, Condition::all()).await? {
        return Ok(());
    }
    let plan = Tenant::try_from(owner)?.plan();
    let used = usage(&txn.db, tenant).await?;
    if !used.has_room_for(size, plan.uploads) {
        return Err(BlobPutError::Full { used, limits: plan.uploads });
    }
    let row = blobs::Model {
        tenant: tenant.uuid(),
        digest: digest.to_string(),
        size: column::count(size),
        created_at: txn.at(),
        needed_at: txn.at(),
        removing_at: None,
    };
    blobs::Entity::insert(row.into_active_model()).exec_without_returning(&txn.db).await?;
    Ok(())
}

async fn remove_in_txn(
    txn: &mut Txn,
    tenant: TenantId,
    digest: &Digest,
    before: Timestamp,
) -> Result<bool, StoreError> {
    let change = blobs::ActiveModel { removing_at: Set(Some(txn.at())), ..Default::default() };
    let updated = blobs::Entity::update_many()
        .set(change)
        .filter(is(tenant, digest))
        .filter(is_removable(before))
        .exec(&txn.db)
        .await?;
    Ok(updated.rows_affected == 1)
}

async fn forget_in_txn(txn: &mut Txn, tenant: TenantId, digest: &Digest) -> Result<(), StoreError> {
    blobs::Entity::delete_many()
        .filter(is(tenant, digest))
        .filter(blobs::Column::RemovingAt.is_not_null())
        .exec(&txn.db)
        .await?;
    Ok(())
}

/// Marks the uploads that a session names as needed. Gives those that are not there.
pub(crate) async fn need_all_in_txn(
    txn: &Txn,
    tenant: TenantId,
    spec: &SessionSpec,
) -> Result<Vec<Digest>, StoreError> {
    let mut missing = Vec::new();
    for input in &spec.inputs {
        let InputSource::Blob(digest) = &input.source else { continue };
        let is_there = Condition::all().add(blobs::Column::RemovingAt.is_null());
        if !need_in_txn(txn, tenant, digest, is_there).await? {
            missing.push(digest.clone());
        }
    }
    Ok(missing)
}

/// Whether there is such an upload; it is needed again then.
async fn need_in_txn(
    txn: &Txn,
    tenant: TenantId,
    digest: &Digest,
    condition: Condition,
) -> Result<bool, StoreError> {
    let change = blobs::ActiveModel {
        needed_at: Set(txn.at()),
        removing_at: Set(None),
        ..Default::default()
    };
    let updated = blobs::Entity::update_many()
        .set(change)
        .filter(is(tenant, digest))
        .filter(condition)
        .exec(&txn.db)
        .await?;
    Ok(updated.rows_affected == 1)
}

/// What is being removed already; and what nobody has needed since `before`, unless a session that
/// is not over names it, however long ago it was accepted.
fn is_removable(before: Timestamp) -> Condition {
    const NOT_NAMED: &str = "NOT EXISTS (SELECT 1 FROM sessions
        WHERE sessions.tenant = blobs.tenant AND sessions.finished_at IS NULL
        AND sessions.uploads LIKE '%' || blobs.digest || '%')";
    let is_old = Condition::all()
        .add(blobs::Column::NeededAt.lt(column::time(before)))
        .add(Expr::cust(NOT_NAMED));
    Condition::any().add(blobs::Column::RemovingAt.is_not_null()).add(is_old)
}

/// Uploads that are being removed still take their place.
async fn usage(db: &impl ConnectionTrait, tenant: TenantId) -> Result<BlobUsage, StoreError> {
    let sum = Expr::cust("CAST(coalesce(sum(size), 0) AS BIGINT)");
    let select = blobs::Entity::find()
        .select_only()
        .expr_as(blobs::Column::Digest.count(), "count")
        .expr_as(sum, "bytes")
        .filter(blobs::Column::Tenant.eq(tenant.uuid()));
    let found: Option<(i64, i64)> = select.into_tuple().one(db).await?;
    let (count, bytes) = found.unwrap_or_default();
    Ok(BlobUsage {
        bytes: column::to_count("blobs.size", bytes)?,
        count: column::to_count("blobs.count", count)?,
    })
}

fn is(tenant: TenantId, digest: &Digest) -> Condition {
    Condition::all()
        .add(blobs::Column::Tenant.eq(tenant.uuid()))
        .add(blobs::Column::Digest.eq(digest.to_string()))
}

impl TryFrom<blobs::Model> for Blob {
    type Error = StoreError;

    fn try_from(row: blobs::Model) -> Result<Self, StoreError> {
        Ok(Self {
            digest: column::to_parsed("blobs.digest", &row.digest)?,
            size: column::to_count("blobs.size", row.size)?,
        })
    }
}
