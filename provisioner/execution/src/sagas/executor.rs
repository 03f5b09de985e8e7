use super::{Saga, StepContext, StepError, Subject, step::Progress};
use crate::{
    Context,
    backoff::{Backoff, SPREAD},
};
use domain::{Operation, OperationId, OperationState, Problem, StepState};
use planning::saga::{Move, next};
use std::{error::Error, time::Duration};
use store::{Change, StoreError};
use tokio::time::{Instant, timeout_at};

/// Between two attempts at a step.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(30), spread: SPREAD };

/// Takes one operation as far as it goes, to its end unless the record fails for good.
#[tracing::instrument(name = "saga", skip_all, fields(operation.id = %id))]
pub(super) async fn drive<S: Subject>(cx: &Context, saga: &Saga<S>, id: OperationId) {
    let mut failures = 0;
    loop {
        match advance(cx, saga, id).await {
            // In the latter cases somebody else ended it, or another process has the record.
            Ok(Turn::Over)
            | Err(StoreError::Stale | StoreError::NotFound | StoreError::TakenOver) => return,
            Ok(Turn::Next) => failures = 0,
            Ok(Turn::Again) => {
                failures += 1;
                wait(cx, id, BACKOFF.after(failures)).await;
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(
                    error = &error as &dyn Error,
                    "the record failed; it is asked again"
                );
                tokio::time::sleep(BACKOFF.after(failures)).await;
            }
        }
    }
}

/// What comes after one attempt at one step.
enum Turn {
    Next,
    Again,
    Over,
}

/// Waits before another attempt; a wish to cancel shortens it.
async fn wait(cx: &Context, id: OperationId, time: Duration) {
    let until = Instant::now() + time;
    let mut changes = cx.store.changes();
    while let Ok(change) = timeout_at(until, changes.recv()).await {
        if change != Ok(Change::Operation(id)) {
            continue;
        }
        let operation = cx.store.operation_get(id).await;
        if operation.is_ok_and(|operation| operation.is_some_and(|o| o.is_to_turn_back())) {
            return;
        }
    }
}

async fn advance<S: Subject>(
    cx: &Context,
    saga: &Saga<S>,
    id: OperationId,
) -> Result<Turn, StoreError> {
    let operation = cx.store.operation_get(id).await?.ok_or(StoreError::NotFound)?;
    if operation.state.is_final() {
        return Ok(Turn::Over);
    }
    if operation.is_to_turn_back() && !is_committed(saga, &operation) {
        turn_back(cx, operation, cancelled()).await?;
        return Ok(Turn::Next);
    }
    match next(&operation) {
        Move::Run(step) => attempt(cx, saga, operation, step, Way::Forward).await,
        Move::Undo(step) => attempt(cx, saga, operation, step, Way::Back).await,
        Move::Finish => {
            S::end(cx, &operation, saga.end.clone()).await?;
            tracing::info!("operation done");
            Ok(Turn::Over)
        }
        Move::GiveUp => {
            let problem = operation.problem.clone();
            S::end(cx, &operation, S::undone(problem)).await?;
            tracing::info!("operation undone");
            Ok(Turn::Over)
        }
    }
}

/// Whether it only goes forward by now.
fn is_committed<S: Subject>(saga: &Saga<S>, operation: &Operation) -> bool {
    let Some(commit) = saga.commit else { return false };
    let reached = operation.steps.iter().find(|step| step.name == commit);
    reached.is_some_and(|step| step.state != StepState::Waiting)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Forward,
    Back,
}

/// Makes one attempt at a step and writes what came of it.
async fn attempt<S: Subject>(
    cx: &Context,
    saga: &Saga<S>,
    mut operation: Operation,
    index: usize,
    way: Way,
) -> Result<Turn, StoreError> {
    let name = operation.steps[index].name.clone();
    let step = saga.steps.iter().find(|step| step.name() == name);
    let step = step.ok_or(StoreError::Refused("the operation has a step that nobody knows"))?;
    let subject = S::load(cx, &operation).await?;
    begin(cx, &mut operation, index, way).await?;
    let progress = Progress::new(cx, &operation, index);
    let step_cx = StepContext { cx, subject, progress: &progress };
    let patience = Duration::try_from(step.deadline()).unwrap_or(Duration::MAX);
    let work = async {
        match way {
            Way::Forward => step.run(&step_cx).await,
            Way::Back => step.undo(&step_cx).await,
        }
    };
    let outcome = progress.within(patience, work).await.unwrap_or_else(|| {
        Err(StepError::Retry(format!("it took longer than {} s", patience.as_secs())))
    });
    // Meanwhile it may have said how far it is, and somebody may have asked it to turn back.
    let mut operation = cx.store.operation_get(operation.id).await?.ok_or(StoreError::NotFound)?;
    let now = cx.clock.now();
    let entry = &mut operation.steps[index];
    let is_late = entry.started_at.is_some_and(|at| now.duration_since(at) >= step.deadline());
    match (outcome, way) {
        (Ok(proof), Way::Forward) => entry.advance(StepState::Done, proof, now),
        (Ok(proof), Way::Back) => entry.revert(StepState::Undone, proof, now),
        (Err(StepError::Fail(problem)), Way::Forward) if !is_committed(saga, &operation) => {
            turn_back(cx, operation, problem).await?;
            return Ok(Turn::Next);
        }
        (Err(StepError::Retry(message)), Way::Forward)
            if is_late && !is_committed(saga, &operation) =>
        {
            let minutes = step.deadline().as_mins();
            let detail =
                format!("step {name} did not come to its end within {minutes} min: {message}");
            turn_back(cx, operation, late(detail)).await?;
            return Ok(Turn::Next);
        }
        (Err(error), _) => {
            let (StepError::Retry(message) | StepError::Fail(Problem { detail: message, .. })) =
                error;
            tracing::warn!(
                step = name,
                ?way,
                message,
                "a step did not come to its end; it is tried again"
            );
            operation.steps[index].message = message;
            if way == Way::Forward {
                operation.steps[index].state = StepState::Blocked;
            }
            cx.store.operation_progress(&operation).await?;
            return Ok(Turn::Again);
        }
    }
    cx.store.operation_progress(&operation).await?;
    Ok(Turn::Next)
}

/// Writes that a step is being worked on, before anything of it is done.
async fn begin(
    cx: &Context,
    operation: &mut Operation,
    index: usize,
    way: Way,
) -> Result<(), StoreError> {
    let before = operation.clone();
    let now = cx.clock.now();
    let entry = &mut operation.steps[index];
    match way {
        Way::Forward => {
            let message = entry.message.clone();
            entry.advance(StepState::Running, message, now);
            operation.state = OperationState::Running;
        }
        Way::Back if entry.state == StepState::Undoing => {}
        Way::Back => entry.revert(StepState::Undoing, "it is being undone", now),
    }
    if *operation == before {
        return Ok(());
    }
    cx.store.operation_progress(operation).await
}

/// From now on what was done is undone.
async fn turn_back(
    cx: &Context,
    mut operation: Operation,
    problem: Problem,
) -> Result<(), StoreError> {
    tracing::warn!(problem = problem.detail, "an operation is undone");
    operation.state = OperationState::Undoing;
    operation.problem = Some(problem);
    cx.store.operation_progress(&operation).await
}

fn cancelled() -> Problem {
    Problem {
        code: "cancelled".to_owned(),
        detail: "somebody asked for it to be undone".to_owned(),
        hint: "nothing is to be done: what was done is taken back".to_owned(),
    }
}

fn late(detail: String) -> Problem {
    let hint = "what was done is taken back; mend what is in the way, then it can be tried anew";
    Problem { code: "deadline-exceeded".to_owned(), detail, hint: hint.to_owned() }
}
