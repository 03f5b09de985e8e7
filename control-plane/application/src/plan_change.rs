//! A tenant moves to another plan: foreseen, begun, looked at, halted, taken back.

mod foresee;
mod refusal;
mod room;
mod wish;

pub use foresee::digest;
pub(crate) use foresee::{foresee, look};
pub(crate) use refusal::{from_store, kept};
pub(crate) use room::{Room, is_only_unknown};
pub(crate) use wish::{all_wrong, check_nodes_of, check_sessions, check_start, checked};

use crate::{
    App, Draft, Page,
    access::AccessError,
    error::{FindError, Noun},
    tenant::{self, TenantRef},
    trace::note,
};
use domain::{
    Actor, Authorized, ChangePlan, Invalid, Operation, OperationId, Permission, PlanBatch,
    PlanBatchLine, PlanChange, PlanPreview, PreviewPlan, ReadTenant, Role, Subscription, Tenant,
    allows,
};

use jiff::Timestamp;
use store::{NewPlanBatch, PlanBatchError, StoreError};
use wish::Wish;

/// What a caller sends to change a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPlanChange {
    /// The name of the plan.
    pub plan: String,
    /// How many nodes of its own; one if a plan with such nodes says nothing.
    pub nodes: Option<u32>,
    /// What becomes of sessions: the word; each says it itself if nothing is said.
    pub sessions: Option<String>,
    /// What becomes of volumes on the disks of nodes that are left: the word; they are in the way if nothing is said.
    pub volumes: Option<String>,
    /// The preview that the caller has seen, by its digest: begun only if another look promises the same.
    pub preview: Option<String>,
    /// When it begins, in RFC 3339; at once if nothing is said.
    pub start_at: Option<String>,
}

/// A change of plan as its tenant sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanChangeView {
    /// It was begun.
    Begun {
        /// The change.
        change: Box<PlanChange>,
        /// Its operation; not in lists.
        operation: Option<Box<Operation>>,
    },
    /// It waits for its time or its turn, or ended without having begun.
    Planned {
        /// The batch that it belongs to; the tenant's own if its people planned it.
        batch: Box<PlanBatch>,
        /// What is known of it.
        line: Box<PlanBatchLine>,
        /// What the tenant pays for now.
        from: Subscription,
    },
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
    /// A change of the tenant's plan waits already.
    #[error("change {} of the tenant waits", .line.operation)]
    Waiting {
        /// The one that waits.
        line: Box<PlanBatchLine>,
        /// When it begins, if that is not when its turn comes.
        start_at: Option<Timestamp>,
    },
    /// It was not begun, so it cannot be halted.
    #[error("the change has not begun")]
    NotBegun,
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
    let (tenant, proof) = tenant::find::<PreviewPlan>(app, actor, tenant).await?;
    let Wish { to, sessions, volumes, .. } = checked(app, &tenant, new)?;
    let preview = foresee(&Room::new(app, to), &tenant, sessions, volumes).await?;
    Ok((preview, Approval::needed_by(proof.actor().role)))
}

/// Begins to change a tenant's plan, after another look at what that would do; or plans that for later.
///
/// # Errors
/// If the caller may not, a field breaks a rule, something is in the way or being done, one waits already, or the
/// tenant's cluster does not answer.
pub async fn begin(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    new: Draft<NewPlanChange>,
) -> Result<PlanChangeView, ChangeError> {
    let (tenant, proof) = tenant::find::<ChangePlan>(app, actor, tenant).await?;
    let wish = checked(app, &tenant, new)?;
    if let Some(start_at) = wish.start_at {
        return plan(app, &proof, &tenant, wish, start_at).await;
    }
    let preview = look(app, &tenant, &wish).await?;
    let begun = app.store.plan_change_begin(&proof, tenant.id, &preview, wish.sessions).await;
    let (change, operation) = begun.map_err(from_store)?;
    note("operation.id", operation.id);
    Ok(PlanChangeView::Begun { change: Box::new(change), operation: Some(Box::new(operation)) })
}

/// Plans a change for later: a batch of one that is the tenant's. It holds nothing before it begins.
async fn plan(
    app: &App,
    proof: &Authorized<ChangePlan>,
    tenant: &Tenant,
    wish: Wish,
    start_at: Timestamp,
) -> Result<PlanChangeView, ChangeError> {
    let new = NewPlanBatch {
        name: None,
        tenants: vec![tenant.id],
        to: wish.to,
        sessions: wish.sessions,
        preview: wish.seen,
        max_parallel: 1,
        stop_on_failure: true,
        start_at: Some(start_at),
    };
    match app.store.plan_batch_plan(proof, tenant.id, &new).await {
        Ok((batch, line)) => {
            note("operation.id", line.operation);
            Ok(planned(tenant, batch, line))
        }
        Err(PlanBatchError::Waiting(lines)) => {
            let line = lines.into_iter().next().ok_or(ChangeError::Outdated)?;
            let known = app.store.plan_batch_line(line.operation).await.map_err(FindError::from)?;
            let start_at = known.and_then(|(batch, _)| batch.start_at);
            Err(ChangeError::Waiting { line: Box::new(line), start_at })
        }
        Err(PlanBatchError::IdempotencyMismatch | PlanBatchError::Over) => Err(ChangeError::Over),
        Err(PlanBatchError::Store(error)) => Err(FindError::of_write(error, Noun::Tenant).into()),
    }
}

/// One change of plan, with its operation if it has begun.
///
/// # Errors
/// If the caller may not see it.
pub async fn get(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    id: OperationId,
) -> Result<PlanChangeView, FindError> {
    let (tenant, _) = tenant::find::<ReadTenant>(app, actor, tenant).await?;
    read(app, &tenant, id).await
}

/// The changes of a tenant's plan, those that wait or never began among them, newest first.
///
/// # Errors
/// If the caller may not see them.
pub async fn list(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    after: Option<OperationId>,
    limit: u64,
) -> Result<Page<PlanChangeView, OperationId>, FindError> {
    let (tenant, _) = tenant::find::<ReadTenant>(app, actor, tenant).await?;
    // In this order: what begins between the two looks is seen twice rather than never.
    let unbegun = app.store.plan_batch_unbegun(tenant.id, after, limit + 1).await?;
    let begun = app.store.plan_change_list(tenant.id, after, limit + 1).await?;
    let begun = begun.into_iter();
    let mut views: Vec<_> = begun
        .map(|change| PlanChangeView::Begun { change: Box::new(change), operation: None })
        .chain(unbegun.into_iter().map(|(batch, line)| planned(&tenant, batch, line)))
        .collect();
    // Those that have begun come first among equals, and stay.
    views.sort_by_key(|view| std::cmp::Reverse(view.id()));
    views.dedup_by_key(|view| view.id());
    Ok(Page::cut(views, limit, PlanChangeView::id))
}

/// Asks for a change to be taken back: the tenant ends in exactly the plan that it had. One that waits is given up.
///
/// # Errors
/// If the caller may not, or the change is over or past its point of no return.
pub async fn cancel(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    id: OperationId,
) -> Result<PlanChangeView, ChangeError> {
    let (tenant, proof) = tenant::find::<ChangePlan>(app, actor, tenant).await?;
    if unbegun(app, &tenant, id).await?.is_some() {
        match app.store.plan_batch_give_up(&proof, id).await {
            Ok(()) => return Ok(read(app, &tenant, id).await?),
            Err(PlanBatchError::Store(error)) => {
                return Err(FindError::of_write(error, Noun::PlanChange).into());
            }
            // It has begun meanwhile, or is over.
            Err(_) if unbegun(app, &tenant, id).await?.is_some() => return Err(ChangeError::Over),
            Err(_) => {}
        }
    }
    app.store.plan_change_cancel(&proof, id).await.map_err(refused)?;
    Ok(read(app, &tenant, id).await?)
}

/// Halts a change before its next wave, or lets it go on.
///
/// # Errors
/// If the caller may not, or the change has not begun or is over.
pub async fn pause(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    id: OperationId,
    is_paused: bool,
) -> Result<PlanChangeView, ChangeError> {
    let (tenant, proof) = tenant::find::<ChangePlan>(app, actor, tenant).await?;
    if let Some((_, line)) = unbegun(app, &tenant, id).await? {
        let is_over = line.state.is_final();
        return Err(if is_over { ChangeError::Over } else { ChangeError::NotBegun });
    }
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

/// A change of this tenant that was not begun.
async fn unbegun(
    app: &App,
    tenant: &Tenant,
    id: OperationId,
) -> Result<Option<(PlanBatch, PlanBatchLine)>, FindError> {
    let found = app.store.plan_batch_line(id).await?;
    Ok(found.filter(|(_, line)| line.tenant == tenant.id && line.started_at.is_none()))
}

async fn read(app: &App, tenant: &Tenant, id: OperationId) -> Result<PlanChangeView, FindError> {
    note("operation.id", id);
    // In this order: it may begin between the two looks.
    let unbegun = unbegun(app, tenant, id).await?;
    let change = app.store.plan_change_get(id).await?;
    if let Some(change) = change.filter(|change| change.tenant == tenant.id) {
        let operation = app.store.operation_get(id).await?.map(Box::new);
        return Ok(PlanChangeView::Begun { change: Box::new(change), operation });
    }
    let (batch, line) = unbegun.ok_or(FindError::Missing(Noun::PlanChange))?;
    Ok(planned(tenant, batch, line))
}

fn planned(tenant: &Tenant, batch: PlanBatch, line: PlanBatchLine) -> PlanChangeView {
    let from = tenant.subscription();
    PlanChangeView::Planned { batch: Box::new(batch), line: Box::new(line), from }
}

impl PlanChangeView {
    /// The id of its operation, which it has before there is such an operation.
    #[must_use]
    pub fn id(&self) -> OperationId {
        match self {
            Self::Begun { change, .. } => change.operation,
            Self::Planned { line, .. } => line.operation,
        }
    }
}
