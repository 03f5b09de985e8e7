use super::observe;
use crate::{Context, KeysError, api_server::ApiServer, desired};
use domain::{ConditionKind, TenantId};
use planning::{Change, diff, part_damage};
use std::error::Error;
use store::StoreError;

/// Why it could not be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// There is no such tenant.
    #[error("there is no such tenant")]
    NotFound,
    /// The record could not be read.
    #[error("read the record")]
    Store(#[source] StoreError),
    /// The tenant's keys are not at hand.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The host or the tenant's API server did not answer.
    #[error("look at the host and at the tenant's cluster")]
    Look(#[source] Box<dyn Error + Send + Sync>),
}

/// The changes that a reconcile of `tenant` would make, on the host first and then inside the tenant.
/// Makes none of them.
///
/// # Errors
/// If the tenant does not exist, or somebody who has to be asked does not answer.
pub async fn explain(cx: &Context, tenant: TenantId) -> Result<Vec<Change>, ExplainError> {
    let record = cx.store.tenant_get(tenant).await.map_err(ExplainError::Store)?;
    let record = record.ok_or(ExplainError::NotFound)?;
    if record.deletion_requested_at.is_some() {
        // A removal makes nothing; its operation says what it waits for.
        return Ok(Vec::new());
    }
    if !record.was_ready && cx.settings.now().lacks_user_namespaces(&desired::spec(&record).plan) {
        // Nothing is made of it; its conditions say why.
        return Ok(Vec::new());
    }
    let look = |error: Box<dyn Error + Send + Sync>| ExplainError::Look(error);

    let host = ApiServer::host(cx.host.client());
    let desired = desired::host(cx, &record).await?;
    let namespace = record.cluster.host_namespace();
    let wanted = desired.iter().map(|object| object.key.clone());
    let observed = observe::everything(&host, &namespace, record.cluster.as_str(), wanted)
        .await
        .map_err(|error| look(Box::new(error)))?;
    let (mut changes, damage) = part_damage(diff(&desired, &observed));
    changes.extend(damage);

    // What is inside can only be looked at once there is an inside.
    if record.conditions.is_true(ConditionKind::ControlPlaneReady) {
        let client = cx.tenants.client(tenant).await.map_err(|error| look(Box::new(error)))?;
        let inside = desired::baseline(cx);
        let wanted = inside.iter().map(|object| object.key.clone()).collect();
        let observed = observe::keys(&ApiServer::tenant(client), wanted)
            .await
            .map_err(|error| look(Box::new(error)))?;
        changes.extend(diff(&inside, &observed));
    }
    Ok(changes)
}
