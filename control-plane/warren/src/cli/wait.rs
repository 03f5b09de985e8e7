//! Waiting with a deadline: for operations, tenants and sessions.

use clap::ValueEnum;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

use super::{
    Context,
    answer::{Batch, Operation, Session, Tenant, decode},
    format::time,
    problem::{Exit, Failure},
    progress::{Line, Progress},
};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// So long the server holds an answer back when what is asked for is not over. The end is known at
/// once then, and changes on the way are seen this often.
const HOLD_SECONDS: u64 = 1;

/// Looks again and again, at growing distances, until its time is up. A server that is away for a
/// while is waited for as well.
#[derive(Debug)]
pub(super) struct Poll {
    limit: Duration,
    until: Instant,
    pause: Duration,
    looked_at: Instant,
    is_away: bool,
}

/// How far a session is to be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Goal {
    /// Its agent has started.
    Running,
    /// It is over.
    Finished,
}

/// Whether the server may answer later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// When it is over, or after a while.
    Back,
    /// At once.
    Nothing,
}

impl Poll {
    pub(super) fn new(limit: Duration) -> Self {
        let now = Instant::now();
        let until = now + limit;
        Self { limit, until, pause: FIRST_PAUSE, looked_at: now, is_away: false }
    }

    /// Reads; nothing while the server cannot be reached.
    async fn get(
        &mut self,
        cx: &Context,
        progress: &Progress,
        path: &[&str],
        hold: Hold,
    ) -> Result<Option<Value>, Failure> {
        let is_first = self.pause == FIRST_PAUSE;
        let has_time = self.until - Instant::now() > Duration::from_secs(HOLD_SECONDS);
        let answer = if hold == Hold::Back && !is_first && has_time {
            cx.client.get_held(path, HOLD_SECONDS).await
        } else {
            cx.client.get(path).await
        };
        match answer {
            Ok(value) => {
                if std::mem::take(&mut self.is_away) {
                    progress.note("The server answers again");
                }
                Ok(Some(value))
            }
            Err(failure) if failure.is_unreachable && Instant::now() < self.until => {
                if !std::mem::replace(&mut self.is_away, true) {
                    progress.note("The server cannot be reached; trying again");
                }
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Pauses before the next look, unless the last one took long enough; false if the time is up.
    async fn again(&mut self) -> bool {
        let now = Instant::now();
        if now >= self.until {
            return false;
        }
        let next = (self.looked_at + self.pause).min(self.until);
        sleep_until(next).await;
        self.looked_at = next.max(now);
        self.pause = (self.pause * 5 / 4).min(LONGEST_PAUSE);
        true
    }

    fn times_up(&self, what: &str) -> Failure {
        Failure::new(Exit::WaitTimedOut, "Timed out waiting")
            .code("wait-timed-out")
            .detail(format!("{what} after {}; it goes on without being watched", time(self.limit)))
    }
}

/// Waits until a tenant is ready; `operation` is the one that was just started, if any.
pub(super) async fn tenant_ready(
    cx: &Context,
    name: &str,
    mut operation: Option<String>,
    limit: Duration,
) -> Result<Value, Failure> {
    let mut progress = cx.messages.progress(format!("Tenant {name}"));
    let mut poll = Poll::new(limit);
    loop {
        if let Some(value) =
            poll.get(cx, &progress, &["api", "v1", "tenants", name], Hold::Nothing).await?
        {
            let tenant: Tenant = decode(&value)?;
            if tenant.phase == "ready" && tenant.generation == tenant.observed_generation {
                if let Some(id) = &operation {
                    show_operation(cx, &mut poll, &mut progress, id).await?;
                }
                progress.finish("ready");
                return Ok(value);
            }
            if tenant.phase == "deleting" {
                return Err(Failure::new(Exit::OperationFailed, "The tenant is being deleted")
                    .hint(format!("warren tenant wait {name} --for deleted")));
            }
            operation = tenant.operation.clone().or(operation);
            match &operation {
                Some(id) => {
                    let shown = show_operation(cx, &mut poll, &mut progress, id).await?;
                    if let Some(failed) = shown.filter(|operation| operation.state == "failed") {
                        progress.finish("failed");
                        return Err(operation_failed(&failed));
                    }
                }
                None => progress.show(Line::of_conditions(&tenant)),
            }
        }
        if !poll.again().await {
            let what = format!("Tenant {name} is not ready");
            return Err(unfinished(poll.times_up(&what), operation.as_deref()));
        }
    }
}

/// Waits until a tenant is gone; `operation` is its deletion, if this command asked for it.
pub(super) async fn tenant_deleted(
    cx: &Context,
    name: &str,
    mut operation: Option<String>,
    limit: Duration,
) -> Result<(), Failure> {
    let mut progress = cx.messages.progress(format!("Tenant {name}"));
    let mut poll = Poll::new(limit);
    // The name may be taken again; the id never is.
    let mut reference = name.to_owned();
    loop {
        match poll.get(cx, &progress, &["api", "v1", "tenants", &reference], Hold::Nothing).await {
            Ok(Some(value)) => {
                let tenant: Tenant = decode(&value)?;
                reference = tenant.id;
                operation = tenant.operation.or(operation);
                if let Some(id) = &operation {
                    show_operation(cx, &mut poll, &mut progress, id).await?;
                }
            }
            Ok(None) => {}
            Err(failure) if failure.exit == Exit::NotFound => {
                return deletion_outcome(cx, poll, progress, operation.as_deref()).await;
            }
            // Only an accepted deletion ends the tokens of a tenant while they are in use.
            Err(failure) if failure.problem.status == Some(401) && operation.is_some() => {
                progress.finish("deleted, and this token with it");
                return Ok(());
            }
            Err(failure) => return Err(failure),
        }
        if !poll.again().await {
            let what = format!("Tenant {name} is not deleted");
            return Err(unfinished(poll.times_up(&what), operation.as_deref()));
        }
    }
}

/// The tenant is gone; a forced deletion may have left things behind.
async fn deletion_outcome(
    cx: &Context,
    mut poll: Poll,
    mut progress: Progress,
    operation: Option<&str>,
) -> Result<(), Failure> {
    let ended = match operation {
        Some(id) => match show_operation(cx, &mut poll, &mut progress, id).await {
            Ok(ended) => ended,
            // Who may no longer see it has nothing to be told.
            Err(failure) if matches!(failure.exit, Exit::NotFound | Exit::Denied) => None,
            Err(failure) => return Err(failure),
        },
        None => None,
    };
    if let Some(failed) = ended.filter(|operation| operation.state == "failed") {
        progress.finish("deleted, with things left behind");
        return Err(operation_failed(&failed));
    }
    progress.finish("deleted");
    Ok(())
}

/// Waits until an operation is over.
pub(super) async fn operation(cx: &Context, id: &str, limit: Duration) -> Result<Value, Failure> {
    let mut progress = cx.messages.progress(format!("Operation {id}"));
    let mut poll = Poll::new(limit);
    loop {
        if let Some(value) =
            poll.get(cx, &progress, &["api", "v1", "operations", id], Hold::Back).await?
        {
            let operation: Operation = decode(&value)?;
            progress.show(Line::of_operation(&operation));
            if operation.is_final() {
                progress.finish(&operation.state);
                let is_good = operation.state == "succeeded";
                return if is_good { Ok(value) } else { Err(operation_failed(&operation)) };
            }
        }
        if !poll.again().await {
            return Err(unfinished(poll.times_up("The operation is not over"), Some(id)));
        }
    }
}

/// Waits until a batch of changes of plan is over.
pub(super) async fn batch(cx: &Context, id: &str, limit: Duration) -> Result<Value, Failure> {
    let mut progress = cx.messages.progress(format!("Batch {id}"));
    let mut poll = Poll::new(limit);
    let path = ["api", "v1", "plan-change-batches", id];
    let follow = format!("warren plan batch get {id}");
    loop {
        if let Some(value) = poll.get(cx, &progress, &path, Hold::Nothing).await? {
            let batch: Batch = decode(&value)?;
            progress.show(Line::of_batch(&batch));
            if batch.finished_at.is_some() {
                progress.finish(&batch.state);
                if batch.state == "succeeded" {
                    return Ok(value);
                }
                let title = format!("Batch {id} {}", batch.state);
                let failure = Failure::new(Exit::OperationFailed, title).detail(batch.message);
                return Err(failure.hint(follow).with("batch", id));
            }
        }
        if !poll.again().await {
            let failure = poll.times_up("The batch is not over");
            return Err(failure.hint(format!("{follow} --wait")).with("batch", id));
        }
    }
}

impl Goal {
    pub(super) fn is_reached(self, session: &Session) -> bool {
        session.is_final() || (self == Self::Running && session.running_at.is_some())
    }
}

/// Waits until a session has reached a goal, or is over without.
pub(super) async fn session(
    cx: &Context,
    tenant: &str,
    id: &str,
    limit: Duration,
    goal: Goal,
) -> Result<(Value, Session), Failure> {
    let mut progress = cx.messages.progress(format!("Session {id}"));
    let mut poll = Poll::new(limit);
    let path = ["api", "v1", "tenants", tenant, "sessions", id];
    let hold = if goal == Goal::Finished { Hold::Back } else { Hold::Nothing };
    loop {
        if let Some(value) = poll.get(cx, &progress, &path, hold).await? {
            let session: Session = decode(&value)?;
            progress.show(Line::of_session(&session));
            if goal.is_reached(&session) {
                progress.finish(&session.state);
                return Ok((value, session));
            }
        }
        if !poll.again().await {
            return Err(poll
                .times_up(&format!("Session {id} is not that far"))
                .hint(format!("warren session wait {id} --tenant {tenant}"))
                .with("session", id));
        }
    }
}

async fn show_operation(
    cx: &Context,
    poll: &mut Poll,
    progress: &mut Progress,
    id: &str,
) -> Result<Option<Operation>, Failure> {
    let Some(value) = poll.get(cx, progress, &["api", "v1", "operations", id], Hold::Back).await?
    else {
        return Ok(None);
    };
    let operation: Operation = decode(&value)?;
    progress.show(Line::of_operation(&operation));
    Ok(Some(operation))
}

fn unfinished(failure: Failure, operation: Option<&str>) -> Failure {
    match operation {
        Some(id) => failure.hint(format!("warren operation get {id} --wait")).with("operation", id),
        None => failure,
    }
}

/// An operation ended without reaching its goal.
pub(super) fn operation_failed(operation: &Operation) -> Failure {
    let problem = operation.problem.clone().unwrap_or_default();
    let title = format!("Operation {} failed", operation.id);
    let mut failure =
        Failure::new(Exit::OperationFailed, title).with("operation", operation.id.clone());
    if !problem.code.is_empty() {
        failure = failure.code(problem.code);
    }
    if !problem.detail.is_empty() {
        failure = failure.detail(problem.detail);
    }
    if !problem.hint.is_empty() {
        failure = failure.hint(problem.hint);
    }
    failure
}
