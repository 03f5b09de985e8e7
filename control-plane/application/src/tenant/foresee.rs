//! What a new tenant would get, before it is made.

use super::{CreateError, NewTenant, Wanted, maker};
use crate::{App, Draft, error::FindError, operation};
use domain::{Actor, Capacity, Measured, Needs, OperationKind, Plan, Requests};
use std::error::Error;

/// What making a tenant would come to.
#[derive(Debug, Clone)]
pub struct Foreseen {
    /// What it would get, for as many nodes as it would have.
    pub plan: Plan,
    /// How many nodes of its own it would have.
    pub nodes: u32,
    /// How much room there is for machines of its own; nothing if nobody could look. What a tenant's control plane
    /// needs on the nodes that everybody uses is not asked for: it is the same for all plans.
    pub capacity: Option<Capacity>,
    /// How long the latest tenants took to become ready.
    pub typical: Option<Measured>,
}

/// Checks what [`super::create`] would, and looks for room; nothing is changed.
///
/// # Errors
/// If the caller may not, a field breaks a rule, or the name is taken.
pub async fn foresee(
    app: &App,
    actor: &Actor,
    new: Draft<NewTenant>,
) -> Result<Foreseen, CreateError> {
    maker(app, actor, new.value.organisation.as_deref()).await?;
    let wanted = new.check(|new| new.check(app.makes_nodes)).map_err(CreateError::Invalid)?;
    let Wanted { name, plan, nodes } = wanted;
    if app.store.tenant_by_name(&name).await.map_err(FindError::from)?.is_some() {
        return Err(CreateError::NameTaken(name));
    }
    let needs = Needs { machines: nodes.into(), requests: Requests::default() };
    let capacity = if needs.is_nothing() {
        Some(Capacity::default())
    } else {
        let seen = app.access.capacity(plan).await.inspect_err(|error| {
            tracing::warn!(error = error as &dyn Error, "nobody could look for room");
        });
        seen.ok().map(|capacity| capacity.needing(&needs))
    };
    let kind = OperationKind::TenantCreate;
    let typical = operation::typicals(app, [kind]).await?.whole(kind);
    Ok(Foreseen { plan: Plan::with_nodes(plan, nodes), nodes, capacity, typical })
}
