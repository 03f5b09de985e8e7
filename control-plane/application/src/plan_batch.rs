//! Many tenants move to another plan: foreseen, made, looked at, halted, given up, tried again. For operators.

mod controller;
mod preview;
mod wish;

pub use controller::{PlanBatches, run};
pub use preview::{PlanBatchPreview, PlanBatchPreviewLine, PlanBatchSums, preview};

use crate::{
    App, Draft, Page,
    error::{FindError, Noun, permit},
};
use domain::{
    Actor, Authorized, Invalid, ManagePlanBatch, PlanBatch, PlanBatchId, PlanBatchLine,
    ReadPlanBatches, Scope,
};
use store::{Created, IdempotencyKey, PlanBatchError};

/// What a caller sends to make a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewPlanBatch {
    /// What it is for.
    pub name: Option<String>,
    /// Tenants by id or name.
    pub tenants: Option<Vec<String>>,
    /// The name of a plan: all tenants that pay for it, too.
    pub selected_plan: Option<String>,
    /// The name of the plan that they move to.
    pub plan: String,
    /// How many nodes of its own each gets; one if a plan with such nodes says nothing.
    pub nodes: Option<u32>,
    /// What becomes of sessions: the word; `own` if nothing is said.
    pub sessions: Option<String>,
    /// How many changes may be under way at the same time; 2 if nothing is said.
    pub max_parallel: Option<u32>,
    /// Whether the first failure keeps those from beginning that wait; so if nothing is said.
    pub stop_on_failure: Option<bool>,
    /// When the first one begins, in RFC 3339; at once if nothing is said.
    pub start_at: Option<String>,
}

/// A batch with its tenants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanBatchView {
    /// The batch.
    pub batch: PlanBatch,
    /// Its lines, in the order in which they begin.
    pub lines: Vec<PlanBatchLine>,
}

/// Why a batch was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// Not found or not allowed.
    #[error(transparent)]
    Find(#[from] FindError),
    /// Fields break rules.
    #[error("{0}")]
    Invalid(Invalid),
    /// Changes of these tenants wait already.
    #[error("{} tenants have a change that waits", .0.len())]
    Waiting(Vec<PlanBatchLine>),
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    IdempotencyMismatch,
    /// It is over, or was given up.
    #[error("the batch is over")]
    Over,
}

impl From<PlanBatchError> for BatchError {
    fn from(error: PlanBatchError) -> Self {
        match error {
            PlanBatchError::Waiting(lines) => Self::Waiting(lines),
            PlanBatchError::IdempotencyMismatch => Self::IdempotencyMismatch,
            PlanBatchError::Over => Self::Over,
            PlanBatchError::Store(error) => FindError::of_write(error, Noun::PlanBatch).into(),
        }
    }
}

/// Makes a batch; what of it may begin at once begins soon.
///
/// # Errors
/// If the caller may not, a field breaks a rule, or a change of one of the tenants waits already.
pub async fn create(
    app: &App,
    actor: &Actor,
    new: Draft<NewPlanBatch>,
    key: Option<&IdempotencyKey>,
) -> Result<Created<PlanBatchView>, BatchError> {
    let proof = permit::<ManagePlanBatch>(actor, Scope::Platform, Noun::Page)?;
    let (new, _) = wish::checked(app, new).await?;
    let Created { value, is_replay } = app.store.plan_batch_create(&proof, &new, key).await?;
    Ok(Created { value: with_lines(app, value).await?, is_replay })
}

/// The batches, newest first.
///
/// # Errors
/// If the caller may not.
pub async fn list(
    app: &App,
    actor: &Actor,
    after: Option<PlanBatchId>,
    limit: u64,
) -> Result<Page<PlanBatch, PlanBatchId>, FindError> {
    permit::<ReadPlanBatches>(actor, Scope::Platform, Noun::Page)?;
    let batches = app.store.plan_batch_list(after, limit + 1).await?;
    Ok(Page::cut(batches, limit, |batch| batch.id))
}

/// One batch with its tenants.
///
/// # Errors
/// If the caller may not, or there is none.
pub async fn get(app: &App, actor: &Actor, id: PlanBatchId) -> Result<PlanBatchView, FindError> {
    permit::<ReadPlanBatches>(actor, Scope::Platform, Noun::PlanBatch)?;
    let batch = app.store.plan_batch_get(id).await?;
    with_lines(app, batch.ok_or(FindError::Missing(Noun::PlanBatch))?).await
}

/// Lets nothing more of a batch begin, or lets it go on. What is under way goes on in any case.
///
/// # Errors
/// If the caller may not, or the batch is over.
pub async fn pause(
    app: &App,
    actor: &Actor,
    id: PlanBatchId,
    is_paused: bool,
) -> Result<PlanBatchView, BatchError> {
    let proof = proof(actor)?;
    app.store.plan_batch_pause(&proof, id, is_paused).await?;
    Ok(get(app, actor, id).await?)
}

/// Gives a batch up: those that wait are cancelled, those that are under way go on to their ends.
///
/// # Errors
/// If the caller may not, or the batch is over.
pub async fn cancel(
    app: &App,
    actor: &Actor,
    id: PlanBatchId,
) -> Result<PlanBatchView, BatchError> {
    let proof = proof(actor)?;
    app.store.plan_batch_cancel(&proof, id).await?;
    Ok(get(app, actor, id).await?)
}

/// Lets those wait again that failed or were skipped, in the caller's name.
///
/// # Errors
/// If the caller may not, the batch was given up, or a tenant waits elsewhere by now.
pub async fn retry(app: &App, actor: &Actor, id: PlanBatchId) -> Result<PlanBatchView, BatchError> {
    let proof = proof(actor)?;
    app.store.plan_batch_retry(&proof, id).await?;
    Ok(get(app, actor, id).await?)
}

fn proof(actor: &Actor) -> Result<Authorized<ManagePlanBatch>, FindError> {
    permit::<ManagePlanBatch>(actor, Scope::Platform, Noun::PlanBatch)
}

async fn with_lines(app: &App, batch: PlanBatch) -> Result<PlanBatchView, FindError> {
    let lines = app.store.plan_batch_lines(batch.id, None).await?;
    Ok(PlanBatchView { batch, lines })
}
