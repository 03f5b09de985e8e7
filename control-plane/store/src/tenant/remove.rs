use super::update_in_txn;
use crate::{
    Store, StoreError,
    entity::{tenants, tokens},
    operation, session,
    txn::{Txn, in_txn},
};
use domain::{Operation, OperationKind, Problem, Step, TenantId};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect, Set};

impl Store {
    /// Notes that a tenant is gone from the world: its name is free, its keys and tokens are
    /// erased, sessions that were not over end. `remaining` lists what a force-clean left behind.
    /// Returns the delete operation, which is over; repeating it changes nothing.
    ///
    /// # Errors
    /// `Refused` if no deletion was asked for, or something remains without force-clean; `NotFound`
    /// if there never was such a tenant; or if the database fails.
    #[tracing::instrument(name = "db.tenant.remove", skip_all)]
    pub async fn tenant_remove(
        &self,
        id: TenantId,
        steps: Vec<Step>,
        remaining: Option<Problem>,
    ) -> Result<Operation, StoreError> {
        in_txn!(self, |txn| remove_in_txn(&mut txn, id, &steps, remaining.as_ref()))
    }
}

async fn remove_in_txn(
    txn: &mut Txn,
    id: TenantId,
    steps: &[Step],
    remaining: Option<&Problem>,
) -> Result<Operation, StoreError> {
    let select = tenants::Entity::find_by_id(id.uuid()).lock_exclusive();
    let row = select.one(&txn.db).await?.ok_or(StoreError::NotFound)?;
    if row.deleted_at.is_some() {
        let operation = operation::newest(&txn.db, id, OperationKind::TenantDelete).await?;
        return operation.ok_or(StoreError::NotFound);
    }
    if row.deletion_requested_at.is_none() {
        return Err(StoreError::Refused("nobody asked for the tenant's deletion"));
    }
    if remaining.is_some() && !row.is_force_clean {
        return Err(StoreError::Refused("only a force-clean may leave something behind"));
    }
    let open = operation::open_row(&txn.db, id).await?.ok_or(StoreError::NotFound)?;
    let operation = Operation::try_from(open)?;
    let operation =
        operation::end_in_txn(txn, operation, Some(steps.to_vec()), remaining.cloned()).await?;
    session::end_all_in_txn(txn, id).await?;
    tokens::Entity::delete_many()
        .filter(tokens::Column::Tenant.eq(id.uuid()))
        .exec(&txn.db)
        .await?;
    let change = tenants::ActiveModel {
        keys: Set(None),
        keys_key: Set(None),
        deleted_at: Set(Some(txn.at())),
        ..Default::default()
    };
    update_in_txn(txn, &row, change).await?;
    txn.audit(None, "tenant.remove", Some(id), id.to_string()).await?;
    Ok(operation)
}
