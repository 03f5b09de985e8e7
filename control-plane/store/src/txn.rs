use crate::{
    Change, DatabaseError, Store, StoreError, column,
    entity::{audit, outbox},
    error::WriteError,
    open::write_options,
    store::Inner,
};
use domain::{AccountId, Acting, OrganisationId, Role, Subject, TenantId};
use jiff::{SignedDuration, Timestamp};
use sea_orm::{DatabaseTransaction, EntityTrait, IntoActiveModel, TransactionTrait};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// How often a write starts over because another one was faster.
const RACES: u32 = 10;

/// A transaction that writes, with what to tell of it afterwards.
pub(crate) struct Txn {
    pub(crate) db: DatabaseTransaction,
    /// The instant of everything in this transaction.
    pub(crate) now: Timestamp,
    pub(crate) store: Arc<Inner>,
    changes: Vec<Change>,
    /// Whether the audit log got an entry.
    is_audited: AtomicBool,
}

/// Where something was done: in a tenant, in an organisation, or nowhere in particular.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    tenant: Option<TenantId>,
    organisation: Option<OrganisationId>,
}

/// Who did something.
#[derive(Debug, Clone, Default)]
pub(crate) struct By {
    pub(crate) subject: Option<Subject>,
    pub(crate) role: Option<Role>,
    pub(crate) request_id: String,
}

impl Place {
    pub(crate) const NOWHERE: Self = Self { tenant: None, organisation: None };
}

impl By {
    /// A person about their own account.
    pub(crate) const fn own(account: AccountId, request_id: String) -> Self {
        Self { subject: Some(Subject::Account(account)), role: None, request_id }
    }
}

impl From<Option<TenantId>> for Place {
    fn from(tenant: Option<TenantId>) -> Self {
        Self { tenant, organisation: None }
    }
}

impl From<Option<OrganisationId>> for Place {
    fn from(organisation: Option<OrganisationId>) -> Self {
        Self { tenant: None, organisation }
    }
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
        Ok(Self { db, now, store, changes: Vec::new(), is_audited: AtomicBool::new(false) })
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

    /// Notes who did what, and where; no actor means Warren itself.
    pub(crate) async fn audit(
        &self,
        actor: Option<&Acting>,
        action: &str,
        place: impl Into<Place>,
        target: String,
    ) -> Result<(), StoreError> {
        let by = actor.map_or_else(By::default, |actor| By {
            subject: Some(actor.subject),
            role: Some(actor.role),
            request_id: actor.request_id.clone(),
        });
        self.audit_by(by, action, place, target).await
    }

    /// Notes what somebody did for whom no role counts: people about their own account.
    pub(crate) async fn audit_by(
        &self,
        by: By,
        action: &str,
        place: impl Into<Place>,
        target: String,
    ) -> Result<(), StoreError> {
        let (mut token, mut account) = (None, None);
        match by.subject {
            Some(Subject::Token(id)) => token = Some(id.uuid()),
            Some(Subject::Account(id)) => account = Some(id.uuid()),
            None => {}
        }
        let Place { tenant, organisation } = place.into();
        let entry = audit::Model {
            id: self.store.ids.uuid(),
            at: self.at(),
            token,
            account,
            role: by.role.map(|role| role.as_str().to_owned()),
            tenant: tenant.map(TenantId::uuid),
            organisation: organisation.map(OrganisationId::uuid),
            action: action.to_owned(),
            target,
            request_id: by.request_id,
            sequence: None,
            previous: None,
            seal: None,
        };
        audit::Entity::insert(entry.into_active_model()).exec_without_returning(&self.db).await?;
        self.is_audited.store(true, Ordering::Relaxed);
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
        let Self { db, now, store, changes, is_audited } = self;
        let is_audited = is_audited.into_inner();
        if changes.is_empty() {
            db.commit().await?;
            store.tell_of_audit(is_audited);
            return Ok(());
        }
        let rows = changes.iter().map(|change| change.row(column::time(now)));
        outbox::Entity::insert_many(rows).exec_without_returning(&db).await?;
        store.clear_out(&db, now).await?;
        // In a task of its own: a caller that goes away in the middle of the commit must not keep
        // others from hearing of it.
        let task = tokio::spawn(async move {
            db.commit().await?;
            store.tell_of_audit(is_audited);
            for change in changes {
                // Nobody listening is fine.
                let _ = store.changes.send(change);
            }
            Ok::<_, StoreError>(())
        });
        task.await.map_err(|error| StoreError::Database(DatabaseError::other(error)))?
    }
}
