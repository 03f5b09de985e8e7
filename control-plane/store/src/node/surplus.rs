use super::{of_tenant, release_in_txn};
use crate::{
    Store, StoreError,
    tenant::existing_for_update,
    txn::{Txn, in_txn},
};
use domain::{NodeShape, NodeState, Tenant, TenantId};

impl Store {
    /// Begins to release the nodes that a tenant does not pay for, and tells their number: those that are still being
    /// made first, then those that are off, then the newest.
    ///
    /// # Errors
    /// `NotFound` if there is no such tenant, or if the database fails.
    #[tracing::instrument(name = "db.node.release_surplus", skip_all)]
    pub async fn node_release_surplus(&self, tenant: TenantId) -> Result<usize, StoreError> {
        in_txn!(self, |txn| release_surplus_in_txn(&mut txn, tenant))
    }
}

async fn release_surplus_in_txn(txn: &mut Txn, id: TenantId) -> Result<usize, StoreError> {
    let tenant = Tenant::try_from(existing_for_update(&txn.db, id).await?)?;
    let mut staying = of_tenant(&txn.db, id).await?;
    staying.retain(|node| node.release_requested_at.is_none());
    // What is not ready yet goes first, then what is off, then what came last.
    staying.sort_by_key(|node| {
        let state = node.state();
        let (is_ready, is_off) = (state != NodeState::Attaching, state.is_off_on_purpose());
        (is_ready, !is_off, std::cmp::Reverse(node.id))
    });
    let mut released = 0;
    for shape in NodeShape::ALL {
        let of_shape: Vec<_> = staying.iter().filter(|node| node.shape == shape).collect();
        let wanted = usize::try_from(tenant.nodes_of(shape)).unwrap_or(usize::MAX);
        for node in of_shape.iter().take(of_shape.len().saturating_sub(wanted)) {
            release_in_txn(txn, node.id).await?;
            released += 1;
        }
    }
    Ok(released)
}
