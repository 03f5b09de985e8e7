//! Removes what nobody needs any more: the objects of removed tenants, and what sessions left and
//! uploads whose time is over.
//!
//! What is to be done stands in the record, and doing it twice is harmless: a process that is killed
//! on the way goes on at its next start.

use crate::{
    App,
    blobs::{BlobError, BlobPath, Owner, RemoveError},
};
use domain::{Kept, Plan, PlanName, TenantId};
use jiff::{SignedDuration, Timestamp};
use std::{collections::HashSet, error::Error, time::Duration};
use store::{Change, RemovedTenant, Removing, StoreError};
use tokio::{sync::broadcast, time::Instant};

/// When it is looked at everything although nothing has happened.
const LOOK_EVERY: Duration = Duration::from_mins(10);
/// Changes that come close together are looked at together.
const GATHER: Duration = Duration::from_secs(1);
/// Longer than anything takes that was begun before a tenant's removal: a tenant is looked at again
/// after this, and only then is it known that nothing of it is left.
const LAST_LOOK_AFTER: SignedDuration = SignedDuration::from_hours(1);
const TENANTS_AT_ONCE: u64 = 50;
const RUNS_AT_ONCE: u64 = 100;
const UPLOADS_AT_ONCE: u64 = 100;
/// How long an unfinished upload waits for its next piece.
pub const UNFINISHED_KEPT: SignedDuration = SignedDuration::from_hours(24);
/// How many sessions of each plan one look removes the log of, and of how many the files: what many
/// sessions left goes in several looks.
const SESSIONS_AT_ONCE: u64 = 100;

/// Why not everything was removed. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum HousekeepingError {
    /// The record did not answer.
    #[error("use the record")]
    Store(#[from] StoreError),
    /// Files are in the way.
    #[error("remove what a tenant or a session left")]
    Remove(#[from] RemoveError),
    /// An upload could not be removed.
    #[error("remove an upload")]
    Blob(#[from] BlobError),
}

/// What is remembered between two looks; losing it costs time, nothing else.
#[derive(Debug, Default)]
pub struct Housekeeping {
    /// Removed tenants whose objects were removed already.
    looked_at: HashSet<TenantId>,
    /// When it is looked again at what ends by time.
    due: Option<Instant>,
}

/// Keeps house for as long as it is polled; may be dropped at any moment.
pub async fn run(app: &App) {
    let mut housekeeping = Housekeeping::default();
    let mut changes = app.store.changes();
    loop {
        if let Err(error) = housekeeping.look(app).await {
            let error = &error as &dyn Error;
            tracing::warn!(error, "not everything that nobody needs any more could be removed");
        }
        let pause = housekeeping.due.map_or(LOOK_EVERY, |due| due - Instant::now());
        let woken = tokio::time::timeout(pause, tenant_changed(&mut changes)).await;
        if woken.is_ok() {
            tokio::time::sleep(GATHER).await;
        }
    }
}

async fn tenant_changed(changes: &mut broadcast::Receiver<Change>) {
    // An error means that changes were missed: look.
    while let Ok(change) = changes.recv().await {
        if matches!(change, Change::Tenant(_)) {
            return;
        }
    }
}

impl Housekeeping {
    /// Removes what is to be removed now.
    ///
    /// # Errors
    /// If something could not be removed; what comes after it was not looked at.
    pub async fn look(&mut self, app: &App) -> Result<(), HousekeepingError> {
        self.removed_tenants(app).await?;
        if self.due.is_none_or(|due| due <= Instant::now()) {
            self.due = Some(Instant::now() + LOOK_EVERY);
            uploads(app).await?;
            let before = app.clock.now().saturating_sub(UNFINISHED_KEPT);
            let swept = app.blobs.sweep_partials(before.unwrap_or(Timestamp::MIN)).await?;
            if swept > 0 {
                tracing::info!(swept, "removed uploads that nobody went on with");
            }
            if sessions(app).await? == More::MayBe {
                self.due = Some(Instant::now() + GATHER);
            }
        }
        Ok(())
    }

    async fn removed_tenants(&mut self, app: &App) -> Result<(), HousekeepingError> {
        let mut outcome = Ok(());
        let mut after = None;
        loop {
            let tenants = app.store.tenant_unerased(after, TENANTS_AT_ONCE).await?;
            let Some(last) = tenants.last() else { break };
            after = Some(last.id);
            for tenant in tenants {
                // One that cannot be removed does not hold up the others.
                outcome = outcome.and(self.removed_tenant(app, tenant).await);
            }
        }
        outcome
    }

    async fn removed_tenant(
        &mut self,
        app: &App,
        RemovedTenant { id, removed_at }: RemovedTenant,
    ) -> Result<(), HousekeepingError> {
        let is_last = app.clock.now().duration_since(removed_at) >= LAST_LOOK_AFTER;
        if !is_last && self.looked_at.contains(&id) {
            return Ok(());
        }
        erase(app, id).await?;
        if is_last {
            app.store.tenant_erased(id).await?;
            self.looked_at.remove(&id);
        } else {
            self.looked_at.insert(id);
        }
        tracing::info!(tenant.id = %id, is_last, "a removed tenant's objects are gone");
        Ok(())
    }
}

/// Removes a tenant's objects, and then the rows that name them.
async fn erase(app: &App, tenant: TenantId) -> Result<(), HousekeepingError> {
    let mut after = None;
    loop {
        let runs = app.store.run_list(tenant, after, RUNS_AT_ONCE).await?;
        let Some(last) = runs.last() else { break };
        after = Some(*last);
        for run in &runs {
            app.blobs.remove_run(*run).await?;
            app.blobs.remove_partials(&Owner::run(*run)).await?;
        }
        app.store.run_forget_files(&runs).await?;
    }
    app.blobs.remove_inputs(tenant).await?;
    app.blobs.remove_partials(&Owner::tenant(tenant)).await?;
    Ok(app.store.tenant_forget_uploads(tenant).await?)
}

/// Whether a look has left something to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum More {
    No,
    MayBe,
}

/// Removes what sessions left and their plans do not keep any longer. What is marked as removed stays
/// marked until nothing of it is left, so whoever comes next ends what was begun.
async fn sessions(app: &App) -> Result<More, HousekeepingError> {
    let mut more = More::No;
    for plan in PlanName::ALL {
        let retention = Plan::current(plan).retention;
        for kept in [Kept::Log, Kept::Files] {
            let before = app.clock.now().saturating_sub(retention.of(kept));
            let before = before.unwrap_or(Timestamp::MIN);
            let count = app.store.session_expire(kept, plan, before, SESSIONS_AT_ONCE).await?;
            if count as u64 == SESSIONS_AT_ONCE {
                more = More::MayBe;
            }
        }
    }
    let mut outcome = Ok(());
    let mut after = None;
    loop {
        let removing = app.store.session_removing(after, SESSIONS_AT_ONCE).await?;
        let Some(last) = removing.last() else { break };
        after = Some(last.session);
        for session in &removing {
            // One that cannot be removed does not hold up the others.
            outcome = outcome.and(session_files(app, session).await);
        }
    }
    outcome.map(|()| more)
}

/// Removes objects, and then the rows that name them.
async fn session_files(app: &App, removing: &Removing) -> Result<(), HousekeepingError> {
    for run in &removing.runs {
        match (removing.log_removed_at, removing.files_removed_at) {
            (Some(_), Some(_)) => app.blobs.remove_run(*run).await?,
            (Some(_), None) => app.blobs.remove_log(*run).await?,
            (None, Some(_)) => app.blobs.remove_files(*run).await?,
            (None, None) => {}
        }
    }
    app.store.session_forget_files(removing).await?;
    tracing::info!(session.id = %removing.session, "what a session left was kept long enough");
    Ok(())
}

/// Removes the uploads whose time is over.
async fn uploads(app: &App) -> Result<(), HousekeepingError> {
    for plan in PlanName::ALL {
        let kept = SignedDuration::from_hours(Plan::current(plan).uploads.kept_hours.into());
        let before = app.clock.now().saturating_sub(kept).unwrap_or(Timestamp::MIN);
        loop {
            let expired = app.store.blob_expired(plan, before, UPLOADS_AT_ONCE).await?;
            for (tenant, digest) in &expired {
                let _alone = app.blobs.inputs().await;
                // Somebody may have needed it meanwhile.
                if app.store.blob_remove(*tenant, digest, before).await? {
                    app.blobs.delete(&BlobPath::input(*tenant, digest)).await?;
                    app.store.blob_forget(*tenant, digest).await?;
                }
            }
            if expired.is_empty() {
                break;
            }
        }
    }
    Ok(())
}
