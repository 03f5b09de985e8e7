//! Looks at a run's Job and pod, stops it, and ends its session.

use super::{
    decide::{FORCED, Todo, grace},
    evidence::{newest, of_delay, of_failure, timed_out},
    listen, stop, submit,
};
use crate::{
    Context,
    api_server::{ApiError, ApiServer, Propagation, delete_options},
    tenant::project::ProjectError,
};
use clusters::ReachError;
use domain::{Cause, FailureClass, Run, RunId, Session, SessionState, TenantId};
use jiff::Timestamp;
use planning::{
    Kind,
    job::{RUN_LABEL, job_key, secret_key},
};
use serde_json::Value;
use std::time::Duration;
use store::{MoveError, Store, StoreError};

/// Why something could not be done about a session. It is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum ActError {
    #[error("read or write the record")]
    Store(#[source] StoreError),
    #[error(transparent)]
    Reach(#[from] ReachError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the project is not there; it is made anew")]
    NoProject(#[source] ApiError),
    #[error(transparent)]
    Project(#[from] ProjectError),
}

impl ActError {
    /// When an API server wants to be asked again.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Api(error) => error.retry_after(),
            Self::Store(_) | Self::Reach(_) | Self::NoProject(_) | Self::Project(_) => None,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acted {
    /// The run's Job is there.
    JobIsThere(RunId),
    /// The session is over, and nobody knows that the run's Job is.
    JobIsLeft(RunId),
    /// Whatever it was, the record tells.
    Done,
}

/// Does what was decided. Repeating it is harmless.
pub(super) async fn act(
    cx: &Context,
    session: &Session,
    run: Option<&Run>,
    todo: Todo,
) -> Result<Acted, ActError> {
    let there = |run: Option<RunId>| run.map_or(Acted::Done, Acted::JobIsThere);
    match (todo, run) {
        (Todo::Submit, _) => return submit::submit(cx, session).await.map(there),
        (Todo::Resume, Some(run)) => return submit::resume(cx, session, run).await.map(there),
        (Todo::Settle, Some(run)) => {
            clear_away(cx, session.tenant, run.id).await?;
        }
        (Todo::Look, Some(run)) => return look(cx, session, run).await,
        (Todo::SucceedUnreported, _) => {
            let message = "its Job succeeded; its runner did not report the end";
            let cause = Cause::plain("CompletedUnreported", message);
            finish(cx, session, SessionState::Succeeded, cause).await?;
        }
        (Todo::Judge { reason, message }, Some(run)) => {
            judge(cx, session, run, &reason, &message).await?;
        }
        (Todo::Over, Some(run)) => {
            judge(cx, session, run, "", "its process has ended").await?;
            force(cx, session, run).await?;
        }
        (Todo::Listen { since }, Some(run)) => {
            return listen::listen(cx, session, run, since).await;
        }
        (Todo::Gone, Some(run)) => return gone(cx, session, run).await,
        (Todo::Stop | Todo::Leave, Some(run)) => stop::begin(cx, session, run).await?,
        (Todo::Prove { is_late }, Some(run)) => {
            return Ok(stop::prove(cx, session, run, is_late).await);
        }
        (Todo::Drained, Some(run)) => {
            let message = "it did not end within its grace period";
            let cause = Cause::failure(FailureClass::Infrastructure, "NotEnded", message);
            finish(cx, session, SessionState::Failed, cause).await?;
            return Ok(left(Some(run)));
        }
        (Todo::Gone | Todo::Stop | Todo::Prove { .. }, None) => stop::stopped(cx, session).await?,
        (Todo::TimeOut, run) => {
            let (state, cause) = timed_out(session);
            finish(cx, session, state, cause).await?;
            return Ok(left(run));
        }
        // A session that is starting or stopping without a run has nothing to be looked up.
        (
            Todo::Resume
            | Todo::Look
            | Todo::Listen { .. }
            | Todo::Judge { .. }
            | Todo::Over
            | Todo::Leave
            | Todo::Drained
            | Todo::Settle,
            None,
        ) => {
            let message = "the record has no run for it";
            let cause = Cause::failure(FailureClass::Infrastructure, "NoRun", message);
            finish(cx, session, SessionState::Failed, cause).await?;
        }
        (Todo::Wait(_), _) => {}
    }
    Ok(Acted::Done)
}

pub(super) fn left(run: Option<&Run>) -> Acted {
    run.map_or(Acted::Done, |run| Acted::JobIsLeft(run.id))
}

/// Moves a session to a final state, unless somebody was quicker.
pub(super) async fn finish(
    cx: &Context,
    session: &Session,
    state: SessionState,
    cause: Cause,
) -> Result<(), ActError> {
    let reason = cause.reason.clone();
    match cx.store.session_move(session.id, session.revision, state, Some(cause)).await {
        Ok(session) => {
            tracing::info!(
                tenant.id = %session.tenant,
                session.id = %session.id,
                session.state = %session.state,
                reason,
                "a run ended"
            );
            Ok(())
        }
        Err(MoveError::Stale | MoveError::NotAllowed { .. }) => Ok(()),
        Err(MoveError::Store(error)) => Err(ActError::Store(error)),
    }
}

async fn judge(
    cx: &Context,
    session: &Session,
    run: &Run,
    reason: &str,
    message: &str,
) -> Result<(), ActError> {
    let server = server(cx, session).await?;
    let pod = newest(pods(&server, session, run).await?);
    let (state, mut cause) = of_failure(session, run, reason, message, pod.as_ref());
    // Its runner told how it ended, and whether it had been told to was lost.
    if let Some(drain) = &run.drain
        && cause.class == Some(FailureClass::Agent)
        && run.exited_at.is_none_or(|at| at >= drain.at)
    {
        cause = drain.failure();
    }
    finish(cx, session, state, cause).await
}

/// The watch says that the Job is not there; the API server has the last word.
async fn gone(cx: &Context, session: &Session, run: &Run) -> Result<Acted, ActError> {
    let server = server(cx, session).await?;
    if server.get(&job_key(&session.spec.project, run.id)).await?.is_some() {
        return Ok(Acted::JobIsThere(run.id));
    }
    job_gone(cx, session, run).await?;
    Ok(Acted::Done)
}

/// A run's Job was made and is not there any more.
pub(super) async fn job_gone(cx: &Context, session: &Session, run: &Run) -> Result<(), ActError> {
    let message = "its Job is gone; somebody deleted it, or the tenant's cluster lost it";
    let mut cause = Cause::failure(FailureClass::Infrastructure, "JobGone", message);
    if run.started_at.is_none() {
        cause = cause.before_start();
    }
    finish(cx, session, SessionState::Failed, cause).await
}

/// Its agent has not started: finds out whether it ever will.
async fn look(cx: &Context, session: &Session, run: &Run) -> Result<Acted, ActError> {
    let server = server(cx, session).await?;
    let pod = newest(pods(&server, session, run).await?);
    let name = match &pod {
        Some(pod) => pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default(),
        None => &job_key(&session.spec.project, run.id).name,
    };
    let fields = format!("involvedObject.name={name}");
    let namespace = Some(session.spec.project.as_str());
    let events = server.list_where(Kind::Event, namespace, &[("fieldSelector", &fields)]).await?;
    let created = run.job_created_at.unwrap_or(run.created_at);
    let waited = cx.clock.now().duration_since(created);
    let Some(cause) = of_delay(waited, pod.as_ref(), &events) else { return Ok(Acted::Done) };
    finish(cx, session, SessionState::Failed, cause.before_start()).await?;
    Ok(left(Some(run)))
}

/// Deletes a run's Job after its pod, which gets its grace period.
pub(super) async fn delete_job(cx: &Context, session: &Session, run: &Run) -> Result<(), ActError> {
    let server = server(cx, session).await?;
    let options = delete_options(Propagation::Foreground, None, None);
    server.delete(&job_key(&session.spec.project, run.id), &options).await?;
    Ok(())
}

/// A run that is over for the record, with its session; nothing if it is not, or the record does not know
/// it: its Job is left alone then.
pub(super) async fn over(
    store: &Store,
    tenant: TenantId,
    run: RunId,
) -> Result<Option<(Session, Run)>, StoreError> {
    let Some(run) = store.run_get(run).await? else { return Ok(None) };
    let session = store.session_get(run.session).await?;
    let is_over = |known: &Session| run.ended_at.is_some() || known.state.is_final();
    let session = session.filter(|known| is_over(known) && known.tenant == tenant);
    Ok(session.map(|session| (session, run)))
}

/// Deletes the Job of a run that is over, unless it has ended by itself. Whether it is proven, and noted,
/// that nothing of it runs any more.
#[tracing::instrument(name = "session.clear_away", skip_all, fields(tenant.id = %tenant, run.id = %id))]
pub(super) async fn clear_away(
    cx: &Context,
    tenant: TenantId,
    id: RunId,
) -> Result<bool, ActError> {
    let over = over(&cx.store, tenant, id).await.map_err(ActError::Store)?;
    let Some((session, run)) = over else { return Ok(true) };
    let server = server(cx, &session).await?;
    let job = server.get(&job_key(&session.spec.project, id)).await?;
    let Some(job) = job.filter(|job| !has_ended(job)) else {
        // One that its Job does not own stays when the Job goes.
        let options = delete_options(Propagation::Background, None, None);
        server.delete(&secret_key(&session.spec.project, id), &options).await?;
        tracing::info!(session.id = %session.id, "the Job of a run that is over is over too, or gone");
        cx.store.run_settled(id).await.map_err(ActError::Store)?;
        return Ok(true);
    };
    match going_since(&job) {
        None => delete_job(cx, &session, &run).await?,
        Some(since) if cx.clock.now() >= since + grace(&session) + FORCED => {
            force(cx, &session, &run).await?;
        }
        Some(_) => {}
    }
    Ok(false)
}

/// The Job controller ends a Job when the last of its pods has.
fn has_ended(job: &Value) -> bool {
    let conditions = job.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        condition["status"] == "True"
            && (condition["type"] == "Complete" || condition["type"] == "Failed")
    })
}

fn going_since(job: &Value) -> Option<Timestamp> {
    job.pointer("/metadata/deletionTimestamp")?.as_str()?.parse().ok()
}

/// Takes a run's pods out of the API without waiting for their node.
pub(super) async fn force(cx: &Context, session: &Session, run: &Run) -> Result<(), ActError> {
    let server = server(cx, session).await?;
    let options = delete_options(Propagation::Background, Some(0), None);
    let labels = format!("{RUN_LABEL}={}", run.id.digits());
    let namespace = session.spec.project.as_str();
    server.delete_all(Kind::Pod, namespace, &labels, &options).await?;
    let options = delete_options(Propagation::Background, None, None);
    server.delete(&job_key(&session.spec.project, run.id), &options).await?;
    Ok(())
}

pub(super) async fn pods(
    server: &ApiServer,
    session: &Session,
    run: &Run,
) -> Result<Vec<Value>, ApiError> {
    let labels = format!("{RUN_LABEL}={}", run.id.digits());
    server.list(Kind::Pod, Some(session.spec.project.as_str()), &labels).await
}

pub(super) async fn server(cx: &Context, session: &Session) -> Result<ApiServer, ActError> {
    Ok(ApiServer::tenant(cx.tenants.client(session.tenant).await?))
}
