//! Making a batch.

use super::{CHUNK, NewPlanBatch, PlanBatchError, change, named, read};
use crate::{
    Created, IdempotencyKey, StoreError, column,
    entity::{plan_batch_lines as lines, plan_batches as batches},
    idempotency::Known,
    txn::{Place, Txn},
};
use domain::{
    Acting, Authorized, ChangePlan, ManagePlanBatch, PlanBatch, PlanBatchLine, PlanBatchLineState,
    Subject, TenantId,
};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};
use uuid::Uuid;

pub(super) async fn create_in_txn(
    txn: &mut Txn,
    proof: &Authorized<ManagePlanBatch>,
    new: &NewPlanBatch,
    key: Option<&IdempotencyKey>,
) -> Result<Created<PlanBatch>, PlanBatchError> {
    const KIND: &str = "plan.batch.create";
    if let Some(key) = key {
        match key.look_up_in_txn(txn, KIND).await? {
            Known::Nothing => {}
            Known::Same(id) => return Ok(Created::replay(existing(txn, id).await?)),
            Known::Other => return Err(PlanBatchError::IdempotencyMismatch),
        }
    }
    let id = insert_in_txn(txn, proof.actor(), None, new).await?;
    if let Some(key) = key {
        key.keep_in_txn(txn, KIND, id).await?;
    }
    let batch = existing(txn, id).await?;
    txn.audit(Some(proof.actor()), KIND, Place::NOWHERE, batch.id.to_string()).await?;
    Ok(Created::new(batch))
}

pub(super) async fn plan_in_txn(
    txn: &mut Txn,
    proof: &Authorized<ChangePlan>,
    tenant: TenantId,
    new: &NewPlanBatch,
) -> Result<(PlanBatch, PlanBatchLine), PlanBatchError> {
    let id = insert_in_txn(txn, proof.actor(), Some(tenant), new).await?;
    let batch = existing(txn, id).await?;
    let rows = super::lines_of(batch.id).all(&txn.db).await.map_err(StoreError::from)?;
    let line = named(&txn.db, rows).await?.pop().ok_or(StoreError::NotFound)?;
    let planned = line.operation.to_string();
    txn.audit(Some(proof.actor()), "plan.change.plan", Some(tenant), planned).await?;
    Ok((batch, line))
}

async fn existing(txn: &Txn, id: Uuid) -> Result<PlanBatch, StoreError> {
    let row = batches::Entity::find_by_id(id).one(&txn.db).await?;
    read(&txn.db, row.into_iter().collect()).await?.pop().ok_or(StoreError::NotFound)
}

/// The lines in which any of `tenants` waits.
pub(super) async fn waiting(
    txn: &Txn,
    tenants: &[TenantId],
) -> Result<Vec<PlanBatchLine>, StoreError> {
    let mut rows = Vec::new();
    for tenants in tenants.chunks(CHUNK) {
        let select = lines::Entity::find()
            .filter(lines::Column::State.eq(PlanBatchLineState::Waiting.as_str()))
            .filter(lines::Column::Tenant.is_in(tenants.iter().map(|tenant| tenant.uuid())));
        rows.extend(select.all(&txn.db).await?);
    }
    named(&txn.db, rows).await
}

async fn insert_in_txn(
    txn: &mut Txn,
    actor: &Acting,
    tenant: Option<TenantId>,
    new: &NewPlanBatch,
) -> Result<Uuid, PlanBatchError> {
    let waiting = waiting(txn, &new.tenants).await?;
    if !waiting.is_empty() {
        return Err(PlanBatchError::Waiting(waiting));
    }
    let id = txn.store.ids.uuid();
    let row = batches::Model {
        id,
        tenant: tenant.map(TenantId::uuid),
        name: new.name.clone(),
        to_plan: new.to.plan.as_str().to_owned(),
        to_nodes: i64::from(new.to.nodes),
        sessions: column::word(&new.sessions),
        preview: new.preview.as_ref().map(ToString::to_string),
        max_parallel: i64::from(new.max_parallel),
        stop_on_failure: new.stop_on_failure,
        start_at: new.start_at.map(column::time),
        token: actor.subject.uuid(),
        is_account: matches!(actor.subject, Subject::Account(_)),
        request_id: actor.request_id.clone(),
        revision: 1,
        created_at: txn.at(),
        paused_at: None,
        cancelled_at: None,
        finished_at: None,
    };
    batches::Entity::insert(row.into_active_model()).exec_without_returning(&txn.db).await?;
    let rows: Vec<_> = (0..)
        .zip(&new.tenants)
        .map(|(position, tenant)| lines::Model {
            batch: id,
            position,
            tenant: tenant.uuid(),
            state: PlanBatchLineState::Waiting.as_str().to_owned(),
            operation: txn.store.ids.uuid(),
            problem: None,
            busy_until: None,
            started_at: None,
            finished_at: None,
        })
        .collect();
    for rows in rows.chunks(CHUNK) {
        let rows = rows.iter().cloned().map(IntoActiveModel::into_active_model);
        lines::Entity::insert_many(rows).exec_without_returning(&txn.db).await?;
    }
    txn.changed(change(id));
    Ok(id)
}
