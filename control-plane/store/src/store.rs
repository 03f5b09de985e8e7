use crate::{
    Change, StoreError, column,
    entity::{idempotency, invites, outbox, sign_ins},
    holder::Holder,
    open::Connections,
    secret::Vault,
};
use domain::{Clock, IdGen};
use jiff::{SignedDuration, Timestamp};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseConnection, EntityTrait, QueryFilter};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};
use tokio::sync::{Mutex, Notify, broadcast};

const OUTBOX_KEPT: SignedDuration = SignedDuration::from_hours(24);
const IDEMPOTENCY_KEPT: SignedDuration = SignedDuration::from_hours(48);
/// The least time between two clearances, in milliseconds.
const CLEARANCE_INTERVAL_MS: i64 = 3_600_000;

/// The durable record. Cheap to clone.
///
/// Every write is one transaction: the row, its operation, outbox entries and, where somebody
/// asked for it, an audit entry. [`Change`]s are sent after the commit.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    /// For reading; on SQLite several connections that cannot write.
    pub(crate) read: DatabaseConnection,
    /// For writing; on SQLite a single connection.
    pub(crate) write: DatabaseConnection,
    pub(crate) vault: Vault,
    pub(crate) ids: Arc<dyn IdGen>,
    pub(crate) changes: broadcast::Sender<Change>,
    clock: Arc<dyn Clock>,
    cleared_at: AtomicI64,
    /// Counts the processes that had the record; this one's number.
    pub(crate) epoch: i64,
    /// Whether every write has to look at the epoch.
    pub(crate) is_fenced: bool,
    pub(crate) holder: Mutex<Option<Holder>>,
    /// The audit log got entries that nobody has sealed yet.
    pub(crate) audited: Notify,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let backend = self.0.write.get_database_backend();
        f.debug_struct("Store").field("backend", &backend).finish_non_exhaustive()
    }
}

impl Store {
    /// Whether the database answers.
    ///
    /// # Errors
    /// If it does not.
    #[tracing::instrument(name = "db.store.check", skip_all)]
    pub async fn check(&self) -> Result<(), StoreError> {
        Ok(self.0.read.ping().await?)
    }

    /// Tells of every change that this process commits from now on.
    ///
    /// Changes are wake-ups: a receiver that is told it lags (`RecvError::Lagged`) looks at
    /// everything, and one that must not miss anything also looks on a timer.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.0.changes.subscribe()
    }

    /// Ends all connections, then lets go of the record. Every later call fails.
    ///
    /// # Errors
    /// If a connection could not be ended.
    pub async fn close(&self) -> Result<(), StoreError> {
        let read = self.0.read.close_by_ref().await;
        let write = self.0.write.close_by_ref().await;
        if let Some(holder) = self.0.holder.lock().await.take() {
            holder.close().await;
        }
        Ok(read.and(write)?)
    }

    pub(crate) async fn housekeep(&self) -> Result<(), StoreError> {
        self.0.clear_out(&self.0.write, self.0.now()).await
    }
}

impl Inner {
    pub(crate) fn new(
        connections: Connections,
        epoch: i64,
        vault: Vault,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdGen>,
        changes: broadcast::Sender<Change>,
    ) -> Self {
        let Connections { read, write, holder } = connections;
        Self {
            read,
            write,
            vault,
            ids,
            changes,
            clock,
            cleared_at: AtomicI64::new(i64::MIN),
            epoch,
            is_fenced: matches!(holder, Holder::Session(_)),
            holder: Mutex::new(Some(holder)),
            audited: Notify::new(),
        }
    }

    /// Wakes whoever seals the audit log, if it got an entry.
    pub(crate) fn tell_of_audit(&self, is_audited: bool) {
        if is_audited {
            self.audited.notify_one();
        }
    }

    /// Now, in whole milliseconds: what is returned is what will be read again.
    pub(crate) fn now(&self) -> Timestamp {
        let now = self.clock.now();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }

    /// Deletes what is past keeping (outbox entries, idempotency keys, sign-ins, invites), at most once an hour; so
    /// a record in which nothing is written is not written to by this either.
    pub(crate) async fn clear_out(
        &self,
        db: &impl ConnectionTrait,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let at = column::time(now);
        let last = self.cleared_at.load(Ordering::Relaxed);
        if at.saturating_sub(last) < CLEARANCE_INTERVAL_MS {
            return Ok(());
        }
        let before = |kept: SignedDuration| column::time(now.saturating_sub(kept).unwrap_or(now));
        outbox::Entity::delete_many()
            .filter(outbox::Column::At.lt(before(OUTBOX_KEPT)))
            .exec(db)
            .await?;
        idempotency::Entity::delete_many()
            .filter(idempotency::Column::CreatedAt.lt(before(IDEMPOTENCY_KEPT)))
            .exec(db)
            .await?;
        sign_ins::Entity::delete_many().filter(sign_ins::Column::ExpiresAt.lt(at)).exec(db).await?;
        invites::Entity::delete_many().filter(invites::Column::ExpiresAt.lt(at)).exec(db).await?;
        self.cleared_at.store(at, Ordering::Relaxed);
        Ok(())
    }
}
