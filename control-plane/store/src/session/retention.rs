//! What sessions left, when its time is over: first it is marked as removed, then its objects go, then
//! the index of them.

use crate::{
    Change, Store, StoreError,
    column::{self, to_optional_time},
    entity::{artifacts, log_segments, runs, sessions, tenants},
    txn::{Txn, in_txn},
};
use domain::{Kept, PlanName, RunId, SessionId, TenantId};
use jiff::Timestamp;
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set,
    sea_query::{Query, SelectStatement},
};
use uuid::Uuid;

/// A session of whose removed things some may still be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removing {
    /// Its identifier.
    pub session: SessionId,
    /// All its runs.
    pub runs: Vec<RunId>,
    /// When its log was removed.
    pub log_removed_at: Option<Timestamp>,
    /// When its result and its artifacts were removed.
    pub files_removed_at: Option<Timestamp>,
}

impl Store {
    /// Marks what is kept of at most `limit` sessions of tenants with one plan as removed, if they ended
    /// before `before`, the oldest first: nobody can read it from now on. How many there were; where
    /// there are none, nothing is written. Ends with [`Store::session_forget_files`], when the objects
    /// are gone.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.session.expire", skip_all)]
    pub async fn session_expire(
        &self,
        kept: Kept,
        plan: PlanName,
        before: Timestamp,
        limit: u64,
    ) -> Result<usize, StoreError> {
        let select = sessions::Entity::find()
            .select_only()
            .column(sessions::Column::Id)
            .filter(is_due(kept, plan, before))
            .order_by_asc(sessions::Column::FinishedAt)
            .limit(limit);
        let due: Vec<Uuid> = select.into_tuple().all(&self.0.read).await?;
        if due.is_empty() {
            return Ok(0);
        }
        in_txn!(self, |txn| expire_in_txn(&mut txn, &due, kept, is_due(kept, plan, before)))
    }

    /// At most `limit` sessions of whose removed things some may still be there, by identifier, starting
    /// after `after`.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.session.removing", skip_all)]
    pub async fn session_removing(
        &self,
        after: Option<SessionId>,
        limit: u64,
    ) -> Result<Vec<Removing>, StoreError> {
        let mut select = sessions::Entity::find()
            .select_only()
            .column(sessions::Column::Id)
            .column(sessions::Column::LogRemovedAt)
            .column(sessions::Column::FilesRemovedAt)
            .filter(sessions::Column::IsRemoving.eq(true));
        if let Some(after) = after {
            select = select.filter(sessions::Column::Id.gt(after.uuid()));
        }
        let select = select.order_by_asc(sessions::Column::Id).limit(limit);
        let rows: Vec<(Uuid, Option<i64>, Option<i64>)> =
            select.into_tuple().all(&self.0.read).await?;
        let mut removing = Vec::with_capacity(rows.len());
        for (id, log, files) in rows {
            let runs = runs::Entity::find()
                .select_only()
                .column(runs::Column::Id)
                .filter(runs::Column::Session.eq(id));
            let runs: Vec<Uuid> = runs.into_tuple().all(&self.0.read).await?;
            removing.push(Removing {
                session: SessionId::new(id),
                runs: runs.into_iter().map(RunId::new).collect(),
                log_removed_at: to_optional_time("sessions.log_removed_at", log)?,
                files_removed_at: to_optional_time("sessions.files_removed_at", files)?,
            });
        }
        Ok(removing)
    }

    /// Forgets where the removed things of a session were, when the objects are gone.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.session.forget_files", skip_all)]
    pub async fn session_forget_files(&self, removing: &Removing) -> Result<(), StoreError> {
        in_txn!(self, |txn| forget_in_txn(&mut txn, removing))
    }
}

/// What ended before `before` in tenants with this plan and is not removed. Sessions without a run left
/// nothing.
fn is_due(kept: Kept, plan: PlanName, before: Timestamp) -> Condition {
    Condition::all()
        .add(sessions::Column::FinishedAt.lt(column::time(before)))
        .add(sessions::Column::Run.is_not_null())
        .add(removed_at(kept).is_null())
        .add(sessions::Column::Tenant.in_subquery(tenants_with(plan)))
}

const fn removed_at(kept: Kept) -> sessions::Column {
    match kept {
        Kept::Log => sessions::Column::LogRemovedAt,
        Kept::Files => sessions::Column::FilesRemovedAt,
    }
}

/// Those that are removed are erased as a whole.
fn tenants_with(plan: PlanName) -> SelectStatement {
    Query::select()
        .column(tenants::Column::Id)
        .from(tenants::Entity)
        .and_where(tenants::Column::Plan.eq(plan.as_str()))
        .and_where(tenants::Column::DeletedAt.is_null())
        .to_owned()
}

async fn expire_in_txn(
    txn: &mut Txn,
    due: &[Uuid],
    kept: Kept,
    is_due: Condition,
) -> Result<usize, StoreError> {
    // What was meanwhile given a larger plan stays.
    let select = sessions::Entity::find()
        .select_only()
        .column(sessions::Column::Id)
        .column(sessions::Column::Tenant)
        .filter(sessions::Column::Id.is_in(due.iter().copied()))
        .filter(is_due);
    let still: Vec<(Uuid, Uuid)> = select.into_tuple().all(&txn.db).await?;
    let at = Set(Some(txn.at()));
    let change = sessions::ActiveModel { is_removing: Set(true), ..Default::default() };
    let change = match kept {
        Kept::Log => sessions::ActiveModel { log_removed_at: at, ..change },
        Kept::Files => sessions::ActiveModel { files_removed_at: at, ..change },
    };
    sessions::Entity::update_many()
        .set(change)
        .filter(sessions::Column::Id.is_in(still.iter().map(|(session, _)| *session)))
        .exec(&txn.db)
        .await?;
    for (session, tenant) in &still {
        let (tenant, session) = (TenantId::new(*tenant), SessionId::new(*session));
        txn.changed(Change::Session { tenant, session });
    }
    Ok(still.len())
}

/// What is removed was told when it was marked.
async fn forget_in_txn(txn: &mut Txn, removing: &Removing) -> Result<(), StoreError> {
    let Removing { session, runs, log_removed_at, files_removed_at } = removing;
    let ids = || runs.iter().map(|run| run.uuid());
    if log_removed_at.is_some() {
        log_segments::Entity::delete_many()
            .filter(log_segments::Column::Run.is_in(ids()))
            .exec(&txn.db)
            .await?;
    }
    if files_removed_at.is_some() {
        artifacts::Entity::delete_many()
            .filter(artifacts::Column::Run.is_in(ids()))
            .exec(&txn.db)
            .await?;
    }
    let is_same = |column: sessions::Column, at: &Option<Timestamp>| match at {
        Some(at) => column.eq(column::time(*at)),
        None => column.is_null(),
    };
    // If more was marked meanwhile, it is not over.
    let change = sessions::ActiveModel { is_removing: Set(false), ..Default::default() };
    sessions::Entity::update_many()
        .set(change)
        .filter(sessions::Column::Id.eq(session.uuid()))
        .filter(is_same(sessions::Column::LogRemovedAt, log_removed_at))
        .filter(is_same(sessions::Column::FilesRemovedAt, files_removed_at))
        .exec(&txn.db)
        .await?;
    Ok(())
}
