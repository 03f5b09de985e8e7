//! What operators do about a batch that is there.

use super::{
    PlanBatchError,
    begin::{for_update, put_in_txn, put_line_in_txn},
    create::waiting,
    end::{end_waiting_in_txn, finish_in_txn},
    lines_of,
};
use crate::{
    Store, StoreError,
    entity::{plan_batch_lines as lines, plan_batches as batches},
    tenant::existing_by_id,
    txn::{Place, Txn, in_txn},
};
use domain::{Authorized, ManagePlanBatch, PlanBatchId, PlanBatchLineState, Subject, TenantId};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder, Set};

impl Store {
    /// Lets nothing more of a batch begin, or lets it go on. Repeating it changes nothing.
    ///
    /// # Errors
    /// `NotFound` if there is none, `Over` if it is over or given up.
    #[tracing::instrument(name = "db.plan_batch.pause", skip_all)]
    pub async fn plan_batch_pause(
        &self,
        proof: &Authorized<ManagePlanBatch>,
        id: PlanBatchId,
        is_paused: bool,
    ) -> Result<(), PlanBatchError> {
        in_txn!(self, |txn| pause_in_txn(&mut txn, proof, id, is_paused))
    }

    /// Gives a batch up: what waits is cancelled, what is under way goes on to its end. Repeating it changes nothing.
    ///
    /// # Errors
    /// `NotFound` if there is none, `Over` if it is over.
    #[tracing::instrument(name = "db.plan_batch.cancel", skip_all)]
    pub async fn plan_batch_cancel(
        &self,
        proof: &Authorized<ManagePlanBatch>,
        id: PlanBatchId,
    ) -> Result<(), PlanBatchError> {
        in_txn!(self, |txn| cancel_in_txn(&mut txn, proof, id))
    }

    /// Lets those wait again that failed or were skipped, from now on in the name of whom the proof is for. Those whose
    /// tenant is gone or going stay as they are.
    ///
    /// # Errors
    /// `NotFound` if there is none, `Over` if it was given up, `Waiting` if a tenant waits elsewhere by now.
    #[tracing::instrument(name = "db.plan_batch.retry", skip_all)]
    pub async fn plan_batch_retry(
        &self,
        proof: &Authorized<ManagePlanBatch>,
        id: PlanBatchId,
    ) -> Result<(), PlanBatchError> {
        in_txn!(self, |txn| retry_in_txn(&mut txn, proof, id))
    }
}

/// A batch of operators; nobody else changes it before the transaction ends.
async fn own_for_update(txn: &Txn, id: PlanBatchId) -> Result<batches::Model, PlanBatchError> {
    let row = for_update(txn, id).await?;
    if row.tenant.is_some() { Err(StoreError::NotFound.into()) } else { Ok(row) }
}

async fn pause_in_txn(
    txn: &mut Txn,
    proof: &Authorized<ManagePlanBatch>,
    id: PlanBatchId,
    is_paused: bool,
) -> Result<(), PlanBatchError> {
    let row = own_for_update(txn, id).await?;
    if row.finished_at.is_some() || row.cancelled_at.is_some() {
        return Err(PlanBatchError::Over);
    }
    if row.paused_at.is_some() == is_paused {
        return Ok(());
    }
    let written = batches::ActiveModel {
        revision: Set(row.revision + 1),
        paused_at: Set(is_paused.then(|| txn.at())),
        ..Default::default()
    };
    put_in_txn(txn, &row, written).await?;
    let action = if is_paused { "plan.batch.pause" } else { "plan.batch.resume" };
    Ok(txn.audit(Some(proof.actor()), action, Place::NOWHERE, id.to_string()).await?)
}

async fn cancel_in_txn(
    txn: &mut Txn,
    proof: &Authorized<ManagePlanBatch>,
    id: PlanBatchId,
) -> Result<(), PlanBatchError> {
    let row = own_for_update(txn, id).await?;
    if row.cancelled_at.is_some() {
        return Ok(());
    }
    if row.finished_at.is_some() {
        return Err(PlanBatchError::Over);
    }
    end_waiting_in_txn(txn, &row, PlanBatchLineState::Cancelled, None).await?;
    let at = Some(txn.at());
    let written = batches::ActiveModel { cancelled_at: Set(at), ..Default::default() };
    finish_in_txn(txn, &row, written).await?;
    Ok(txn.audit(Some(proof.actor()), "plan.batch.cancel", Place::NOWHERE, id.to_string()).await?)
}

async fn retry_in_txn(
    txn: &mut Txn,
    proof: &Authorized<ManagePlanBatch>,
    id: PlanBatchId,
) -> Result<(), PlanBatchError> {
    let row = own_for_update(txn, id).await?;
    if row.cancelled_at.is_some() {
        return Err(PlanBatchError::Over);
    }
    let again = again(txn, id).await?;
    if again.is_empty() {
        return Ok(());
    }
    let tenants: Vec<_> = again.iter().map(|line| TenantId::new(line.tenant)).collect();
    let waiting = waiting(txn, &tenants).await?;
    if !waiting.is_empty() {
        return Err(PlanBatchError::Waiting(waiting));
    }
    for line in again {
        let written = lines::ActiveModel {
            state: Set(PlanBatchLineState::Waiting.as_str().to_owned()),
            // What was tried before stays what it was.
            operation: Set(txn.store.ids.uuid()),
            problem: Set(None),
            busy_until: Set(None),
            started_at: Set(None),
            finished_at: Set(None),
            ..Default::default()
        };
        put_line_in_txn(txn, &row, line.position, written).await?;
    }
    let actor = proof.actor();
    let written = batches::ActiveModel {
        token: Set(actor.subject.uuid()),
        is_account: Set(matches!(actor.subject, Subject::Account(_))),
        request_id: Set(actor.request_id.clone()),
        ..Default::default()
    };
    finish_in_txn(txn, &row, written).await?;
    Ok(txn.audit(Some(actor), "plan.batch.retry", Place::NOWHERE, id.to_string()).await?)
}

/// The lines that can be tried again.
async fn again(txn: &Txn, id: PlanBatchId) -> Result<Vec<lines::Model>, StoreError> {
    let states = [PlanBatchLineState::Failed, PlanBatchLineState::Skipped];
    let select = lines_of(id)
        .filter(lines::Column::State.is_in(states.map(PlanBatchLineState::as_str)))
        .order_by_asc(lines::Column::Position);
    let mut again = Vec::new();
    for line in select.all(&txn.db).await? {
        let tenant = existing_by_id(TenantId::new(line.tenant)).one(&txn.db).await?;
        if tenant.is_some_and(|tenant| tenant.deletion_requested_at.is_none()) {
            again.push(line);
        }
    }
    Ok(again)
}
