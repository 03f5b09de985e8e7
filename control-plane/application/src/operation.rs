//! Operations: what a person watches while Warren works.

use crate::{
    App, Page,
    error::{FindError, Noun, permit},
    tenant::{self, TenantRef},
    trace::note,
    wait::Waiter,
};
use domain::{Actor, Operation, OperationId, OperationKind, ReadOperation, Typical, Typicals};
use std::{collections::BTreeSet, time::Duration};
use store::Change;

/// So many of the latest operations of a kind say how long the next takes.
const MEASURED: u64 = 20;

/// One operation.
///
/// # Errors
/// If the caller may not see it.
pub async fn get(app: &App, actor: &Actor, id: OperationId) -> Result<Operation, FindError> {
    let missing = FindError::Missing(Noun::Operation);
    let operation = app.store.operation_get(id).await?.ok_or(missing)?;
    let scope = app.store.tenant_scope(operation.tenant).await?;
    permit::<ReadOperation>(actor, scope, Noun::Operation)?;
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

/// How long operations of these kinds take, by the latest that succeeded, of any tenant: that is no secret of theirs.
///
/// # Errors
/// If the record does not answer.
pub async fn typicals(
    app: &App,
    kinds: impl IntoIterator<Item = OperationKind>,
) -> Result<Typicals, FindError> {
    let mut typicals = Typicals::default();
    for kind in kinds.into_iter().collect::<BTreeSet<_>>() {
        let latest = app.store.operation_succeeded(kind, MEASURED).await?;
        typicals.insert(kind, Typical::of(&latest));
    }
    Ok(typicals)
}
