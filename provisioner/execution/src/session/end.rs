//! Looks at a run's Job and pod, stops it, and ends its session.

use super::{
    decide::Todo,
    evidence::{newest, of_delay, of_failure, timed_out},
    submit,
};
use crate::{
    Context,
    api_server::{ApiError, ApiServer, Propagation, delete_options},
    tenant::project::ProjectError,
};
use clusters::ReachError;
use domain::{Cause, FailureClass, Run, RunId, Session, SessionState};
use planning::{
    Key, Kind,
    job::{RUN_LABEL, job_key},
};
use serde_json::Value;
use store::{MoveError, StoreError};

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

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acted {
    /// The run's Job is there.
    JobIsThere(RunId),
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
        (Todo::Look, Some(run)) => look(cx, session, run).await?,
        (Todo::SucceedUnreported, _) => {
            let message = "its Job succeeded; its runner did not report the end";
            let cause = Cause::plain("CompletedUnreported", message);
            finish(cx, session, SessionState::Succeeded, cause).await?;
        }
        (Todo::Judge { reason, message }, Some(run)) => {
            judge(cx, session, run, &reason, &message).await?;
        }
        (Todo::Gone, Some(run)) => return gone(cx, session, run).await,
        (Todo::Stop, Some(run)) => delete_job(cx, session, run).await?,
        (Todo::ForceStop, Some(run)) => force(cx, session, run).await?,
        (Todo::Stopped, _) | (Todo::Gone | Todo::Stop | Todo::ForceStop, None) => {
            stopped(cx, session).await?;
        }
        (Todo::StoppedUnconfirmed, _) => {
            let message = "its token is dead; nobody confirmed that its process has ended";
            let cause = Cause::plain("StoppedUnconfirmed", message);
            finish(cx, session, SessionState::Stopped, cause).await?;
        }
        (Todo::TimeOut, run) => {
            let (state, cause) = timed_out(session);
            finish(cx, session, state, cause).await?;
            if let Some(run) = run {
                delete_job(cx, session, run).await?;
            }
        }
        // A session that is starting or stopping without a run has nothing to be looked up.
        (Todo::Resume | Todo::Look | Todo::Judge { .. }, None) => {
            let message = "the record has no run for it";
            let cause = Cause::failure(FailureClass::Infrastructure, "NoRun", message);
            finish(cx, session, SessionState::Failed, cause).await?;
        }
        (Todo::Wait(_), _) => {}
    }
    Ok(Acted::Done)
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
        Ok(_) => {
            tracing::info!(
                tenant.id = %session.tenant,
                session.id = %session.id,
                session.state = %state,
                reason,
                "a session ended"
            );
            Ok(())
        }
        Err(MoveError::Stale | MoveError::NotAllowed { .. }) => Ok(()),
        Err(MoveError::Store(error)) => Err(ActError::Store(error)),
    }
}

async fn stopped(cx: &Context, session: &Session) -> Result<(), ActError> {
    let cause = Cause::plain("Stopped", "it was stopped; its process has ended");
    finish(cx, session, SessionState::Stopped, cause).await
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
    let (state, cause) = of_failure(session, run, reason, message, pod.as_ref());
    finish(cx, session, state, cause).await
}

/// The watch says that the Job is not there; the API server has the last word.
async fn gone(cx: &Context, session: &Session, run: &Run) -> Result<Acted, ActError> {
    let server = server(cx, session).await?;
    if server.get(&job_key(&session.spec.project, run.id)).await?.is_some() {
        return Ok(Acted::JobIsThere(run.id));
    }
    if session.state == SessionState::Stopping {
        stopped(cx, session).await?;
        return Ok(Acted::Done);
    }
    let message = "its Job is gone; somebody deleted it, or the tenant's cluster lost it";
    let cause = Cause::failure(FailureClass::Infrastructure, "JobGone", message);
    finish(cx, session, SessionState::Failed, cause).await?;
    Ok(Acted::Done)
}

/// Its agent has not started: finds out whether it ever will.
async fn look(cx: &Context, session: &Session, run: &Run) -> Result<(), ActError> {
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
    let Some(cause) = of_delay(waited, pod.as_ref(), &events) else { return Ok(()) };
    finish(cx, session, SessionState::Failed, cause).await?;
    delete_job(cx, session, run).await
}

/// Deletes a run's Job after its pod, which gets its grace period.
pub(super) async fn delete_job(cx: &Context, session: &Session, run: &Run) -> Result<(), ActError> {
    let server = server(cx, session).await?;
    let options = delete_options(Propagation::Foreground, None, None);
    server.delete(&job_key(&session.spec.project, run.id), &options).await?;
    Ok(())
}

/// Takes a run's pods out of the API without waiting for their node.
async fn force(cx: &Context, session: &Session, run: &Run) -> Result<(), ActError> {
    let server = server(cx, session).await?;
    let options = delete_options(Propagation::Background, Some(0), None);
    let labels = format!("{RUN_LABEL}={}", run.id.digits());
    let namespace = session.spec.project.as_str();
    server.delete_all(Kind::Pod, namespace, &labels, &options).await?;
    let key = Key::namespaced(Kind::Job, namespace, &job_key(&session.spec.project, run.id).name);
    let options = delete_options(Propagation::Background, None, None);
    server.delete(&key, &options).await?;
    Ok(())
}

async fn pods(server: &ApiServer, session: &Session, run: &Run) -> Result<Vec<Value>, ApiError> {
    let labels = format!("{RUN_LABEL}={}", run.id.digits());
    server.list(Kind::Pod, Some(session.spec.project.as_str()), &labels).await
}

async fn server(cx: &Context, session: &Session) -> Result<ApiServer, ActError> {
    Ok(ApiServer::tenant(cx.tenants.client(session.tenant).await?))
}
