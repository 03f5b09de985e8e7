//! What a batch would do, tenant by tenant and in sum.

use super::{BatchError, NewPlanBatch, wish};
use crate::{
    App, Draft,
    error::{FindError, Noun, permit},
    plan_change::{self, ChangeError, Room},
};
use domain::{
    Actor, Capacity, ManagePlanBatch, Needs, PlanPreview, Problem, Scope, SessionsDuringMove,
    Tenant, TenantId, TenantName, VolumesDuringMove,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};

/// How many tenants are looked at at the same time.
const AT_ONCE: usize = 8;

/// What a batch would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanBatchPreview {
    /// Its tenants, in the order in which they would begin.
    pub lines: Vec<PlanBatchPreviewLine>,
    /// All of them together.
    pub sums: PlanBatchSums,
}

/// What it would do to one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanBatchPreviewLine {
    /// The tenant.
    pub tenant: TenantId,
    /// What it is called.
    pub name: TenantName,
    /// What its change would do, or why that cannot be said.
    pub outcome: Result<PlanPreview, Problem>,
}

/// What it would do to all of them. Price, machines and room are of those that nothing is in the way of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlanBatchSums {
    /// How many tenants there are.
    pub tenants: u32,
    /// What a month would cost more, in hundredths of the installation's currency.
    pub price_delta: i64,
    /// Machines that would be made.
    pub machines_made: u32,
    /// Machines that would be destroyed.
    pub machines_freed: u32,
    /// How much room there is for all of them at the same time. What one of them gives back others may have, so too
    /// little of it is in nobody's way.
    pub capacity: Capacity,
    /// How many could not begin now.
    pub blocked: u32,
    /// What is in the way, by its code, and of how many.
    pub blockers: Vec<(String, u32)>,
}

/// Says what a batch would do, without making it.
///
/// # Errors
/// If the caller may not, a field breaks a rule, or the record does not answer.
pub async fn preview(
    app: &App,
    actor: &Actor,
    new: Draft<NewPlanBatch>,
) -> Result<PlanBatchPreview, BatchError> {
    permit::<ManagePlanBatch>(actor, Scope::Platform, Noun::Page)?;
    let (new, tenants) = wish::checked(app, new).await?;
    let room = Room::new(app, new.to);
    let looks = tenants.into_iter().map(|tenant| one(&room, tenant, new.sessions));
    let lines = stream::iter(looks).buffered(AT_ONCE);
    let lines: Vec<_> = lines.try_collect().await?;
    let mut sums = PlanBatchSums::default();
    let mut needs = Needs::default();
    for line in &lines {
        sums.add(&line.outcome);
        needs = needs + line.needs();
    }
    // That nobody could look is told of each of them.
    sums.capacity = room.holds(&needs).await.unwrap_or_default();
    Ok(PlanBatchPreview { lines, sums })
}

async fn one(
    room: &Room<'_>,
    tenant: Tenant,
    sessions: SessionsDuringMove,
) -> Result<PlanBatchPreviewLine, FindError> {
    let outcome = match plan_change::foresee(room, &tenant, sessions, VolumesDuringMove::Stop).await
    {
        Ok(preview) => match obstacle(room.app, &tenant).await? {
            None => Ok(preview),
            Some(error) => Err(plan_change::kept(&error)),
        },
        Err(ChangeError::Find(error)) => return Err(error),
        Err(error) => Err(plan_change::kept(&error)),
    };
    Ok(PlanBatchPreviewLine { tenant: tenant.id, name: tenant.name, outcome })
}

/// What keeps a change from beginning now that no preview tells.
async fn obstacle(app: &App, tenant: &Tenant) -> Result<Option<ChangeError>, FindError> {
    if !tenant.was_ready {
        return Ok(Some(ChangeError::NotReady));
    }
    let open = app.store.operation_open(tenant.id).await?;
    Ok(open.map(|open| ChangeError::Busy(Box::new(open))))
}

impl PlanBatchPreviewLine {
    /// What it needs, if it could begin.
    fn needs(&self) -> Needs {
        let preview = self.outcome.as_ref().ok().filter(|preview| preview.blockers.is_empty());
        preview.map(PlanPreview::needs).unwrap_or_default()
    }
}

impl PlanBatchSums {
    fn add(&mut self, outcome: &Result<PlanPreview, Problem>) {
        self.tenants += 1;
        let codes: Vec<&str> = match outcome {
            Ok(preview) => preview.blockers.iter().map(|blocker| blocker.code.as_str()).collect(),
            Err(problem) => vec![&problem.code],
        };
        match outcome {
            Ok(preview) if codes.is_empty() => {
                self.price_delta = self.price_delta.saturating_add(preview.price_delta);
                self.machines_made = self.machines_made.saturating_add(preview.machines_made);
                self.machines_freed = self.machines_freed.saturating_add(preview.machines_freed);
            }
            Ok(_) | Err(_) => self.blocked += 1,
        }
        for code in codes {
            match self.blockers.iter_mut().find(|(known, _)| known == code) {
                Some((_, count)) => *count += 1,
                None => self.blockers.push((code.to_owned(), 1)),
            }
        }
    }
}
