//! What a caller wants of a batch, checked: every field and every tenant that breaks a rule is named at once.

use super::{BatchError, NewPlanBatch};
use crate::{
    App, Draft,
    error::FindError,
    plan_change::{all_wrong, check_nodes_of, check_sessions, check_start},
    tenant::TenantRef,
};
use domain::{Invalid, PlanName, Subscription, Tenant};
use jiff::Timestamp;

/// The most tenants of one batch.
const MOST_TENANTS: usize = 500;
/// The most changes of one batch that may be under way at the same time.
const MOST_PARALLEL: u32 = 20;
/// As many if nothing is said.
const PARALLEL: u32 = 2;
/// The longest name of a batch, in characters.
const LONGEST_NAME: usize = 100;
/// How many tenants are read at once.
const PAGE: u64 = 200;

/// A tenant that was found, by the field that names it.
type Named = (String, Tenant);

/// What was found of what a caller named.
struct Found {
    listed: Vec<Named>,
    selected: Vec<Tenant>,
    invalid: Invalid,
}

/// The batch as it will be, with its tenants.
pub(super) async fn checked(
    app: &App,
    new: Draft<NewPlanBatch>,
) -> Result<(store::NewPlanBatch, Vec<Tenant>), BatchError> {
    let found = find(app, &new.value).await?;
    let (now, makes_nodes) = (app.clock.now(), app.makes_nodes);
    new.check(|new| new.check(found, makes_nodes, now)).map_err(BatchError::Invalid)
}

async fn find(app: &App, new: &NewPlanBatch) -> Result<Found, FindError> {
    let mut found = Found { listed: Vec::new(), selected: Vec::new(), invalid: Invalid::default() };
    let listed = new.tenants.as_deref().unwrap_or_default();
    if listed.len() <= MOST_TENANTS {
        for (index, text) in listed.iter().enumerate() {
            found.list(app, format!("/tenants/{index}"), text).await?;
        }
    } else {
        let rule = format!("at most {MOST_TENANTS} tenants");
        found.invalid.add("/tenants", listed.len(), rule);
    }
    match new.selected_plan.as_deref().map(|plan| PlanName::parse("/selector/plan", plan)) {
        None => {
            if listed.is_empty() {
                let rule = "at least one tenant, or a selector";
                found.invalid.add("/tenants", "", rule);
            }
        }
        Some(Ok(plan)) => found.select(app, plan).await?,
        Some(Err(invalid)) => found.invalid.fields.extend(invalid.fields),
    }
    Ok(found)
}

impl Found {
    async fn list(&mut self, app: &App, field: String, text: &str) -> Result<(), FindError> {
        let Ok(reference) = text.parse::<TenantRef>() else {
            let rule = "a tenant's name, or its id: tn_ and 32 hexadecimal digits";
            self.invalid.add(&field, text, rule);
            return Ok(());
        };
        let tenant = match reference {
            TenantRef::Id(id) => app.store.tenant_get(id).await?,
            TenantRef::Name(name) => app.store.tenant_by_name(&name).await?,
        };
        let Some(tenant) = tenant else {
            self.invalid.add(&field, text, "a tenant that there is");
            return Ok(());
        };
        if let Some((first, _)) = self.listed.iter().find(|(_, known)| known.id == tenant.id) {
            self.invalid.add(&field, text, format!("each tenant once: {first} is the same"));
        } else if tenant.deletion_requested_at.is_some() {
            self.invalid.add(&field, text, "a tenant that is not being deleted");
        } else {
            self.listed.push((field, tenant));
        }
        Ok(())
    }

    /// Adds everybody who pays for a plan and was not listed.
    async fn select(&mut self, app: &App, plan: PlanName) -> Result<(), FindError> {
        let mut after = None;
        loop {
            let page = app.store.tenant_list(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            let wanted = page.into_iter().filter(|tenant| {
                tenant.plan == plan
                    && tenant.deletion_requested_at.is_none()
                    && self.listed.iter().all(|(_, known)| known.id != tenant.id)
            });
            self.selected.extend(wanted);
        }
    }

    /// All that are to move to `to`, or what is wrong with that.
    fn moving(mut self, to: Subscription, plan: Option<&str>) -> Result<Vec<Tenant>, Invalid> {
        for (field, tenant) in &self.listed {
            if tenant.subscription() == to {
                let rule = "a tenant that does not pay for just this already";
                self.invalid.add(field, &tenant.name, rule);
            }
        }
        self.selected.retain(|tenant| tenant.subscription() != to);
        let listed = self.listed.into_iter().map(|(_, tenant)| tenant);
        let moving: Vec<_> = listed.chain(self.selected).collect();
        let plan = plan.unwrap_or_default();
        if moving.len() > MOST_TENANTS {
            let rule = format!("at most {MOST_TENANTS} tenants in all; these are {}", moving.len());
            self.invalid.add("/selector/plan", plan, rule);
        }
        if moving.is_empty() && self.invalid.fields.is_empty() {
            self.invalid.add("/selector/plan", plan, "a plan that tenants have who would move");
        }
        self.invalid.into_result().map(|()| moving)
    }
}

fn check_name(name: Option<String>) -> Result<Option<String>, Invalid> {
    let Some(name) = name else { return Ok(None) };
    let is_line = !name.chars().any(char::is_control) && !name.trim().is_empty();
    if is_line && name.chars().count() <= LONGEST_NAME {
        return Ok(Some(name));
    }
    let rule = format!("1 to {LONGEST_NAME} characters in one line");
    Err(Invalid::field("/name", name, rule))
}

fn check_parallel(count: Option<u32>) -> Result<u32, Invalid> {
    match count.unwrap_or(PARALLEL) {
        count @ 1..=MOST_PARALLEL => Ok(count),
        count => Err(Invalid::field("/maxParallel", count, format!("from 1 to {MOST_PARALLEL}"))),
    }
}

impl NewPlanBatch {
    fn check(
        self,
        found: Found,
        makes_nodes: bool,
        now: Timestamp,
    ) -> Result<(store::NewPlanBatch, Vec<Tenant>), Invalid> {
        let name = check_name(self.name);
        let to = check_nodes_of(&self.plan, self.nodes, makes_nodes);
        let tenants = match &to {
            Ok(to) => found.moving(*to, self.selected_plan.as_deref()),
            Err(_) => found.invalid.into_result().map(|()| Vec::new()),
        };
        let sessions = check_sessions(self.sessions.as_deref());
        let parallel = check_parallel(self.max_parallel);
        let start_at = check_start(self.start_at.as_deref(), now);
        match (name, tenants, to, sessions, parallel, start_at) {
            (Ok(name), Ok(tenants), Ok(to), Ok(sessions), Ok(max_parallel), Ok(start_at)) => {
                let new = store::NewPlanBatch {
                    name,
                    tenants: tenants.iter().map(|tenant| tenant.id).collect(),
                    to,
                    sessions,
                    preview: None,
                    max_parallel,
                    stop_on_failure: self.stop_on_failure.unwrap_or(true),
                    start_at,
                };
                Ok((new, tenants))
            }
            (name, tenants, to, sessions, parallel, start_at) => Err(all_wrong([
                name.err(),
                tenants.err(),
                to.err(),
                sessions.err(),
                parallel.err(),
                start_at.err(),
            ])),
        }
    }
}
