//! Operations: what a person watches while Warren works.

use crate::{
    App, Page,
    error::{FindError, Noun, permit},
    tenant::{self, TenantRef},
    trace::note,
    wait::Waiter,
};
use domain::{Actor, Operation, OperationId, ReadOperation, Scope};
use std::time::Duration;
use store::Change;

/// One operation.
///
/// # Errors
/// If the caller may not see it.
pub async fn get(app: &App, actor: &Actor, id: OperationId) -> Result<Operation, FindError> {
    let missing = FindError::Missing(Noun::Operation);
    let operation = app.store.operation_get(id).await?.ok_or(missing)?;
    permit::<ReadOperation>(actor, Scope::Tenant(operation.tenant), Noun::Operation)?;
    note("tenant.id", operation.tenant);
    note("operation.id", operation.id);
    Ok(operation)
}

/// Waits until an operation is over, at most for `time`.
///
/// # Errors
/// If the caller may not see it.
pub async fn wait(
    app: &App,
    actor: &Actor,
    id: OperationId,
    time: Duration,
) -> Result<Operation, FindError> {
    let mut waiter = Waiter::new(app, time);
    let is_ours = |change| change == Change::Operation(id);
    loop {
        let operation = get(app, actor, id).await?;
        if operation.state.is_final() || !waiter.is_worth_a_look(is_ours).await {
            return Ok(operation);
        }
    }
}

/// The operations of a tenant.
///
/// # Errors
/// If the caller may not see them.
pub async fn list(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    after: Option<OperationId>,
    limit: u64,
) -> Result<Page<Operation, OperationId>, FindError> {
    let (tenant, _) = tenant::find::<ReadOperation>(app, actor, tenant).await?;
    let operations = app.store.operation_list(tenant.id, after, limit + 1).await?;
    Ok(Page::cut(operations, limit, |operation| operation.id))
}
