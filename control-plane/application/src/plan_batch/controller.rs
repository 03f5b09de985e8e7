//! Begins the changes of batches, and those that were planned for later.
//!
//! What is to begin stands in the record, and so does what has begun, written with the beginning: a process that is
//! killed on the way begins nothing twice and forgets nothing. The ends need nobody: an operation's end is its line's.
//!
//! Changes begin in the name of whoever asked for them, and what that may is looked at anew each time. A token that was
//! taken back begins nothing any more: it was lost, or its holder is gone, and what either planned for next month is not
//! what anybody wants now. Whoever wants it all the same tries again, in a name of their own.

use crate::{
    App,
    access::AccessError,
    error::FindError,
    plan_change::{self, ChangeError, NewPlanChange},
    tenant::{self, TenantRef},
};
use domain::{
    Actor, ChangePlan, OperationId, PlanBatch, PlanBatchLine, PlanBatchLineState, Problem, TenantId,
};
use futures::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use std::{collections::HashSet, error::Error, time::Duration};
use store::{Change, PlanBatchBeginError, PlanBatchError, StoreError};
use tokio::sync::broadcast;

/// When it is looked at everything although nothing has happened.
const LOOK_EVERY: Duration = Duration::from_mins(10);
/// When it is tried again to reach a tenant's cluster, or the record.
const AGAIN: Duration = Duration::from_secs(30);
/// Changes that come close together are looked at together.
const GATHER: Duration = Duration::from_millis(500);
/// How many batches are looked at at the same time: one whose tenants do not answer holds up no other.
const AT_ONCE: usize = 8;
/// How long a line waits for a tenant that is busy, or not to be reached.
const BUSY_AT_MOST: SignedDuration = SignedDuration::from_hours(2);

/// What is remembered between two looks; losing it costs time, nothing else.
#[derive(Debug, Default)]
pub struct PlanBatches {
    /// Whose news may let somebody begin.
    operations: HashSet<OperationId>,
    tenants: HashSet<TenantId>,
}

/// What a look at one batch came to.
#[derive(Debug, Default)]
struct Looked {
    operations: Vec<OperationId>,
    tenants: Vec<TenantId>,
    /// When somebody is given up who is busy.
    give_up: Option<Timestamp>,
    /// Whether somebody could not be reached.
    is_again: bool,
}

/// What became of a line.
enum Outcome {
    Begun,
    /// The batch was halted meanwhile, or the line is not what it was.
    NotNow,
    /// It cannot begin yet.
    Waits(ChangeError),
    /// It will not begin.
    Ends(PlanBatchLineState, Problem),
}

/// Begins what is to begin for as long as it is polled; may be dropped at any moment.
pub async fn run(app: &App) {
    let mut batches = PlanBatches::default();
    loop {
        // Made before the look, so that nothing is missed.
        let mut changes = app.store.changes();
        let pause = batches.look(app).await.unwrap_or_else(|error| {
            let error = &error as &dyn Error;
            tracing::warn!(error, "changes of plan that wait could not all be looked at");
            AGAIN
        });
        if tokio::time::timeout(pause, batches.news(&mut changes)).await.is_ok() {
            tokio::time::sleep(GATHER).await;
        }
    }
}

impl PlanBatches {
    /// Begins what may begin now. How long until it is worth another look, if nothing is heard before.
    ///
    /// # Errors
    /// If the record does not answer.
    pub async fn look(&mut self, app: &App) -> Result<Duration, StoreError> {
        let now = app.clock.now();
        let due = app.store.plan_batch_due(now).await?;
        let looks = due.into_iter().map(|batch| look_at(app, batch, now));
        let looked: Vec<_> = stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
        self.operations.clear();
        self.tenants.clear();
        let mut next = app.store.plan_batch_next(now).await?;
        let mut pause = LOOK_EVERY;
        for looked in looked {
            let Looked { operations, tenants, give_up, is_again } = looked?;
            self.operations.extend(operations);
            self.tenants.extend(tenants);
            next = next.into_iter().chain(give_up).min();
            pause = if is_again { AGAIN } else { pause };
        }
        // Not before the clock of the record has come so far: it counts milliseconds.
        let until = next.map(|at| at.duration_since(app.clock.now()));
        let until = until
            .map(|until| Duration::try_from(until).unwrap_or_default() + Duration::from_millis(1));
        Ok(until.map_or(pause, |until| until.min(pause)))
    }

    /// Waits for something that may let somebody begin.
    async fn news(&self, changes: &mut broadcast::Receiver<Change>) {
        // An error means that changes were missed: look.
        while let Ok(change) = changes.recv().await {
            let is_news = match change {
                Change::PlanBatch(_) => true,
                Change::Operation(operation) => self.operations.contains(&operation),
                Change::Tenant(tenant) => self.tenants.contains(&tenant),
                Change::Session { .. }
                | Change::Node { .. }
                | Change::Log(_)
                | Change::Orphan(_)
                | Change::Token(_)
                | Change::Account(_) => false,
            };
            if is_news {
                return;
            }
        }
    }
}

async fn look_at(app: &App, batch: PlanBatch, now: Timestamp) -> Result<Looked, StoreError> {
    let mut looked = Looked::default();
    let mut free = batch.free(now);
    let waiting = PlanBatchLineState::Waiting;
    for line in app.store.plan_batch_lines(batch.id, Some(waiting)).await? {
        if free == 0 {
            break;
        }
        match attempt(app, &batch, &line).await? {
            Outcome::Begun => free -= 1,
            Outcome::NotNow => break,
            Outcome::Waits(error) => looked.waits(app, &line, &error).await?,
            Outcome::Ends(state, problem) => {
                end(app, &line, state, &problem).await?;
                if state == PlanBatchLineState::Failed && batch.stop_on_failure {
                    break;
                }
            }
        }
    }
    Ok(looked)
}

impl Looked {
    /// Notes that a line waits for a tenant, or ends it if that took too long.
    async fn waits(
        &mut self,
        app: &App,
        line: &PlanBatchLine,
        error: &ChangeError,
    ) -> Result<(), StoreError> {
        let problem = plan_change::kept(error);
        if line.busy_until.is_some_and(|until| until <= app.clock.now()) {
            let hours = BUSY_AT_MOST.as_hours();
            let detail = format!("it was waited for {hours} hours, and still {}", problem.detail);
            let problem = Problem { detail, ..problem };
            return end(app, line, PlanBatchLineState::Failed, &problem).await;
        }
        // Nobody tells of a cluster that answers again.
        let is_silent = matches!(error, ChangeError::Access(_) | ChangeError::Blocked(_));
        self.is_again |= is_silent || matches!(error, ChangeError::Outdated);
        if let ChangeError::Busy(open) = error {
            self.operations.push(open.id);
        }
        self.tenants.push(line.tenant);
        match app.store.plan_batch_busy(line, &problem, BUSY_AT_MOST).await {
            Ok(until) => self.give_up = self.give_up.into_iter().chain([until]).min(),
            Err(error) => gone(error)?,
        }
        Ok(())
    }
}

async fn end(
    app: &App,
    line: &PlanBatchLine,
    state: PlanBatchLineState,
    problem: &Problem,
) -> Result<(), StoreError> {
    let (batch, tenant, code) = (line.batch, line.tenant, &problem.code);
    let state_word = state.as_str();
    tracing::info!(batch.id = %batch, tenant.id = %tenant, code, state = state_word, "a change of plan did not begin");
    match app.store.plan_batch_end(line, state, problem).await {
        Ok(()) => Ok(()),
        Err(error) => gone(error),
    }
}

/// A line that is not what it was is somebody else's by now.
fn gone(error: PlanBatchError) -> Result<(), StoreError> {
    match error {
        PlanBatchError::Store(error) => Err(error),
        PlanBatchError::Over | PlanBatchError::Waiting(_) | PlanBatchError::IdempotencyMismatch => {
            Ok(())
        }
    }
}

async fn attempt(
    app: &App,
    batch: &PlanBatch,
    line: &PlanBatchLine,
) -> Result<Outcome, StoreError> {
    let request_id = batch.request_id.clone();
    let Some(actor) = app.store.actor_of(batch.subject, request_id).await? else {
        return Ok(revoked());
    };
    match begin(app, &actor, batch, line).await {
        Ok(outcome) => Ok(outcome),
        Err(ChangeError::Find(FindError::Store(error))) => Err(error),
        Err(error) => Ok(refused(batch, error)),
    }
}

/// Begins a change as one that a person asks for now.
async fn begin(
    app: &App,
    actor: &Actor,
    batch: &PlanBatch,
    line: &PlanBatchLine,
) -> Result<Outcome, ChangeError> {
    let reference = TenantRef::Id(line.tenant);
    let (tenant, proof) = tenant::find::<ChangePlan>(app, actor, &reference).await?;
    if tenant.subscription() == batch.to && tenant.deletion_requested_at.is_none() {
        let problem = Problem {
            code: "nothing-to-change".to_owned(),
            detail: "the tenant pays for just this already".to_owned(),
            hint: "nothing is to be done".to_owned(),
        };
        return Ok(Outcome::Ends(PlanBatchLineState::Skipped, problem));
    }
    let wish = plan_change::checked(app, &tenant, NewPlanChange::of(batch).into())?;
    let preview = plan_change::look(app, &tenant, &wish).await?;
    match app.store.plan_batch_begin(&proof, line, &preview).await {
        Ok((_, operation)) => {
            let (batch, tenant) = (batch.id, tenant.id);
            tracing::info!(batch.id = %batch, tenant.id = %tenant, operation.id = %operation.id, "a change of plan began");
            Ok(Outcome::Begun)
        }
        Err(PlanBatchBeginError::NotNow) => Ok(Outcome::NotNow),
        Err(PlanBatchBeginError::Revoked) => Ok(revoked()),
        Err(PlanBatchBeginError::Change(error)) => Err(plan_change::from_store(error)),
    }
}

fn revoked() -> Outcome {
    let problem = Problem {
        code: "forbidden".to_owned(),
        detail: "the token in whose name this was to begin was taken back".to_owned(),
        hint: "whoever wants it all the same asks for it, or for another try, in their own name"
            .to_owned(),
    };
    Outcome::Ends(PlanBatchLineState::Failed, problem)
}

fn refused(batch: &PlanBatch, error: ChangeError) -> Outcome {
    use ChangeError as E;
    let state = match &error {
        E::Busy(_) | E::NotReady => return Outcome::Waits(error),
        E::Blocked(preview) if plan_change::is_only_unknown(preview) => {
            return Outcome::Waits(error);
        }
        E::Access(AccessError::NotReady { .. } | AccessError::Unreachable(_)) => {
            return Outcome::Waits(error);
        }
        // Nobody promised anything: it changed between two looks.
        E::Outdated if batch.preview.is_none() => return Outcome::Waits(error),
        // Nobody failed: there is nobody to move any more.
        E::Deleting | E::Find(FindError::Missing(_)) => PlanBatchLineState::Skipped,
        E::Find(_)
        | E::Invalid(_)
        | E::Blocked(_)
        | E::Waiting { .. }
        | E::NotBegun
        | E::Outdated
        | E::Committed
        | E::Over
        | E::Access(AccessError::Internal(_)) => PlanBatchLineState::Failed,
    };
    Outcome::Ends(state, plan_change::kept(&error))
}

impl NewPlanChange {
    /// What was asked for when the batch was made.
    fn of(batch: &PlanBatch) -> Self {
        let nodes = batch.to.nodes;
        Self {
            plan: batch.to.plan.to_string(),
            nodes: (nodes > 0).then_some(nodes),
            sessions: Some(batch.sessions.as_str().to_owned()),
            volumes: None,
            preview: batch.preview.as_ref().map(ToString::to_string),
            start_at: None,
        }
    }
}
