use super::for_update;
use crate::{
    Store, StoreError,
    entity::nodes,
    secret::{Cell, Vault},
    txn::{Txn, in_txn},
};
use domain::{NodeId, letters};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, Set};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use std::fmt;

const COLUMN: &str = "nodes.secrets";

/// What a machine joins the host cluster with.
#[derive(Clone)]
pub struct NodeSecrets {
    /// The public half of its join token: 6 letters and digits. Not secret by itself.
    pub token_id: String,
    /// The other half: 16 letters and digits.
    pub token_secret: SecretString,
    /// The password of its name: 32 hexadecimal digits.
    pub password: SecretString,
}

/// The same as it is encrypted.
#[derive(Serialize, Deserialize)]
struct Stored {
    token_id: String,
    token_secret: String,
    password: String,
}

impl fmt::Debug for NodeSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeSecrets").field("token_id", &self.token_id).finish_non_exhaustive()
    }
}

impl Store {
    /// What a node's machine joins with; made at the first call, and the same at every later one.
    ///
    /// # Errors
    /// `NotFound` if there is no such node, `Stale` if nothing of it is left, or if they cannot be
    /// decrypted.
    #[tracing::instrument(name = "db.node.secrets", skip_all)]
    pub async fn node_secrets(&self, id: NodeId) -> Result<NodeSecrets, StoreError> {
        in_txn!(self, |txn| secrets_in_txn(&mut txn, id))
    }
}

async fn secrets_in_txn(txn: &mut Txn, id: NodeId) -> Result<NodeSecrets, StoreError> {
    let row = for_update(&txn.db, id).await?;
    if let Some(secrets) = open(&txn.store.vault, &row)? {
        return Ok(secrets);
    }
    let (token, password) = (txn.store.ids.secret(), txn.store.ids.secret());
    // A join token consists of `[a-z0-9]` (Kubernetes 1.36, bootstrap tokens).
    let stored = Stored {
        token_id: letters(&token[..6]),
        token_secret: letters(&token[6..22]),
        password: hex::encode(&password[..16]),
    };
    let text = serde_json::to_vec(&stored).expect("texts are JSON");
    let cell = Cell { column: COLUMN, row: &id.digits() };
    let change = nodes::ActiveModel {
        secrets: Set(Some(txn.store.vault.seal(cell, &text)?)),
        secrets_key: Set(Some(txn.store.vault.key_id().to_owned())),
        ..Default::default()
    };
    // Nobody waits for secrets, so no change is told.
    let updated = nodes::Entity::update_many()
        .set(change)
        .filter(nodes::Column::Id.eq(row.id))
        .filter(nodes::Column::Secrets.is_null())
        .filter(nodes::Column::ReleasedAt.is_null())
        .exec(&txn.db)
        .await?;
    if updated.rows_affected != 1 {
        return Err(StoreError::Stale);
    }
    Ok(stored.into())
}

fn open(vault: &Vault, row: &nodes::Model) -> Result<Option<NodeSecrets>, StoreError> {
    let (Some(secrets), Some(key)) = (&row.secrets, &row.secrets_key) else { return Ok(None) };
    let id = NodeId::new(row.id).digits();
    let text = vault.open(Cell { column: COLUMN, row: &id }, key, secrets)?;
    let stored: Stored = serde_json::from_slice(text.expose_secret())
        .map_err(|error| StoreError::corrupt(COLUMN, error))?;
    Ok(Some(stored.into()))
}

impl From<Stored> for NodeSecrets {
    fn from(Stored { token_id, token_secret, password }: Stored) -> Self {
        Self { token_id, token_secret: token_secret.into(), password: password.into() }
    }
}
