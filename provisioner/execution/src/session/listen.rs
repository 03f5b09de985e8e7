//! A runner that is not heard of any more: is its process gone, although its pod says that it runs?

use super::{
    end::{ActError, Acted, finish, force, left, pods, server},
    evidence::{newest, of_failure},
};
use crate::{
    Context,
    api_server::{ApiError, ApiServer},
    node,
};
use domain::{Cause, Evidence, FailureClass, Run, Session, SessionState};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// How long a runner may be silent on a node that is well. It reports every 5 s, whatever its agent does.
const PATIENCE: SignedDuration = SignedDuration::from_mins(1);

/// Ends a run whose process is gone for certain, or that nobody has heard of for too long.
pub(super) async fn listen(
    cx: &Context,
    session: &Session,
    run: &Run,
    since: Timestamp,
) -> Result<Acted, ActError> {
    let tenant = server(cx, session).await?;
    let Some(pod) = newest(pods(&tenant, session, run).await?) else {
        return end(cx, session, run, "PodGone", "its pod is not there any more", None).await;
    };
    let phase = pod.pointer("/status/phase").and_then(Value::as_str);
    if matches!(phase, Some("Failed" | "Succeeded")) {
        // The Job says so soon; until then its pod is asked why.
        let (state, cause) = of_failure(session, run, "", "its process has ended", Some(&pod));
        finish(cx, session, state, cause).await?;
        return Ok(left(Some(run)));
    }
    let silence = cx.clock.now().duration_since(since).as_secs();
    let node = pod.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default();
    if let Some(trouble) = trouble(&ApiServer::host(cx.host.client()), node).await? {
        let message = format!(
            "its node {node} {trouble}, and nothing was heard of it for {silence} s; if its process comes back, it can \
             report nothing any more"
        );
        return end(cx, session, run, "NodeLost", &message, Some(node)).await;
    }
    if silence >= PATIENCE.as_secs() {
        let message = format!(
            "nothing was heard of it for {silence} s, although its pod runs on node {node}, which is ready: its process \
             hangs or cannot reach Warren"
        );
        return end(cx, session, run, "Silent", &message, Some(node)).await;
    }
    Ok(Acted::Done)
}

/// The run is over; its pod is taken out of the API, as nobody answers for it.
async fn end(
    cx: &Context,
    session: &Session,
    run: &Run,
    reason: &str,
    message: &str,
    node: Option<&str>,
) -> Result<Acted, ActError> {
    let evidence = Evidence { node: node.map(str::to_owned), ..Evidence::default() };
    let cause = Cause::failure(FailureClass::Infrastructure, reason, message).with(evidence);
    finish(cx, session, SessionState::Failed, cause).await?;
    force(cx, session, run).await?;
    Ok(left(Some(run)))
}

/// What is wrong with a node of the host, if anything is.
async fn trouble(host: &ApiServer, name: &str) -> Result<Option<String>, ApiError> {
    let Some(ready) = node::ready(host, name).await? else {
        return Ok(Some("is not there any more".to_owned()));
    };
    let is_well = ready.holds() || !ready.is_told();
    let told = ready.message.unwrap_or_default();
    Ok((!is_well).then(|| format!("is not ready ({})", told.trim_end_matches('.'))))
}
