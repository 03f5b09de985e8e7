//! Stopping a run until it is proven that nothing of it runs: the Job goes by the tenant's cluster if that
//! answers, the pod by the host's, and the token dies in any case.

use super::end::{ActError, Acted, delete_job, finish, left};
use crate::{
    Context,
    api_server::{ApiServer, Propagation, delete_options},
    node,
    tenant::observe::is_terminating,
};
use domain::{Cause, Run, Session, SessionState};
use planning::{
    Key, Kind,
    job::{RUN_LABEL, job_key},
    syncer::OBJECT_NAME,
};
use serde_json::Value;
use std::error::Error;
use store::MoveError;

/// For a process whose grace period is over.
const AT_ONCE: Option<u64> = Some(1);

/// Deletes a run's Job, with its pod's grace period. If its tenant's cluster does not answer, the pod is
/// deleted where its containers are: a stop does not wait for that.
pub(super) async fn begin(cx: &Context, session: &Session, run: &Run) -> Result<(), ActError> {
    let Err(error) = delete_job(cx, session, run).await else { return Ok(()) };
    let deleted = match pods(cx, session, run).await {
        Ok(pods) => {
            let all: Vec<Key> = pods.iter().map(key).collect();
            delete(cx, &all, None).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = deleted {
        warn(session, &error);
    }
    Err(error)
}

/// Ends a session that is being stopped once nothing of it runs; until then sees to it that its pod goes,
/// and, when it `is_late`, that its token is dead. Never fails: it is done again soon.
pub(super) async fn prove(cx: &Context, session: &Session, run: &Run, is_late: bool) -> Acted {
    let obstacle = match obstacle(cx, session, run).await {
        Ok(None) => {
            return match stopped(cx, session).await {
                Ok(()) => left(Some(run)),
                Err(error) => {
                    warn(session, &error);
                    Acted::Done
                }
            };
        }
        Ok(Some(obstacle)) => obstacle,
        Err(error) => {
            warn(session, &error);
            "the host cluster does not say whether its process has ended".to_owned()
        }
    };
    if is_late {
        fence(cx, session, run, &obstacle).await;
    }
    Acted::Done
}

/// Deletes what still runs of a run. Why it does; nothing if nothing runs.
async fn obstacle(cx: &Context, session: &Session, run: &Run) -> Result<Option<String>, ActError> {
    let pods = pods(cx, session, run).await?;
    let Some(pod) = pods.first() else { return Ok(None) };
    let staying: Vec<Key> = pods.iter().filter(|pod| !is_terminating(pod)).map(key).collect();
    delete(cx, &staying, AT_ONCE).await?;
    let Some(name) = pod.pointer("/spec/nodeName").and_then(Value::as_str) else {
        return Ok(Some("its pod is on no node and does not go".to_owned()));
    };
    let Some(ready) = node::ready(&ApiServer::host(cx.host.client()), name).await? else {
        return Ok(Some(format!("its node {name} is not there any more; its pod goes soon")));
    };
    if ready.holds() {
        return Ok(Some(format!("its node {name} is ready and has not ended it yet")));
    }
    let told = ready.message.unwrap_or_else(|| "it says nothing".to_owned());
    let told = told.trim_end_matches('.');
    Ok(Some(format!(
        "its node {name} is not ready ({told}), so nobody can say whether its process has ended before the node is \
         back or its Node object is deleted"
    )))
}

/// A session that was being stopped is over.
pub(super) async fn stopped(cx: &Context, session: &Session) -> Result<(), ActError> {
    let cause = Cause::plain("Stopped", "it was stopped; its process has ended");
    finish(cx, session, SessionState::Stopped, cause).await
}

/// Sees to it that the run's token is dead and that the session says what it waits for.
async fn fence(cx: &Context, session: &Session, run: &Run, obstacle: &str) {
    let message = format!(
        "its token is dead: it can report nothing and fetch nothing any more; {obstacle}; a stop with force does not \
         wait for that"
    );
    let cause = Cause::plain("StopUnproven", message);
    if run.ended_at.is_some() && session.cause.as_ref() == Some(&cause) {
        return;
    }
    match cx.store.session_fence(session.id, session.revision, cause).await {
        Ok(_) | Err(MoveError::Stale | MoveError::NotAllowed { .. }) => {}
        Err(MoveError::Store(error)) => warn(session, &error),
    }
}

/// The run's pods on the host whose containers may run. A tenant can change labels of its pods, and not
/// the names that the syncer notes.
async fn pods(cx: &Context, session: &Session, run: &Run) -> Result<Vec<Value>, ActError> {
    let tenant = cx.store.tenant_get(session.tenant).await.map_err(ActError::Store)?;
    let Some(tenant) = tenant else { return Ok(Vec::new()) };
    let namespace = tenant.cluster.host_namespace();
    let host = ApiServer::host(cx.host.client());
    let name = job_key(&session.spec.project, run.id).name;
    let is_of_run = |pod: &Value| {
        let label = pod.pointer("/metadata/labels").and_then(|labels| labels.get(RUN_LABEL));
        let annotations = pod.pointer("/metadata/annotations");
        let object = annotations.and_then(|all| all.get(OBJECT_NAME)).and_then(Value::as_str);
        label.is_some_and(|label| *label == run.id.digits())
            || object.is_some_and(|object| object.starts_with(&name))
    };
    let has_ended = |pod: &Value| {
        let phase = pod.pointer("/status/phase").and_then(Value::as_str);
        matches!(phase, Some("Succeeded" | "Failed"))
    };
    let mut pods = host.list(Kind::Pod, Some(&namespace), "").await?;
    pods.retain(|pod| is_of_run(pod) && !has_ended(pod));
    Ok(pods)
}

fn key(pod: &Value) -> Key {
    let text = |field| pod["metadata"][field].as_str().unwrap_or_default();
    Key::namespaced(Kind::Pod, text("namespace"), text("name"))
}

async fn delete(cx: &Context, pods: &[Key], grace: Option<u64>) -> Result<(), ActError> {
    let host = ApiServer::host(cx.host.client());
    for pod in pods {
        host.delete(pod, &delete_options(Propagation::Background, grace, None)).await?;
    }
    Ok(())
}

fn warn(session: &Session, error: &(dyn Error + 'static)) {
    tracing::warn!(
        session.id = %session.id,
        error,
        "a session that is being stopped could not be looked after; it is tried again"
    );
}
