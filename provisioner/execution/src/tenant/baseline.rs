//! The objects inside a tenant's own cluster.

use super::{Memory, ReconcileError, close_gap, observe, settle};
use crate::{Context, api_server::ApiServer, desired};
use domain::Tenant;

/// Looks at the objects inside the tenant and puts right what is not as it should be. Whether it is
/// done: if not, it has to be looked at again.
pub(super) async fn ensure(
    cx: &Context,
    record: &Tenant,
    memory: &mut Memory,
) -> Result<bool, ReconcileError> {
    memory.baseline = None;
    let client = cx.tenants.client(record.id).await;
    let client = client.map_err(|error| ReconcileError::of_reach(record, error))?;
    let server = ApiServer::tenant(client);
    let desired = desired::baseline(cx);
    let wanted = desired.iter().map(|object| object.key.clone()).collect();
    let observed = observe::keys(&server, wanted).await?;
    let applied = close_gap(&server, &desired, &observed).await;
    let is_done = settle(applied, &desired, &observed)?;
    if is_done {
        memory.baseline = Some(record.generation);
    }
    Ok(is_done)
}
