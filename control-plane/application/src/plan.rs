//! Plans: what can be bought.

use crate::error::{FindError, Noun, permit};
use domain::{Actor, ListTenants, Plan, PlanName, Scope};

/// Every plan, smallest first. Whoever may list tenants may see what they can be.
///
/// # Errors
/// If the caller may not.
pub fn list(actor: &Actor) -> Result<Vec<Plan>, FindError> {
    permit::<ListTenants>(actor, Scope::Platform, Noun::Page)?;
    Ok(PlanName::ALL.into_iter().map(Plan::current).collect())
}
