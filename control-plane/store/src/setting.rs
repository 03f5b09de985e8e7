use crate::{
    Store, StoreError,
    entity::settings,
    secret::{Cell, Vault},
    txn::{Txn, in_txn},
};
use sea_orm::{EntityTrait, IntoActiveModel};
use secrecy::SecretBox;

const COLUMN: &str = "settings.value";

impl Store {
    /// A secret of the platform, e.g. `run-authority`.
    ///
    /// # Errors
    /// If it cannot be decrypted, or the database fails.
    #[tracing::instrument(name = "db.setting.secret", skip_all)]
    pub async fn setting_secret(
        &self,
        name: &str,
    ) -> Result<Option<SecretBox<Vec<u8>>>, StoreError> {
        let row = settings::Entity::find_by_id(name.to_owned()).one(&self.0.read).await?;
        row.map(|row| open(&self.0.vault, &row)).transpose()
    }

    /// Stores a secret of the platform, encrypted, unless there is one. Returns what is stored:
    /// the first one wins, and everybody uses it.
    ///
    /// # Errors
    /// If it cannot be encrypted or decrypted, or the database fails.
    #[tracing::instrument(name = "db.setting.secret_put_if_absent", skip_all)]
    pub async fn setting_secret_put_if_absent(
        &self,
        name: &str,
        value: &[u8],
    ) -> Result<SecretBox<Vec<u8>>, StoreError> {
        if let Some(stored) = self.setting_secret(name).await? {
            return Ok(stored);
        }
        in_txn!(self, |txn| put_in_txn(&mut txn, name, value))
    }
}

fn open(vault: &Vault, row: &settings::Model) -> Result<SecretBox<Vec<u8>>, StoreError> {
    vault.open(Cell { column: COLUMN, row: &row.name }, &row.value_key, &row.value)
}

async fn put_in_txn(
    txn: &mut Txn,
    name: &str,
    value: &[u8],
) -> Result<SecretBox<Vec<u8>>, StoreError> {
    if let Some(row) = settings::Entity::find_by_id(name.to_owned()).one(&txn.db).await? {
        return open(&txn.store.vault, &row);
    }
    let row = settings::Model {
        name: name.to_owned(),
        value: txn.store.vault.seal(Cell { column: COLUMN, row: name }, value)?,
        value_key: txn.store.vault.key_id().to_owned(),
        created_at: txn.at(),
    };
    settings::Entity::insert(row.into_active_model()).exec_without_returning(&txn.db).await?;
    Ok(SecretBox::new(Box::new(value.to_vec())))
}
