//! Ends of lines: with their operations, with their tenants, or before they began.

use super::{
    PlanBatchError,
    begin::{for_update, put_in_txn, put_line_in_txn, waiting_for_update},
    lines_of,
};
use crate::{
    Store, StoreError, column,
    entity::{plan_batch_lines as lines, plan_batches as batches},
    tenant::SUPERSEDED,
    txn::{Place, Txn, in_txn},
};
use domain::{
    Authorized, ChangePlan, Operation, OperationId, PlanBatchId, PlanBatchLine, PlanBatchLineState,
    Problem, TenantId,
};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, Set};

impl Store {
    /// Ends a line that never began: it failed, or was skipped.
    ///
    /// # Errors
    /// `Over` if it does not wait any more.
    #[tracing::instrument(name = "db.plan_batch.end", skip_all)]
    pub async fn plan_batch_end(
        &self,
        line: &PlanBatchLine,
        state: PlanBatchLineState,
        problem: &Problem,
    ) -> Result<(), PlanBatchError> {
        in_txn!(self, |txn| unbegun_in_txn(&mut txn, line, state, problem))
    }

    /// Gives a tenant's change up that waits.
    ///
    /// # Errors
    /// `NotFound` if the tenant has no such line, `Over` if it does not wait any more.
    #[tracing::instrument(name = "db.plan_batch.give_up", skip_all)]
    pub async fn plan_batch_give_up(
        &self,
        proof: &Authorized<ChangePlan>,
        operation: OperationId,
    ) -> Result<(), PlanBatchError> {
        in_txn!(self, |txn| give_up_in_txn(&mut txn, proof, operation))
    }
}

async fn unbegun_in_txn(
    txn: &mut Txn,
    line: &PlanBatchLine,
    state: PlanBatchLineState,
    problem: &Problem,
) -> Result<(), PlanBatchError> {
    let Some((batch, row)) = waiting_for_update(txn, line).await? else {
        return Err(PlanBatchError::Over);
    };
    Ok(end_in_txn(txn, &batch, &row, (state, Some(problem.clone()))).await?)
}

async fn give_up_in_txn(
    txn: &mut Txn,
    proof: &Authorized<ChangePlan>,
    operation: OperationId,
) -> Result<(), PlanBatchError> {
    let row = by_operation(txn, operation).await?.ok_or(StoreError::NotFound)?;
    if proof.tenant() != Some(TenantId::new(row.tenant)) {
        return Err(StoreError::NotFound.into());
    }
    let batch = for_update(txn, PlanBatchId::new(row.batch)).await?;
    // Between the two looks it may have begun.
    let row = by_operation(txn, operation).await?.ok_or(StoreError::NotFound)?;
    if row.state != PlanBatchLineState::Waiting.as_str() {
        return Err(PlanBatchError::Over);
    }
    end_in_txn(txn, &batch, &row, (PlanBatchLineState::Cancelled, None)).await?;
    let (actor, tenant) = (Some(proof.actor()), proof.tenant());
    Ok(txn.audit(actor, "plan.cancel", tenant, operation.to_string()).await?)
}

/// The end of an operation is the end of its line, if it has one.
pub(crate) async fn ended_in_txn(txn: &mut Txn, operation: &Operation) -> Result<(), StoreError> {
    let Some(row) = by_operation(txn, operation.id).await? else { return Ok(()) };
    if row.state != PlanBatchLineState::Running.as_str() {
        return Ok(());
    }
    let batch = for_update(txn, PlanBatchId::new(row.batch)).await?;
    let state = match &operation.problem {
        None => PlanBatchLineState::Succeeded,
        // Nobody failed: the tenant is on its way out.
        Some(problem) if problem.code == SUPERSEDED => PlanBatchLineState::Skipped,
        Some(_) => PlanBatchLineState::Failed,
    };
    end_in_txn(txn, &batch, &row, (state, operation.problem.clone())).await
}

/// Whoever is on its way out waits for nothing.
pub(crate) async fn tenant_leaves_in_txn(
    txn: &mut Txn,
    tenant: TenantId,
) -> Result<(), StoreError> {
    let select = lines::Entity::find()
        .filter(lines::Column::Tenant.eq(tenant.uuid()))
        .filter(lines::Column::State.eq(PlanBatchLineState::Waiting.as_str()));
    let Some(row) = select.one(&txn.db).await? else { return Ok(()) };
    let batch = for_update(txn, PlanBatchId::new(row.batch)).await?;
    let problem = Problem {
        code: "tenant-deleting".to_owned(),
        detail: "the tenant's deletion was asked for before its change began".to_owned(),
        hint: "nothing is to be done".to_owned(),
    };
    end_in_txn(txn, &batch, &row, (PlanBatchLineState::Skipped, Some(problem))).await
}

async fn by_operation(
    txn: &Txn,
    operation: OperationId,
) -> Result<Option<lines::Model>, StoreError> {
    let select = lines::Entity::find().filter(lines::Column::Operation.eq(operation.uuid()));
    Ok(select.one(&txn.db).await?)
}

/// What a line is at its end.
fn ended(txn: &Txn, state: PlanBatchLineState, problem: Option<&Problem>) -> lines::ActiveModel {
    lines::ActiveModel {
        state: Set(state.as_str().to_owned()),
        problem: Set(problem.map(column::json)),
        finished_at: Set(Some(txn.at())),
        ..Default::default()
    }
}

/// Ends a line, and with it those that wait if it failed and that is to stop them.
async fn end_in_txn(
    txn: &mut Txn,
    batch: &batches::Model,
    row: &lines::Model,
    (state, problem): (PlanBatchLineState, Option<Problem>),
) -> Result<(), StoreError> {
    put_line_in_txn(txn, batch, row.position, ended(txn, state, problem.as_ref())).await?;
    if state == PlanBatchLineState::Failed && batch.stop_on_failure {
        stop_in_txn(txn, batch, row, problem.as_ref()).await?;
    }
    finish_in_txn(txn, batch, batches::ActiveModel::default()).await
}

/// Writes a batch, and that it is over if no line is open any more.
pub(super) async fn finish_in_txn(
    txn: &mut Txn,
    batch: &batches::Model,
    written: batches::ActiveModel,
) -> Result<(), StoreError> {
    let open = [PlanBatchLineState::Waiting, PlanBatchLineState::Running];
    let open = lines_of(PlanBatchId::new(batch.id))
        .filter(lines::Column::State.is_in(open.map(PlanBatchLineState::as_str)));
    let is_over = open.count(&txn.db).await? == 0;
    let written = batches::ActiveModel {
        revision: Set(batch.revision + 1),
        finished_at: Set(is_over.then(|| txn.at())),
        ..written
    };
    put_in_txn(txn, batch, written).await
}

/// Ends every line of a batch that waits.
pub(super) async fn end_waiting_in_txn(
    txn: &Txn,
    batch: &batches::Model,
    state: PlanBatchLineState,
    problem: Option<&Problem>,
) -> Result<u64, StoreError> {
    let ended = lines::Entity::update_many()
        .set(ended(txn, state, problem))
        .filter(lines::Column::Batch.eq(batch.id))
        .filter(lines::Column::State.eq(PlanBatchLineState::Waiting.as_str()))
        .exec(&txn.db)
        .await?;
    Ok(ended.rows_affected)
}

async fn stop_in_txn(
    txn: &Txn,
    batch: &batches::Model,
    failed: &lines::Model,
    problem: Option<&Problem>,
) -> Result<(), StoreError> {
    let first = super::named(&txn.db, vec![failed.clone()]).await?.pop();
    let name = first.map_or_else(String::new, |line| line.name.to_string());
    let why = problem.map_or("", |problem| problem.detail.as_str());
    let id = PlanBatchId::new(batch.id);
    let problem = Problem {
        code: "batch-stopped".to_owned(),
        detail: format!(
            "the change of tenant {name} failed, and the batch stops at the first failure: {why}"
        ),
        hint: format!(
            "see to {name}; then warren plan batch retry {id} tries all again that did not succeed"
        ),
    };
    let skipped = PlanBatchLineState::Skipped;
    if end_waiting_in_txn(txn, batch, skipped, Some(&problem)).await? > 0 {
        txn.audit(None, "plan.batch.stop", Place::NOWHERE, id.to_string()).await?;
    }
    Ok(())
}
