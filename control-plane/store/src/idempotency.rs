use crate::{StoreError, entity::idempotency, txn::Txn};
use domain::Subject;
use sea_orm::{EntityTrait, IntoActiveModel};
use uuid::Uuid;

/// A caller's name for one request, so that sending it twice does it once. Kept for 48 hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Whose key it is.
    pub actor: Subject,
    /// The key, as the caller chose it.
    pub key: String,
    /// SHA-256 of the request: the same key cannot stand for another one.
    pub request_digest: [u8; 32],
}

/// What a request made, or had made before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created<T> {
    /// What was made, as it now is.
    pub value: T,
    /// Whether an earlier request with the same key made it.
    pub is_replay: bool,
}

impl<T> Created<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value, is_replay: false }
    }

    pub(crate) fn replay(value: T) -> Self {
        Self { value, is_replay: true }
    }
}

/// What the record knows about a key.
pub(crate) enum Known {
    /// Not seen before.
    Nothing,
    /// The same request made this.
    Same(Uuid),
    /// It was used for another request.
    Other,
}

impl IdempotencyKey {
    pub(crate) async fn look_up_in_txn(&self, txn: &Txn, kind: &str) -> Result<Known, StoreError> {
        let id = (self.actor.uuid(), self.key.clone());
        let Some(row) = idempotency::Entity::find_by_id(id).one(&txn.db).await? else {
            return Ok(Known::Nothing);
        };
        let is_same = row.kind == kind && row.request_digest == self.request_digest;
        Ok(if is_same { Known::Same(row.target) } else { Known::Other })
    }

    pub(crate) async fn keep_in_txn(
        &self,
        txn: &Txn,
        kind: &str,
        target: Uuid,
    ) -> Result<(), StoreError> {
        let row = idempotency::Model {
            actor: self.actor.uuid(),
            key: self.key.clone(),
            request_digest: self.request_digest.to_vec(),
            kind: kind.to_owned(),
            target,
            created_at: txn.at(),
        };
        idempotency::Entity::insert(row.into_active_model())
            .exec_without_returning(&txn.db)
            .await?;
        Ok(())
    }
}
