//! Whether a tenant's control plane answers and its names are resolved.

use super::{Memory, ReconcileError, report::Findings};
use crate::{
    Context,
    api_server::{ApiServer, Fault},
    desired,
};
use clusters::{Reach, ReachError};
use domain::{ConditionKind, ConditionStatus, Tenant};
use jiff::SignedDuration;
use planning::{Key, Kind, pod::is_ready};
use serde_json::Value;
use std::time::Duration;

/// How often a starting control plane is asked by its address: a refused connection costs nothing.
const BY_ADDRESS: Duration = Duration::from_millis(150);
/// How often it is asked through the host's API server.
const FORWARDED: Duration = Duration::from_millis(500);
/// How often something is asked whose changes are watched anyway.
const WATCHED: Duration = Duration::from_secs(2);
/// How often it is asked when it has been starting for long.
const LATE: Duration = Duration::from_secs(10);
/// What "for long" means.
const LATE_AFTER: SignedDuration = SignedDuration::from_mins(3);
/// The longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(3);
/// How often the host is asked what holds a control plane up, if no watch tells.
const STORY: SignedDuration = SignedDuration::from_secs(3);
/// How long a pod may be missing before the reason is looked for.
const MISSING_AFTER: SignedDuration = SignedDuration::from_secs(5);

/// Asks the tenant's API server for an object that every cluster has, with Warren's own credential.
pub(super) async fn control_plane(
    cx: &Context,
    record: &Tenant,
    memory: &mut Memory,
    has_news: bool,
) -> Result<(), ReconcileError> {
    let was_answering = std::mem::replace(&mut memory.is_answering, false);
    if is_answering(cx, record).await? {
        memory.is_answering = true;
        memory.story = None;
        let pod = control_plane_pod(cx, record).await?;
        let started = pod.as_ref().and_then(container_start);
        if memory.control_plane != started {
            memory.control_plane = started;
            memory.baseline = None;
        }
        return Ok(());
    }
    if was_answering {
        // Its address may have changed.
        cx.tenants.forget(record.id);
    }
    let now = cx.clock.now();
    let is_old = memory.story_at.is_none_or(|at| now.duration_since(at) >= STORY);
    if has_news || is_old {
        memory.story_at = Some(now);
        memory.story = story(cx, record, memory).await?;
    }
    Ok(())
}

/// Whether a tenant's API server answers now.
///
/// # Errors
/// If it refuses Warren, or something else is wrong that does not pass by itself.
pub(crate) async fn is_answering(cx: &Context, record: &Tenant) -> Result<bool, ReconcileError> {
    let client = match cx.tenants.client(record.id).await {
        Ok(client) => client,
        Err(ReachError::NoService) => return Ok(false),
        Err(error) => return Err(ReconcileError::of_reach(record, error)),
    };
    let anything = Key::global(Kind::Namespace, "default");
    let server = ApiServer::tenant(client);
    match tokio::time::timeout(ANSWER, server.get(&anything)).await {
        Err(_) => Ok(false),
        Ok(Ok(namespace)) => Ok(namespace.is_some()),
        Ok(Err(error)) => match &error.fault {
            Fault::Unreachable(_) | Fault::NoAnswer(_) | Fault::Unreadable => Ok(false),
            Fault::Refused(refusal) if refusal.status.is_server_error() => Ok(false),
            Fault::Refused(_) => Err(error.into()),
        },
    }
}

/// How long to wait before asking again.
pub(super) fn patience(cx: &Context, memory: &Memory) -> Duration {
    let now = cx.clock.now();
    let is_late = memory.starting_since.is_some_and(|since| now.duration_since(since) > LATE_AFTER);
    if is_late {
        LATE
    } else if memory.is_answering {
        WATCHED
    } else {
        match cx.tenants.reach() {
            Reach::ClusterIp => BY_ADDRESS,
            Reach::PortForward => FORWARDED,
        }
    }
}

/// Whether the DNS server has an address, without which no pod of the tenant starts, and a ready pod.
pub(super) async fn dns(
    cx: &Context,
    record: &Tenant,
    memory: &mut Memory,
    findings: &mut Findings,
) -> Result<(), ReconcileError> {
    let host = ApiServer::host(cx.host.client());
    let namespace = record.cluster.host_namespace();
    let mut is_waiting = |message: &str| {
        findings.set(ConditionKind::DnsReady, ConditionStatus::False, "Starting", message);
    };
    memory.is_resolving = false;
    if host.get(&desired::spec(record).dns_service()).await?.is_none() {
        is_waiting("the DNS server has no address yet");
        return Ok(());
    }
    let pods = host.list(Kind::Pod, Some(&namespace), "k8s-app=vcluster-kube-dns").await?;
    if !pods.iter().any(is_ready) {
        let story = pods.iter().find_map(trouble);
        is_waiting(story.as_deref().unwrap_or("the DNS server's pod is not ready yet"));
        return Ok(());
    }
    memory.is_resolving = true;
    findings
        .hold("Ready", "the DNS server has an address and a pod that says it is ready to answer");
    Ok(())
}

async fn control_plane_pod(cx: &Context, record: &Tenant) -> Result<Option<Value>, ReconcileError> {
    let host = ApiServer::host(cx.host.client());
    Ok(host.get(&desired::spec(record).control_plane_pod()).await?)
}

/// What holds the control plane up, in the words of the host; stable while nothing changes.
async fn story(
    cx: &Context,
    record: &Tenant,
    memory: &Memory,
) -> Result<Option<String>, ReconcileError> {
    let waited = memory.starting_since.map(|since| cx.clock.now().duration_since(since));
    if waited.is_none_or(|waited| waited < MISSING_AFTER) {
        return Ok(None);
    }
    if let Some(pod) = control_plane_pod(cx, record).await? {
        return Ok(trouble(&pod));
    }
    let host = ApiServer::host(cx.host.client());
    let namespace = record.cluster.host_namespace();
    let fields = format!("involvedObject.kind=StatefulSet,involvedObject.name={}", record.cluster);
    let events =
        host.list_where(Kind::Event, Some(&namespace), &[("fieldSelector", &fields)]).await?;
    let refusal = events
        .iter()
        .filter(|event| event.get("reason").and_then(Value::as_str) == Some("FailedCreate"))
        .max_by_key(|event| event.get("lastTimestamp").and_then(Value::as_str).map(str::to_owned))
        .and_then(|event| event.get("message")?.as_str());
    Ok(refusal.map(|message| format!("the host refuses its pod: {message}")))
}

/// What is wrong with a pod, if its status says so.
pub(super) fn trouble(pod: &Value) -> Option<String> {
    let text = |value: &Value, pointer: &str| {
        value
            .pointer(pointer)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let list = |pointer: &str| pod.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let unscheduled = list("/status/conditions").find(|condition| {
        text(condition, "/type").as_deref() == Some("PodScheduled")
            && text(condition, "/status").as_deref() == Some("False")
    });
    if let Some(condition) = unscheduled {
        let message = text(condition, "/message").unwrap_or_default();
        return Some(format!("its pod finds no node: {message}"));
    }
    list("/status/initContainerStatuses").chain(list("/status/containerStatuses")).find_map(
        |status| {
            let reason = text(status, "/state/waiting/reason")?;
            // These two mean that it is on its way.
            if reason == "ContainerCreating" || reason == "PodInitializing" {
                return None;
            }
            let message = text(status, "/state/waiting/message").unwrap_or_default();
            let name = text(status, "/name").unwrap_or_default();
            Some(format!("container {name} waits: {reason} {message}").trim_end().to_owned())
        },
    )
}

/// Identifies one life of the control plane.
fn container_start(pod: &Value) -> Option<String> {
    let statuses = pod.pointer("/status/containerStatuses")?.as_array()?;
    let started =
        statuses.iter().find_map(|status| status.pointer("/state/running/startedAt")?.as_str());
    let uid = pod.pointer("/metadata/uid")?.as_str()?;
    Some(format!("{uid} {}", started.unwrap_or_default()))
}
