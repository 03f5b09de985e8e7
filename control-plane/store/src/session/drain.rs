use super::{opened, write_in_txn};
use crate::{
    Store, StoreError,
    entity::{operations, runs, sessions},
    run,
    txn::{Txn, in_txn},
};
use domain::{Drain, DrainEnd, Operation, OperationId, Run, RunId, SessionState};
use sea_orm::{EntityTrait, QuerySelect};

impl Store {
    /// Orders a run to be ended because an operation empties its node; the first order counts. A run that is over, and
    /// one that is not the newest of a session that is starting or running, stays as it is.
    ///
    /// # Errors
    /// `NotFound` if the operation's tenant has no such run, `Stale` if the operation is over.
    #[tracing::instrument(name = "db.session.drain", skip_all)]
    pub async fn session_drain(
        &self,
        operation: OperationId,
        run: RunId,
        node: &str,
        end: DrainEnd,
    ) -> Result<(), StoreError> {
        in_txn!(self, |txn| drain_in_txn(&mut txn, operation, run, (node, end)))
    }
}

async fn drain_in_txn(
    txn: &mut Txn,
    operation: OperationId,
    id: RunId,
    (node, end): (&str, DrainEnd),
) -> Result<(), StoreError> {
    let select = operations::Entity::find_by_id(operation.uuid()).lock_shared();
    let operation = Operation::try_from(select.one(&txn.db).await?.ok_or(StoreError::NotFound)?)?;
    if operation.state.is_final() {
        return Err(StoreError::Stale);
    }
    let select = runs::Entity::find_by_id(id.uuid());
    let run = Run::try_from(select.one(&txn.db).await?.ok_or(StoreError::NotFound)?)?;
    if run.tenant != operation.tenant {
        return Err(StoreError::NotFound);
    }
    let select = sessions::Entity::find_by_id(run.session.uuid()).lock_exclusive();
    let row = select.one(&txn.db).await?.ok_or(StoreError::NotFound)?;
    let session = opened(&txn.store.vault, &row)?;
    let is_under_way = matches!(session.state, SessionState::Starting | SessionState::Running);
    if session.run != Some(id) || !is_under_way || run.drain.is_some() {
        return Ok(());
    }
    let Operation { id: by, kind, .. } = operation;
    let drain = Drain { at: txn.now, operation: by, kind, node: node.to_owned(), end };
    run::drain_in_txn(txn, id, &drain).await?;
    let next = if end == DrainEnd::Stop { SessionState::Stopping } else { session.state };
    let (tenant, target) = (session.tenant, session.id.to_string());
    write_in_txn(txn, session, next, Some(drain.under_way()), None).await?;
    txn.audit(None, "session.drain", Some(tenant), target).await
}
