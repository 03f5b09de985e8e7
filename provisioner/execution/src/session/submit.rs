//! Makes a run and its Job. Whatever is lost on the way is looked up, never assumed.

use super::{
    end::{self, ActError},
    evidence::refused,
};
use crate::{
    Context,
    api_server::{ApiError, ApiServer, Propagation, delete_options},
    tenant::project::{self, ProjectError},
};
use domain::{Cause, FailureClass, ProjectName, Run, RunId, Session, SessionState};
use http::StatusCode;
use jiff::SignedDuration;
use planning::{
    Key, RunAccess, RunObjects,
    job::{RUN_LABEL, job_key, owner_patch, secret_key},
    render_run_job,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use store::{MoveError, NewRun, StoreError};

/// How long a session waits for its project, if somebody deleted it.
const PROJECT_COMES: SignedDuration = SignedDuration::from_mins(2);

/// Begins an attempt at a queued session. Gives the run whose Job was made, if one was.
#[tracing::instrument(
    name = "session.submit",
    skip_all,
    fields(tenant.id = %session.tenant, session.id = %session.id)
)]
pub(super) async fn submit(cx: &Context, session: &Session) -> Result<Option<RunId>, ActError> {
    // The way to the tenant is opened before anything is written: a tenant that cannot be reached
    // keeps its sessions queued.
    let server = ApiServer::tenant(cx.tenants.client(session.tenant).await?);
    let new = match cx.store.run_create(session.id, session.revision).await {
        Ok(new) => new,
        // Somebody stopped it meanwhile.
        Err(MoveError::Stale | MoveError::NotAllowed { .. }) => return Ok(None),
        Err(MoveError::Store(error)) => return Err(ActError::Store(error)),
    };
    let NewRun { run, session, token } = new;
    place(cx, &server, &session, &run, &token).await
}

/// Goes on with a run whose Job was not noted as made: it may have been.
#[tracing::instrument(
    name = "session.resume",
    skip_all,
    fields(tenant.id = %session.tenant, session.id = %session.id, run.id = %run.id)
)]
pub(super) async fn resume(
    cx: &Context,
    session: &Session,
    run: &Run,
) -> Result<Option<RunId>, ActError> {
    let server = ApiServer::tenant(cx.tenants.client(session.tenant).await?);
    let key = job_key(&session.spec.project, run.id);
    if let Some(job) = server.get(&key).await? {
        accepted(cx, &server, session, run, &job).await?;
        return Ok(Some(run.id));
    }
    // It was made, and somebody deleted it: its agent may have begun, and never begins twice.
    if run.heartbeat_at.is_some() {
        end::job_gone(cx, session, run).await?;
        return Ok(None);
    }
    // The token that was made with the run is lost.
    let token = match cx.store.run_token_replace(run.id).await {
        Ok(token) => token,
        Err(StoreError::Ended) => return Ok(None),
        Err(error) => return Err(ActError::Store(error)),
    };
    place(cx, &server, session, run, &token).await
}

async fn place(
    cx: &Context,
    server: &ApiServer,
    session: &Session,
    run: &Run,
    token: &SecretString,
) -> Result<Option<RunId>, ActError> {
    if let Err(error) = prepare(server, &session.spec.project).await {
        let Some(cause) = hopeless(cx, session, &error) else { return Err(error.into()) };
        end::finish(cx, session, SessionState::Failed, cause).await?;
        return Ok(None);
    }
    let access =
        RunAccess { token: token.expose_secret(), authority: cx.run_authority.certificate() };
    let RunObjects { secret, job } = render_run_job(session, run, &cx.settings.now(), access);
    let made = async {
        create_anew(server, &secret.key, &secret.body).await?;
        create(server, &job.key, &job.body, run.id).await
    };
    match made.await {
        Ok(job) => {
            accepted(cx, server, session, run, &job).await?;
            Ok(Some(run.id))
        }
        Err(error) if is_project_missing(&error) && is_patient(cx, session) => {
            Err(ActError::NoProject(error))
        }
        Err(error) if error.is_denied() || error.is_not_found() => {
            refuse(cx, server, session, run, &error).await?;
            Ok(None)
        }
        // Not noted as made: it is taken up again.
        Err(error) => Err(error.into()),
    }
}

/// Makes the project at its first session. The standard one is there with the tenant.
async fn prepare(server: &ApiServer, project: &ProjectName) -> Result<(), ProjectError> {
    if *project == ProjectName::standard() {
        return Ok(());
    }
    project::ensure(server, project).await
}

/// Why the session ends without its project; nothing if that is worth another try.
fn hopeless(cx: &Context, session: &Session, error: &ProjectError) -> Option<Cause> {
    let (class, reason) = match error {
        ProjectError::Taken(_) => (FailureClass::UserConfig, "ProjectTaken"),
        ProjectError::Api(error) if error.is_denied() => {
            (FailureClass::PolicyDenied, "ProjectRefused")
        }
        ProjectError::Terminating(_) if !is_patient(cx, session) => {
            (FailureClass::UserConfig, "ProjectTerminating")
        }
        ProjectError::Api(_) | ProjectError::Terminating(_) => return None,
    };
    Some(Cause::failure(class, reason, error.to_string()))
}

/// The project's namespace is not there, or is being deleted.
fn is_project_missing(error: &ApiError) -> bool {
    // Kubernetes, plugin NamespaceLifecycle, words it like this.
    let is_going = "because it is being terminated";
    error.is_not_found()
        || error.refusal().is_some_and(|refusal| refusal.message.contains(is_going))
}

/// The Job breaks a rule of its format. Policies answer with the same status.
fn is_malformed(error: &ApiError) -> bool {
    error.refusal().is_some_and(|refusal| {
        refusal.status == StatusCode::UNPROCESSABLE_ENTITY
            // Kubernetes, plugin ValidatingAdmissionPolicy, words it like this.
            && !refusal.message.contains("denied request")
    })
}

/// Projects are Warren's to mend; for a while that is waited for.
fn is_patient(cx: &Context, session: &Session) -> bool {
    let since = session.starting_at.unwrap_or(session.created_at);
    cx.clock.now().duration_since(since) < PROJECT_COMES
}

/// Makes the Secret with a fresh token; one that is there holds a dead token, and cannot be changed.
async fn create_anew(server: &ApiServer, key: &Key, body: &Value) -> Result<(), ApiError> {
    match server.create(key, body).await {
        Err(error) if error.is_already_there() => {
            server.delete(key, &delete_options(Propagation::Background, None, None)).await?;
            server.create(key, body).await.map(|_| ())
        }
        result => result.map(|_| ()),
    }
}

/// Makes the Job. One of that name that is there is this run's: the name is its identifier.
async fn create(
    server: &ApiServer,
    key: &Key,
    body: &Value,
    run: RunId,
) -> Result<Value, ApiError> {
    match server.create(key, body).await {
        Err(error) if error.is_already_there() || error.is_outcome_unknown() => {
            match server.get(key).await? {
                Some(job) if is_of(&job, run) => Ok(job),
                _ => Err(error),
            }
        }
        result => result,
    }
}

fn is_of(job: &Value, run: RunId) -> bool {
    let label = job.pointer("/metadata/labels").and_then(|labels| labels.get(RUN_LABEL)?.as_str());
    label == Some(run.digits().as_str())
}

/// The Job is there: the Secret is made to go with it, then that is noted, so that whatever is noted as made
/// leaves nothing when it goes.
async fn accepted(
    cx: &Context,
    server: &ApiServer,
    session: &Session,
    run: &Run,
    job: &Value,
) -> Result<(), ActError> {
    if let Some(uid) = job.pointer("/metadata/uid").and_then(Value::as_str) {
        let secret = secret_key(&session.spec.project, run.id);
        match server.merge(&secret, &owner_patch(run.id, uid)).await {
            // Somebody deleted it.
            Err(error) if error.is_not_found() => {}
            result => {
                result?;
            }
        }
    }
    cx.store.run_job_created(run.id).await.map_err(ActError::Store)
}

/// The tenant's API server will not have the Job: the session ends with its words.
async fn refuse(
    cx: &Context,
    server: &ApiServer,
    session: &Session,
    run: &Run,
    error: &ApiError,
) -> Result<(), ActError> {
    let words = error.refusal().map(|refusal| refusal.message.as_str()).unwrap_or_default();
    let project = &session.spec.project;
    let cause = if error.is_not_found() {
        let message = format!("there is no project {project} in the tenant: {words}");
        Cause::failure(FailureClass::UserConfig, "NoSuchProject", message)
    } else if is_malformed(error) {
        Cause::failure(FailureClass::UserConfig, "JobInvalid", words)
    } else {
        refused("JobRefused", words)
    };
    let secret = secret_key(project, run.id);
    let options = delete_options(Propagation::Background, None, None);
    if let Err(error) = server.delete(&secret, &options).await {
        tracing::warn!(
            session.id = %session.id,
            error = &error as &dyn std::error::Error,
            "the Secret of a refused run stays"
        );
    }
    end::finish(cx, session, SessionState::Failed, cause).await
}
