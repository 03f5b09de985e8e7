//! Tenants as whoever looks after them wants to see them.

use super::{TenantView, list};
use crate::{
    App, Page,
    error::{FindError, Noun, permit},
};
use domain::{Actor, ExplainTenant, Operation, Scope, Tenant, TenantId};
use futures::future::try_join_all;

/// What somebody should look at.
#[derive(Debug, Clone)]
pub struct Attention {
    /// Tenants that are not ready, with what is being done about them.
    pub unready: Vec<TenantView>,
    /// Tenants whose latest operation failed, newest failure first.
    pub failed: Vec<(Tenant, Operation)>,
}

/// The tenants that the caller may see, as [`list`], each with the operation that is changing it.
///
/// # Errors
/// If the record does not answer.
pub async fn views(
    app: &App,
    actor: &Actor,
    after: Option<TenantId>,
    limit: u64,
) -> Result<Page<TenantView, TenantId>, FindError> {
    let page = list(app, actor, after, limit).await?;
    let items = try_join_all(page.items.into_iter().map(|tenant| with_operation(app, tenant)));
    Ok(Page { items: items.await?, next: page.next })
}

/// What of the platform needs a look, at most `limit` of each.
///
/// # Errors
/// If the caller does not run the platform.
pub async fn attention(app: &App, actor: &Actor, limit: u64) -> Result<Attention, FindError> {
    permit::<ExplainTenant>(actor, Scope::Platform, Noun::Page)?;
    let unready = app.store.tenant_unready(limit).await?;
    let unready = try_join_all(unready.into_iter().map(|tenant| with_operation(app, tenant)));
    let mut failed = Vec::new();
    for operation in app.store.operation_failed(limit).await? {
        // What was tried again since is not news, and a tenant that is gone needs nothing.
        let latest = app.store.operation_list(operation.tenant, None, 1).await?;
        if latest.first().is_some_and(|latest| latest.id == operation.id)
            && let Some(tenant) = app.store.tenant_get(operation.tenant).await?
        {
            failed.push((tenant, operation));
        }
    }
    Ok(Attention { unready: unready.await?, failed })
}

async fn with_operation(app: &App, tenant: Tenant) -> Result<TenantView, FindError> {
    let operation = app.store.operation_open(tenant.id).await?;
    Ok(TenantView { tenant, operation })
}
