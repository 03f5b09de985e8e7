use crate::{
    Change, Created, IdempotencyKey, Store, StoreError, column,
    entity::{plan_batch_lines as lines, plan_batches as batches, tenants},
    error::write_error,
    txn::in_txn,
};
use domain::{
    AccountId, Authorized, ChangePlan, Digest, ManagePlanBatch, OperationId, PlanBatch,
    PlanBatchCounts, PlanBatchId, PlanBatchLine, PlanBatchLineState, SessionsDuringMove, Subject,
    Subscription, TenantId, TenantName, TokenId,
};
use jiff::Timestamp;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
    sea_query::ExprTrait as _,
};
use std::collections::HashMap;
use uuid::Uuid;

mod begin;
mod create;
mod end;
mod halt;

pub use begin::PlanBatchBeginError;
pub(crate) use end::{ended_in_txn, tenant_leaves_in_txn};

/// How many values a query names at once.
const CHUNK: usize = 500;

/// What a batch is made from; checked before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPlanBatch {
    /// What it is for, in its maker's words.
    pub name: Option<String>,
    /// Whose plan changes, in this order; each once.
    pub tenants: Vec<TenantId>,
    /// What they are to pay for.
    pub to: Subscription,
    /// What becomes of their sessions.
    pub sessions: SessionsDuringMove,
    /// The preview that its maker has seen.
    pub preview: Option<Digest>,
    /// How many changes may be under way at the same time.
    pub max_parallel: u32,
    /// Whether the first failure keeps those from beginning that wait.
    pub stop_on_failure: bool,
    /// When the first change begins; nothing if at once.
    pub start_at: Option<Timestamp>,
}

/// Why a batch was not made, or not tried again.
#[derive(Debug, thiserror::Error)]
pub enum PlanBatchError {
    /// A change of these tenants waits already.
    #[error("{} tenants have a change that waits", .0.len())]
    Waiting(Vec<PlanBatchLine>),
    /// The idempotency key stands for another request.
    #[error("the idempotency key was used for another request")]
    IdempotencyMismatch,
    /// It is over, or was given up.
    #[error("the batch is over")]
    Over,
    /// The record failed; `NotFound` if there is no such batch.
    #[error("write the batch")]
    Store(#[from] StoreError),
}

write_error!(PlanBatchError);

impl Store {
    /// Makes a batch of operators.
    ///
    /// # Errors
    /// `Waiting` if a tenant waits in another one, `IdempotencyMismatch`, or if the database fails.
    #[tracing::instrument(name = "db.plan_batch.create", skip_all)]
    pub async fn plan_batch_create(
        &self,
        proof: &Authorized<ManagePlanBatch>,
        new: &NewPlanBatch,
        key: Option<&IdempotencyKey>,
    ) -> Result<Created<PlanBatch>, PlanBatchError> {
        in_txn!(self, |txn| create::create_in_txn(&mut txn, proof, new, key))
    }

    /// Plans a change of one tenant's plan for later, as a batch of one that is the tenant's.
    ///
    /// # Errors
    /// `Waiting` if one is planned already, `NotFound` if the proof is for another tenant, or if the database fails.
    #[tracing::instrument(name = "db.plan_batch.plan", skip_all)]
    pub async fn plan_batch_plan(
        &self,
        proof: &Authorized<ChangePlan>,
        tenant: TenantId,
        new: &NewPlanBatch,
    ) -> Result<(PlanBatch, PlanBatchLine), PlanBatchError> {
        if proof.tenant() != Some(tenant) || new.tenants != [tenant] {
            return Err(StoreError::NotFound.into());
        }
        in_txn!(self, |txn| create::plan_in_txn(&mut txn, proof, tenant, new))
    }

    /// One batch of operators.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.plan_batch.get", skip_all)]
    pub async fn plan_batch_get(&self, id: PlanBatchId) -> Result<Option<PlanBatch>, StoreError> {
        let select = of_operators().filter(batches::Column::Id.eq(id.uuid()));
        let rows = select.all(&self.0.read).await?;
        Ok(read(&self.0.read, rows).await?.pop())
    }

    /// At most `limit` batches of operators, newest first, starting after `after`.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.plan_batch.list", skip_all)]
    pub async fn plan_batch_list(
        &self,
        after: Option<PlanBatchId>,
        limit: u64,
    ) -> Result<Vec<PlanBatch>, StoreError> {
        let mut select = of_operators();
        if let Some(after) = after {
            select = select.filter(batches::Column::Id.lt(after.uuid()));
        }
        let select = select.order_by_desc(batches::Column::Id).limit(limit);
        read(&self.0.read, select.all(&self.0.read).await?).await
    }

    /// Every line of a batch, in the order in which they begin; of those in one state, or all.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.plan_batch.lines", skip_all)]
    pub async fn plan_batch_lines(
        &self,
        id: PlanBatchId,
        state: Option<PlanBatchLineState>,
    ) -> Result<Vec<PlanBatchLine>, StoreError> {
        let mut select = lines_of(id);
        if let Some(state) = state {
            select = select.filter(lines::Column::State.eq(state.as_str()));
        }
        let select = select.order_by_asc(lines::Column::Position);
        named(&self.0.read, select.all(&self.0.read).await?).await
    }

    /// The batches of which something may begin at `now`, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.plan_batch.due", skip_all)]
    pub async fn plan_batch_due(&self, now: Timestamp) -> Result<Vec<PlanBatch>, StoreError> {
        let at = batches::Column::StartAt;
        let select = going_on()
            .filter(at.is_null().or(at.lte(column::time(now))))
            .order_by_asc(batches::Column::Id);
        let due = read(&self.0.read, select.all(&self.0.read).await?).await?;
        let is_worth_it = |batch: &PlanBatch| batch.free(now) > 0 && batch.counts.waiting > 0;
        Ok(due.into_iter().filter(is_worth_it).collect())
    }

    /// When the next batch begins after `now`.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.plan_batch.next", skip_all)]
    pub async fn plan_batch_next(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let next = going_on()
            .filter(batches::Column::StartAt.gt(column::time(now)))
            .order_by_asc(batches::Column::StartAt)
            .limit(1);
        let next = next.one(&self.0.read).await?.and_then(|row| row.start_at);
        column::to_optional_time("plan_batches.start_at", next)
    }

    /// The line whose operation has, or will have, this id, with its batch.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.plan_batch.line", skip_all)]
    pub async fn plan_batch_line(
        &self,
        operation: OperationId,
    ) -> Result<Option<(PlanBatch, PlanBatchLine)>, StoreError> {
        let select = lines::Entity::find().filter(lines::Column::Operation.eq(operation.uuid()));
        Ok(with_batches(&self.0.read, select.all(&self.0.read).await?).await?.pop())
    }

    /// At most `limit` lines of a tenant that never began, newest first, starting after `after`.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.plan_batch.unbegun", skip_all)]
    pub async fn plan_batch_unbegun(
        &self,
        tenant: TenantId,
        after: Option<OperationId>,
        limit: u64,
    ) -> Result<Vec<(PlanBatch, PlanBatchLine)>, StoreError> {
        let mut select = lines::Entity::find()
            .filter(lines::Column::Tenant.eq(tenant.uuid()))
            .filter(lines::Column::StartedAt.is_null());
        if let Some(after) = after {
            select = select.filter(lines::Column::Operation.lt(after.uuid()));
        }
        let select = select.order_by_desc(lines::Column::Operation).limit(limit);
        with_batches(&self.0.read, select.all(&self.0.read).await?).await
    }
}

fn of_operators() -> Select<batches::Entity> {
    batches::Entity::find().filter(batches::Column::Tenant.is_null())
}

/// Batches of which something may begin, now or later.
fn going_on() -> Select<batches::Entity> {
    batches::Entity::find()
        .filter(batches::Column::FinishedAt.is_null())
        .filter(batches::Column::PausedAt.is_null())
        .filter(batches::Column::CancelledAt.is_null())
}

fn lines_of(id: PlanBatchId) -> Select<lines::Entity> {
    lines::Entity::find().filter(lines::Column::Batch.eq(id.uuid()))
}

/// The batches of some rows, in their order, with their counts.
async fn read(
    db: &impl ConnectionTrait,
    rows: Vec<batches::Model>,
) -> Result<Vec<PlanBatch>, StoreError> {
    let mut counts: HashMap<Uuid, PlanBatchCounts> = HashMap::new();
    for rows in rows.chunks(CHUNK) {
        let select = lines::Entity::find()
            .select_only()
            .column(lines::Column::Batch)
            .column(lines::Column::State)
            .column_as(lines::Column::Position.count(), "count")
            .filter(lines::Column::Batch.is_in(rows.iter().map(|row| row.id)))
            .group_by(lines::Column::Batch)
            .group_by(lines::Column::State);
        let found: Vec<(Uuid, String, i64)> = select.into_tuple().all(db).await?;
        for (batch, state, count) in found {
            let state = column::to_word("plan_batch_lines.state", &state)?;
            let count = number("plan_batch_lines.position", count)?;
            *counts.entry(batch).or_default().of(state) = count;
        }
    }
    let read = rows.into_iter().map(|row| {
        let counts = counts.get(&row.id).copied().unwrap_or_default();
        batch(row, counts)
    });
    read.collect()
}

/// The lines of some rows, in their order, with their tenants' names.
async fn named(
    db: &impl ConnectionTrait,
    rows: Vec<lines::Model>,
) -> Result<Vec<PlanBatchLine>, StoreError> {
    let mut names: HashMap<Uuid, String> = HashMap::new();
    for rows in rows.chunks(CHUNK) {
        let select = tenants::Entity::find()
            .select_only()
            .columns([tenants::Column::Id, tenants::Column::Name])
            .filter(tenants::Column::Id.is_in(rows.iter().map(|row| row.tenant)));
        let found: Vec<(Uuid, String)> = select.into_tuple().all(db).await?;
        names.extend(found);
    }
    let read = rows.iter().map(|row| {
        let name = names.get(&row.tenant).map(String::as_str).unwrap_or_default();
        line(row, name)
    });
    read.collect()
}

async fn with_batches(
    db: &impl ConnectionTrait,
    rows: Vec<lines::Model>,
) -> Result<Vec<(PlanBatch, PlanBatchLine)>, StoreError> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.batch).collect();
    let select = batches::Entity::find().filter(batches::Column::Id.is_in(ids));
    let batches = read(db, select.all(db).await?).await?;
    let lines = named(db, rows).await?.into_iter();
    let pair = |line: PlanBatchLine| {
        let batch = batches.iter().find(|batch| batch.id == line.batch)?;
        Some((batch.clone(), line))
    };
    Ok(lines.filter_map(pair).collect())
}

fn number(column: &'static str, value: i64) -> Result<u32, StoreError> {
    u32::try_from(value).map_err(|error| StoreError::corrupt(column, error))
}

fn batch(row: batches::Model, counts: PlanBatchCounts) -> Result<PlanBatch, StoreError> {
    let time = column::to_optional_time;
    let preview = row.preview.as_deref();
    Ok(PlanBatch {
        id: PlanBatchId::new(row.id),
        tenant: row.tenant.map(TenantId::new),
        name: row.name,
        to: Subscription {
            plan: column::to_word("plan_batches.to_plan", &row.to_plan)?,
            nodes: number("plan_batches.to_nodes", row.to_nodes)?,
        },
        sessions: column::to_word("plan_batches.sessions", &row.sessions)?,
        preview: preview.map(|text| column::to_parsed("plan_batches.preview", text)).transpose()?,
        max_parallel: number("plan_batches.max_parallel", row.max_parallel)?,
        stop_on_failure: row.stop_on_failure,
        start_at: time("plan_batches.start_at", row.start_at)?,
        subject: if row.is_account {
            Subject::Account(AccountId::new(row.token))
        } else {
            Subject::Token(TokenId::new(row.token))
        },
        request_id: row.request_id,
        created_at: column::to_time("plan_batches.created_at", row.created_at)?,
        paused_at: time("plan_batches.paused_at", row.paused_at)?,
        cancelled_at: time("plan_batches.cancelled_at", row.cancelled_at)?,
        finished_at: time("plan_batches.finished_at", row.finished_at)?,
        counts,
    })
}

fn line(row: &lines::Model, name: &str) -> Result<PlanBatchLine, StoreError> {
    let time = column::to_optional_time;
    let name = TenantName::parse("/name", name);
    Ok(PlanBatchLine {
        batch: PlanBatchId::new(row.batch),
        position: number("plan_batch_lines.position", row.position)?,
        tenant: TenantId::new(row.tenant),
        name: name.map_err(|error| StoreError::corrupt("tenants.name", error))?,
        state: column::to_word("plan_batch_lines.state", &row.state)?,
        operation: OperationId::new(row.operation),
        problem: column::to_optional_json("plan_batch_lines.problem", row.problem.as_deref())?,
        busy_until: time("plan_batch_lines.busy_until", row.busy_until)?,
        started_at: time("plan_batch_lines.started_at", row.started_at)?,
        finished_at: time("plan_batch_lines.finished_at", row.finished_at)?,
    })
}

/// Who has to look when a batch changes.
const fn change(id: Uuid) -> Change {
    Change::PlanBatch(PlanBatchId::new(id))
}
