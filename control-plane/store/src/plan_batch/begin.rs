//! Beginning a line: the change, its operation and the line's state are written together.

use super::{PlanBatchError, change, lines_of};
use crate::{
    PlanChangeError, Store, StoreError, account, column,
    entity::{plan_batch_lines as lines, plan_batches as batches, tokens},
    error::WriteError,
    plan_change::begin_in_txn as begin_change_in_txn,
    tenant::existing_for_update,
    token,
    txn::{Txn, in_txn},
};
use domain::{
    Actor, Authorized, ChangePlan, Operation, OperationId, PlanBatchId, PlanBatchLine,
    PlanBatchLineState, PlanChange, PlanPreview, Problem, Subject,
};
use jiff::{SignedDuration, Timestamp};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, QuerySelect, Set};

/// Why a line was not begun.
#[derive(Debug, thiserror::Error)]
pub enum PlanBatchBeginError {
    /// The batch is halted, given up, not due, or has as many under way as it may; or the line does not wait any more.
    #[error("it is not its turn")]
    NotNow,
    /// The token in whose name it was to begin was taken back.
    #[error("nobody asks for it any more")]
    Revoked,
    /// The change itself cannot begin.
    #[error(transparent)]
    Change(#[from] PlanChangeError),
}

impl From<StoreError> for PlanBatchBeginError {
    fn from(error: StoreError) -> Self {
        Self::Change(error.into())
    }
}

impl WriteError for PlanBatchBeginError {
    fn store(&self) -> Option<&StoreError> {
        if let Self::Change(error) = self { error.store() } else { None }
    }
}

impl From<DbErr> for PlanBatchBeginError {
    fn from(error: DbErr) -> Self {
        StoreError::from(error).into()
    }
}

impl Store {
    /// What somebody may now who asked for something earlier; nobody if their token was taken back.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.plan_batch.actor", skip_all)]
    pub async fn actor_of(
        &self,
        subject: Subject,
        request_id: String,
    ) -> Result<Option<Actor>, StoreError> {
        match subject {
            Subject::Token(id) => {
                let row = tokens::Entity::find_by_id(id.uuid()).one(&self.0.read).await?;
                row.map(|row| token::actor_of(&row, request_id)).transpose()
            }
            Subject::Account(id) => account::actor(&self.0.read, id, request_id).await.map(Some),
        }
    }

    /// Begins the change of a line that waits, as `preview` says, in the name of whom the proof is for.
    ///
    /// # Errors
    /// `NotNow` if it may not begin now, `Revoked` if the token of the proof is gone, or what a change of plan is refused
    /// for.
    #[tracing::instrument(name = "db.plan_batch.begin", skip_all)]
    pub async fn plan_batch_begin(
        &self,
        proof: &Authorized<ChangePlan>,
        line: &PlanBatchLine,
        preview: &PlanPreview,
    ) -> Result<(PlanChange, Operation), PlanBatchBeginError> {
        if proof.tenant() != Some(line.tenant) {
            return Err(StoreError::NotFound.into());
        }
        in_txn!(self, |txn| begin_in_txn(&mut txn, proof, line, preview))
    }

    /// Notes why a line that waits cannot begin yet; from the first time on it has so long. Until when. Writes nothing if
    /// all of that was noted before.
    ///
    /// # Errors
    /// `Over` if the line does not wait any more.
    #[tracing::instrument(name = "db.plan_batch.busy", skip_all)]
    pub async fn plan_batch_busy(
        &self,
        line: &PlanBatchLine,
        problem: &Problem,
        patience: SignedDuration,
    ) -> Result<Timestamp, PlanBatchError> {
        in_txn!(self, |txn| busy_in_txn(&mut txn, line, problem, patience))
    }
}

/// A line as it was read, if it still waits; nobody else changes its batch before the transaction ends.
pub(super) async fn waiting_for_update(
    txn: &Txn,
    line: &PlanBatchLine,
) -> Result<Option<(batches::Model, lines::Model)>, StoreError> {
    let batch = for_update(txn, line.batch).await?;
    let select = lines_of(line.batch)
        .filter(lines::Column::Position.eq(line.position))
        .filter(lines::Column::Operation.eq(line.operation.uuid()))
        .filter(lines::Column::State.eq(PlanBatchLineState::Waiting.as_str()));
    Ok(select.one(&txn.db).await?.map(|row| (batch, row)))
}

pub(super) async fn for_update(txn: &Txn, id: PlanBatchId) -> Result<batches::Model, StoreError> {
    let select = batches::Entity::find_by_id(id.uuid()).lock_exclusive();
    select.one(&txn.db).await?.ok_or(StoreError::NotFound)
}

/// Writes a line of a batch that was locked; the batch is to be written after it.
pub(super) async fn put_line_in_txn(
    txn: &Txn,
    batch: &batches::Model,
    position: i64,
    written: lines::ActiveModel,
) -> Result<(), StoreError> {
    lines::Entity::update_many()
        .set(written)
        .filter(lines::Column::Batch.eq(batch.id))
        .filter(lines::Column::Position.eq(position))
        .exec(&txn.db)
        .await?;
    Ok(())
}

/// Writes a line of a batch. The batch is written, too: whoever counted its lines meanwhile counts again.
async fn write_in_txn(
    txn: &mut Txn,
    batch: &batches::Model,
    position: i64,
    written: lines::ActiveModel,
) -> Result<(), StoreError> {
    put_line_in_txn(txn, batch, position, written).await?;
    let touched = batches::ActiveModel { revision: Set(batch.revision + 1), ..Default::default() };
    put_in_txn(txn, batch, touched).await
}

/// Writes a batch that was locked.
pub(super) async fn put_in_txn(
    txn: &mut Txn,
    batch: &batches::Model,
    written: batches::ActiveModel,
) -> Result<(), StoreError> {
    batches::Entity::update_many()
        .set(written)
        .filter(batches::Column::Id.eq(batch.id))
        .exec(&txn.db)
        .await?;
    txn.changed(change(batch.id));
    Ok(())
}

async fn begin_in_txn(
    txn: &mut Txn,
    proof: &Authorized<ChangePlan>,
    line: &PlanBatchLine,
    preview: &PlanPreview,
) -> Result<(PlanChange, Operation), PlanBatchBeginError> {
    if let Subject::Token(id) = proof.actor().subject {
        let token = tokens::Entity::find_by_id(id.uuid()).lock_shared();
        if token.one(&txn.db).await?.is_none() {
            return Err(PlanBatchBeginError::Revoked);
        }
    }
    // The tenant first, as whoever ends a change does it.
    existing_for_update(&txn.db, line.tenant).await?;
    let Some((batch, row)) = waiting_for_update(txn, line).await? else {
        return Err(PlanBatchBeginError::NotNow);
    };
    let known = super::read(&txn.db, vec![batch.clone()]).await?.pop();
    let known = known.filter(|known| known.free(txn.now) > 0 && known.to == preview.to);
    let known = known.ok_or(PlanBatchBeginError::NotNow)?;
    let id = OperationId::new(row.operation);
    let wish = (preview, known.sessions);
    let begun = begin_change_in_txn(txn, proof, line.tenant, wish, Some(id)).await?;
    let written = lines::ActiveModel {
        state: Set(PlanBatchLineState::Running.as_str().to_owned()),
        problem: Set(None),
        started_at: Set(Some(txn.at())),
        ..Default::default()
    };
    write_in_txn(txn, &batch, row.position, written).await?;
    Ok(begun)
}

async fn busy_in_txn(
    txn: &mut Txn,
    line: &PlanBatchLine,
    problem: &Problem,
    patience: SignedDuration,
) -> Result<Timestamp, PlanBatchError> {
    let Some((batch, row)) = waiting_for_update(txn, line).await? else {
        return Err(PlanBatchError::Over);
    };
    let until = row.busy_until.unwrap_or_else(|| txn.later(patience));
    let problem = column::json(problem);
    if row.busy_until.is_none() || row.problem.as_deref() != Some(problem.as_str()) {
        let written = lines::ActiveModel {
            problem: Set(Some(problem)),
            busy_until: Set(Some(until)),
            ..Default::default()
        };
        write_in_txn(txn, &batch, row.position, written).await?;
    }
    Ok(column::to_time("plan_batch_lines.busy_until", until)?)
}
