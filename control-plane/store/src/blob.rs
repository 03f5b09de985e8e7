use crate::{
    Store, StoreError, column,
    entity::blobs,
    tenant,
    txn::{Txn, in_txn},
};
use domain::{Digest, TenantId};
use sea_orm::{EntityTrait, IntoActiveModel, QuerySelect};

/// An input that a tenant uploaded; its bytes are in the object store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl Store {
    /// Notes an uploaded input; nothing changes if it is known.
    ///
    /// # Errors
    /// `NotFound` if there is no such tenant; or if the database fails.
    pub async fn blob_put(
        &self,
        tenant: TenantId,
        digest: &Digest,
        size: u64,
    ) -> Result<(), StoreError> {
        in_txn!(self, |txn| put_in_txn(&mut txn, tenant, digest, size))
    }

    /// An input that a tenant uploaded.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn blob_get(
        &self,
        tenant: TenantId,
        digest: &Digest,
    ) -> Result<Option<Blob>, StoreError> {
        let id = (tenant.uuid(), digest.to_string());
        let row = blobs::Entity::find_by_id(id).one(&self.0.read).await?;
        row.map(Blob::try_from).transpose()
    }
}

/// Nobody waits for an upload, so no change is told.
async fn put_in_txn(
    txn: &mut Txn,
    tenant: TenantId,
    digest: &Digest,
    size: u64,
) -> Result<(), StoreError> {
    let owner = tenant::existing_by_id(tenant).lock_shared().one(&txn.db).await?;
    owner.ok_or(StoreError::NotFound)?;
    let id = (tenant.uuid(), digest.to_string());
    if blobs::Entity::find_by_id(id).one(&txn.db).await?.is_some() {
        return Ok(());
    }
    let row = blobs::Model {
        tenant: tenant.uuid(),
        digest: digest.to_string(),
        size: column::count(size),
        created_at: txn.at(),
    };
    blobs::Entity::insert(row.into_active_model()).exec_without_returning(&txn.db).await?;
    Ok(())
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
