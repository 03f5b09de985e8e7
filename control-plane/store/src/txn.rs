use crate::{
    Change, DatabaseError, Store, StoreError, column,
    entity::{audit, outbox},
    error::WriteError,
    open::write_options,
    store::Inner,
};
use domain::{Actor, TenantId};
use jiff::{SignedDuration, Timestamp};
use sea_orm::{DatabaseTransaction, EntityTrait, IntoActiveModel, TransactionTrait};
use std::sync::Arc;

/// How often a write starts over because another one was faster.
const RACES: u32 = 10;

/// A transaction that writes, with what to tell of it afterwards.
pub(crate) struct Txn {
    pub(crate) db: DatabaseTransaction,
    /// The instant of everything in this transaction.
    pub(crate) now: Timestamp,
    pub(crate) store: Arc<Inner>,
    changes: Vec<Change>,
}

/// Runs `$body`, which borrows the transaction, until it commits or fails for good.
macro_rules! in_txn {
    ($store:expr, |$txn:ident| $body:expr) => {{
        let mut races = 0;
        loop {
            let mut $txn = crate::txn::Txn::begin($store).await?;
            let outcome = $body.await;
            if let Some(outcome) = $txn.end(outcome, &mut races).await {
                break outcome;
            }
        }
    }};
}
pub(crate) use in_txn;

impl Txn {
    pub(crate) async fn begin(store: &Store) -> Result<Self, StoreError> {
        let store = Arc::clone(&store.0);
        let db = store
            .write
            .begin_with_options(write_options(store.write.get_database_backend()))
            .await?;
        store.fence(&db).await?;
        let now = store.now();
        Ok(Self { db, now, store, changes: Vec::new() })
    }

    /// Now, as it is stored.
    pub(crate) fn at(&self) -> i64 {
        column::time(self.now)
    }

    /// A stored instant that lies `after` from now.
    pub(crate) fn later(&self, after: SignedDuration) -> i64 {
        column::time(self.now.saturating_add(after).unwrap_or(self.now))
    }

    /// To be told after the commit.
    pub(crate) fn changed(&mut self, change: Change) {
        if !self.changes.contains(&change) {
            self.changes.push(change);
        }
    }

    /// Notes who did what; no actor means Warren itself.
    pub(crate) async fn audit(
        &self,
        actor: Option<&Actor>,
        action: &str,
        tenant: Option<TenantId>,
        target: String,
    ) -> Result<(), StoreError> {
        let entry = audit::Model {
            id: self.store.ids.uuid(),
            at: self.at(),
            token: actor.map(|actor| actor.token.uuid()),
            role: actor.map(|actor| actor.role.as_str().to_owned()),
            tenant: tenant.map(TenantId::uuid),
            action: action.to_owned(),
            target,
            request_id: actor.map_or_else(String::new, |actor| actor.request_id.clone()),
        };
        audit::Entity::insert(entry.into_active_model()).exec_without_returning(&self.db).await?;
        Ok(())
    }

    /// Commits or rolls back; nothing means that it lost a race and is to be repeated.
    pub(crate) async fn end<T, E: WriteError>(
        self,
        outcome: Result<T, E>,
        races: &mut u32,
    ) -> Option<Result<T, E>> {
        let outcome = match outcome {
            Ok(value) => self.commit().await.map(|()| value).map_err(E::from),
            Err(error) => {
                if let Err(error) = self.db.rollback().await {
                    tracing::warn!(error = %error, "roll back");
                }
                Err(error)
            }
        };
        match outcome {
            Err(error) if error.is_race() && *races < RACES => {
                *races += 1;
                None
            }
            outcome => Some(outcome),
        }
    }

    async fn commit(self) -> Result<(), StoreError> {
        let Self { db, now, store, changes } = self;
        if changes.is_empty() {
            return Ok(db.commit().await?);
        }
        let rows = changes.iter().map(|change| change.row(column::time(now)));
        outbox::Entity::insert_many(rows).exec_without_returning(&db).await?;
        store.clear_out(&db, now).await?;
        // In a task of its own: a caller that goes away in the middle of the commit must not keep
        // others from hearing of it.
        let task = tokio::spawn(async move {
            db.commit().await?;
            for change in changes {
                // Nobody listening is fine.
                let _ = store.changes.send(change);
            }
            Ok::<_, StoreError>(())
        });
        task.await.map_err(|error| StoreError::Database(DatabaseError::other(error)))?
    }
}
