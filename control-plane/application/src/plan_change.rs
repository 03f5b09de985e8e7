//! A tenant moves to another plan: foreseen, begun, looked at, halted, taken back.

use crate::{
    App, Draft, Page,
    access::AccessError,
    error::{FindError, Noun},
    tenant::{self, TenantRef},
    trace::note,
};
use domain::{
    Actor, Capacity, ChangePlan, Digest, Invalid, Isolation, Measured, Operation, OperationId,
    Permission, PlanChange, PlanName, PlanPreview, PreviewPlan, Problem, ReadTenant, Role,
    SessionsDuringMove, Subscription, Tenant, allows, blockers,
};
use sha2::{Digest as _, Sha256};
use store::{PlanChangeError, StoreError};

/// From how many of the newest changes it is told how long an API server was away.
const MEASURED: u64 = 50;

/// What a caller sends to change a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPlanChange {
    /// The name of the plan.
    pub plan: String,
    /// How many nodes of its own; one if a plan with such nodes says nothing.
    pub nodes: Option<u32>,
    /// What becomes of sessions: the word; `wait` if nothing is said.
    pub sessions: Option<String>,
    /// The preview that the caller has seen, by its digest: begun only if another look promises the same.
    pub preview: Option<String>,
}

/// Who may begin a change that somebody foresees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Whoever is one of these.
    pub may_begin: Vec<Role>,
    /// Why whoever asks may not; nothing if they may.
    pub reason: Option<String>,
}

impl Approval {
    /// Of the policy table.
    #[must_use]
    pub fn needed_by(role: Role) -> Self {
        let may = |role: &Role| allows(*role, Permission::PlanChange);
        let may_begin: Vec<Role> = Role::ALL.into_iter().filter(may).collect();
        let reason = (!may_begin.contains(&role)).then(|| {
            let others: Vec<&str> = may_begin.iter().map(|role| role.as_str()).collect();
            format!(
                "the role {} may see what a change would do; an {} must begin it",
                role.as_str(),
                others.join(" or ")
            )
        });
        Self { may_begin, reason }
    }
}

/// The same, checked.
struct Wish {
    to: Subscription,
    sessions: SessionsDuringMove,
    seen: Option<Digest>,
}

/// Names a preview by what it promises.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "numbers and texts can be written as JSON")]
pub fn digest(preview: &PlanPreview) -> Digest {
    let promise = serde_json::to_vec(&preview.promise()).expect("its keys are text");
    Digest::of_sha256(Sha256::digest(&promise).into())
}

/// Why a plan was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Not found or not allowed.
    #[error(transparent)]
    Find(#[from] FindError),
    /// Fields break rules.
    #[error("{0}")]
    Invalid(Invalid),
    /// The tenant is on its way out.
    #[error("the tenant is being deleted")]
    Deleting,
    /// The tenant was never ready.
    #[error("the tenant is still being made")]
    NotReady,
    /// Something else is being done about the tenant.
    #[error("operation {} is not over", .0.id)]
    Busy(Box<Operation>),
    /// Something is in the way; the preview says what.
    #[error("{} things are in the way", .0.blockers.len())]
    Blocked(Box<PlanPreview>),
    /// The tenant changed while it was looked at.
    #[error("the tenant changed meanwhile")]
    Outdated,
    /// There is no way back any more.
    #[error("the change is past its point of no return")]
    Committed,
    /// The change is over.
    #[error("the change is over")]
    Over,
    /// The tenant's cluster did not answer.
    #[error("look at the tenant's cluster")]
    Access(#[from] AccessError),
}

/// Says what a change of plan would do, without doing it, and who may begin it.
///
/// # Errors
/// If the caller may not, a field breaks a rule, or the tenant's cluster does not answer.
pub async fn preview(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    new: Draft<NewPlanChange>,
) -> Result<(PlanPreview, Approval), ChangeError> {
    let (tenant, _) = tenant::find::<PreviewPlan>(app, actor, tenant).await?;
    let Wish { to, .. } = checked(app, &tenant, new)?;
    Ok((foresee(app, &tenant, to).await?, Approval::needed_by(actor.role)))
}

/// Begins to change a tenant's plan, after another look at what that would do.
///
/// # Errors
/// If the caller may not, a field breaks a rule, something is in the way or being done, or the tenant's cluster does
/// not answer.
pub async fn begin(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    new: Draft<NewPlanChange>,
) -> Result<(PlanChange, Operation), ChangeError> {
    let (tenant, proof) = tenant::find::<ChangePlan>(app, actor, tenant).await?;
    let Wish { to, sessions, seen } = checked(app, &tenant, new)?;
    if let Some(open) = app.store.operation_open(tenant.id).await.map_err(FindError::from)? {
        return Err(ChangeError::Busy(Box::new(open)));
    }
    let preview = foresee(app, &tenant, to).await?;
    if seen.is_some_and(|seen| seen != digest(&preview)) {
        return Err(ChangeError::Outdated);
    }
    if !preview.blockers.is_empty() {
        return Err(ChangeError::Blocked(Box::new(preview)));
    }
    let begun = app.store.plan_change_begin(&proof, tenant.id, &preview, sessions).await;
    let (change, operation) = begun.map_err(|error| match error {
        PlanChangeError::Busy(operation) => ChangeError::Busy(operation),
        PlanChangeError::Deleting => ChangeError::Deleting,
        PlanChangeError::Outdated => ChangeError::Outdated,
        PlanChangeError::Store(error) => FindError::of_write(error, Noun::Tenant).into(),
    })?;
    note("operation.id", operation.id);
    Ok((change, operation))
}

/// One change of plan, with its operation.
///
/// # Errors
/// If the caller may not see it.
pub async fn get(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    id: OperationId,
) -> Result<(PlanChange, Operation), FindError> {
    let (tenant, _) = tenant::find::<ReadTenant>(app, actor, tenant).await?;
    read(app, &tenant, id).await
}

/// The changes of a tenant's plan, newest first.
///
/// # Errors
/// If the caller may not see them.
pub async fn list(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    after: Option<OperationId>,
    limit: u64,
) -> Result<Page<PlanChange, OperationId>, FindError> {
    let (tenant, _) = tenant::find::<ReadTenant>(app, actor, tenant).await?;
    let changes = app.store.plan_change_list(tenant.id, after, limit + 1).await?;
    Ok(Page::cut(changes, limit, |change| change.operation))
}

/// Asks for a change to be taken back: the tenant ends in exactly the plan that it had.
///
/// # Errors
/// If the caller may not, or the change is over or past its point of no return.
pub async fn cancel(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    id: OperationId,
) -> Result<(PlanChange, Operation), ChangeError> {
    let (tenant, proof) = tenant::find::<ChangePlan>(app, actor, tenant).await?;
    app.store.plan_change_cancel(&proof, id).await.map_err(refused)?;
    Ok(read(app, &tenant, id).await?)
}

/// Halts a change before its next wave, or lets it go on.
///
/// # Errors
/// If the caller may not, or the change is over.
pub async fn pause(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    id: OperationId,
    is_paused: bool,
) -> Result<(PlanChange, Operation), ChangeError> {
    let (tenant, proof) = tenant::find::<ChangePlan>(app, actor, tenant).await?;
    app.store.plan_change_pause(&proof, id, is_paused).await.map_err(refused)?;
    Ok(read(app, &tenant, id).await?)
}

fn refused(error: StoreError) -> ChangeError {
    match error {
        StoreError::Stale => ChangeError::Over,
        StoreError::Refused(_) => ChangeError::Committed,
        error @ (StoreError::Database(_)
        | StoreError::NotFound
        | StoreError::Ended
        | StoreError::TakenOver
        | StoreError::Corrupt { .. }
        | StoreError::Secret { .. }) => FindError::of_write(error, Noun::PlanChange).into(),
    }
}

async fn read(
    app: &App,
    tenant: &Tenant,
    id: OperationId,
) -> Result<(PlanChange, Operation), FindError> {
    let missing = || FindError::Missing(Noun::PlanChange);
    let change = app.store.plan_change_get(id).await?;
    let change = change.filter(|change| change.tenant == tenant.id).ok_or_else(missing)?;
    let operation = app.store.operation_get(id).await?.ok_or_else(missing)?;
    note("operation.id", id);
    Ok((change, operation))
}

fn checked(app: &App, tenant: &Tenant, new: Draft<NewPlanChange>) -> Result<Wish, ChangeError> {
    if tenant.deletion_requested_at.is_some() {
        return Err(ChangeError::Deleting);
    }
    let from = tenant.subscription();
    let checked = new.check(|new| new.check(from, app.makes_nodes));
    let wish = checked.map_err(ChangeError::Invalid)?;
    if tenant.was_ready { Ok(wish) } else { Err(ChangeError::NotReady) }
}

async fn foresee(app: &App, tenant: &Tenant, to: Subscription) -> Result<PlanPreview, ChangeError> {
    let from = tenant.subscription();
    let survey = app.access.survey(tenant.id, to).await?;
    let nodes = app.store.node_of_tenant(tenant.id).await.map_err(FindError::from)?;
    let staying = nodes.iter().filter(|node| node.release_requested_at.is_none());
    let has = staying.filter(|node| Some(node.shape) == to.plan.node_shape()).count();
    let has = u32::try_from(has).unwrap_or(u32::MAX);
    let sessions = app.store.session_active(tenant.id).await.map_err(FindError::from)?;
    let is_in_the_way = !survey.sessions.is_empty();
    let price = |of: Subscription| i64::try_from(of.plan().price).unwrap_or(i64::MAX);
    let machines_made = to.nodes.saturating_sub(has);
    let mut in_the_way = blockers(to, tenant.usage.as_ref(), &survey);
    let capacity = room(app, tenant, to, machines_made, &mut in_the_way).await;
    let away = app.store.plan_change_away(MEASURED).await.map_err(FindError::from)?;
    Ok(PlanPreview {
        from,
        to,
        price_delta: price(to).saturating_sub(price(from)),
        machines_made,
        machines_freed: freed(from, to),
        restarts: from.isolation() != to.isolation(),
        api_away: measured(away),
        sessions: if is_in_the_way {
            sessions.iter().map(|session| session.id).collect()
        } else {
            Vec::new()
        },
        blockers: in_the_way,
        capacity,
        survey,
    })
}

/// How much room there is; that there is none, or that nobody could look, is in the way.
async fn room(
    app: &App,
    tenant: &Tenant,
    to: Subscription,
    machines: u32,
    in_the_way: &mut Vec<Problem>,
) -> Capacity {
    match app.access.capacity(tenant.id, to, machines).await {
        Ok(capacity) => {
            in_the_way.extend(capacity.blocker());
            capacity
        }
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "nobody could look for room");
            let (who, hint) = match to.isolation() {
                Isolation::Dedicated => (
                    "Proxmox VE",
                    "try again in a moment; an operator asks `warren doctor proxmox` what is wrong",
                ),
                Isolation::Shared => (
                    "the host cluster",
                    "try again in a moment; an operator asks `warren doctor` what is wrong",
                ),
            };
            in_the_way.push(Problem {
                code: "capacity-unknown".to_owned(),
                detail: format!("{who} does not say how much room there is"),
                hint: hint.to_owned(),
            });
            Capacity::default()
        }
    }
}

fn freed(from: Subscription, to: Subscription) -> u32 {
    let is_same = from.plan.node_shape() == to.plan.node_shape();
    if from.isolation() == Isolation::Dedicated && is_same {
        from.nodes.saturating_sub(to.nodes)
    } else {
        from.nodes
    }
}

fn measured(mut times: Vec<u32>) -> Option<Measured> {
    times.sort_unstable();
    let (median_ms, longest_ms) = (*times.get(times.len() / 2)?, *times.last()?);
    Some(Measured { median_ms, longest_ms, count: u32::try_from(times.len()).unwrap_or(u32::MAX) })
}

impl NewPlanChange {
    fn check(self, from: Subscription, makes_nodes: bool) -> Result<Wish, Invalid> {
        let plan = PlanName::parse("/plan", &self.plan);
        let nodes = match &plan {
            Ok(plan) => tenant::check_nodes(*plan, self.nodes, makes_nodes),
            Err(_) => Ok(0),
        };
        let sessions = self.sessions.as_deref().map_or(Ok(SessionsDuringMove::Wait), |word| {
            let found = SessionsDuringMove::ALL.into_iter().find(|known| known.as_str() == word);
            found.ok_or_else(|| Invalid::field("/sessions", word, "one of: wait, stop"))
        });
        let seen = self.preview.as_deref().map(|text| {
            let rule = "the id of a preview: sha256: and 64 hexadecimal digits";
            text.parse().map_err(|_| Invalid::field("/preview", text, rule))
        });
        match (plan, nodes, sessions, seen.transpose()) {
            (Ok(plan), Ok(nodes), Ok(sessions), Ok(seen)) => {
                let to = Subscription { plan, nodes };
                if to == from {
                    let rule = "another plan, or another number of nodes, than the tenant has";
                    return Err(Invalid::field("/plan", plan, rule));
                }
                Ok(Wish { to, sessions, seen })
            }
            (plan, nodes, sessions, seen) => {
                let fields = [plan.err(), nodes.err(), sessions.err(), seen.err()];
                let fields = fields.into_iter().flatten();
                Err(Invalid { fields: fields.flat_map(|invalid| invalid.fields).collect() })
            }
        }
    }
}
