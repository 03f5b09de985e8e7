use super::{existing_by_id, existing_for_update};
use crate::{
    Store, StoreError,
    entity::tenants,
    secret::{Cell, Vault},
    txn::{Txn, in_txn},
};
use domain::TenantId;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, Set};
use secrecy::SecretBox;

const COLUMN: &str = "tenants.keys";

impl Store {
    /// The key material of a tenant that is not deleted, if there is any yet.
    ///
    /// # Errors
    /// If it cannot be decrypted, or the database fails.
    #[tracing::instrument(name = "db.tenant.keys", skip_all)]
    pub async fn tenant_keys(
        &self,
        id: TenantId,
    ) -> Result<Option<SecretBox<Vec<u8>>>, StoreError> {
        let row = existing_by_id(id).one(&self.0.read).await?;
        row.map_or(Ok(None), |row| open(&self.0.vault, &row))
    }

    /// Stores a tenant's key material, encrypted, unless there is some. Returns what is stored:
    /// the first one wins, and everybody uses it.
    ///
    /// # Errors
    /// `NotFound` if there is no such tenant; or if the database fails.
    #[tracing::instrument(name = "db.tenant.keys_put_if_absent", skip_all)]
    pub async fn tenant_keys_put_if_absent(
        &self,
        id: TenantId,
        keys: &[u8],
    ) -> Result<SecretBox<Vec<u8>>, StoreError> {
        in_txn!(self, |txn| put_in_txn(&mut txn, id, keys))
    }
}

fn open(vault: &Vault, row: &tenants::Model) -> Result<Option<SecretBox<Vec<u8>>>, StoreError> {
    let (Some(keys), Some(key)) = (&row.keys, &row.keys_key) else { return Ok(None) };
    let id = TenantId::new(row.id).digits();
    vault.open(Cell { column: COLUMN, row: &id }, key, keys).map(Some)
}

/// Nobody waits for keys, so no change is told.
async fn put_in_txn(
    txn: &mut Txn,
    id: TenantId,
    keys: &[u8],
) -> Result<SecretBox<Vec<u8>>, StoreError> {
    let row = existing_for_update(&txn.db, id).await?;
    if let Some(stored) = open(&txn.store.vault, &row)? {
        return Ok(stored);
    }
    let sealed = txn.store.vault.seal(Cell { column: COLUMN, row: &id.digits() }, keys)?;
    let change = tenants::ActiveModel {
        keys: Set(Some(sealed)),
        keys_key: Set(Some(txn.store.vault.key_id().to_owned())),
        ..Default::default()
    };
    let updated = tenants::Entity::update_many()
        .set(change)
        .filter(tenants::Column::Id.eq(row.id))
        .filter(tenants::Column::Keys.is_null())
        .exec(&txn.db)
        .await?;
    if updated.rows_affected != 1 {
        return Err(StoreError::Stale);
    }
    Ok(SecretBox::new(Box::new(keys.to_vec())))
}
