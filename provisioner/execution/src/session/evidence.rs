//! Why a Job failed or does not begin, from its pod and from events. Pure.

use domain::{Cause, Evidence, Exit, FailureClass, Run, Session, SessionState};
use jiff::SignedDuration;
use serde_json::Value;

/// The container that the agent runs in, and the one that puts the runner there.
const AGENT: &str = "agent";
const RUNNER: &str = "runner";
/// The runner's exit code when the network was still open to what it must not reach.
const NETWORK_OPEN: i64 = 78;
/// The runner's exit codes when it could not start the agent: Warren could not be reached, the pod lacks something,
/// or the run's token was not accepted.
const RUNNER_FAILED: [i64; 3] = [70, 71, 77];
/// What a program exits with that was ended by SIGTERM, and by SIGKILL.
const TERMINATED: i64 = 143;
const KILLED: i64 = 137;
/// How long an image may be pulled, and a container be made, in vain.
const PULL_PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// How a session whose Job failed has ended.
pub(super) fn of_failure(
    session: &Session,
    run: &Run,
    reason: &str,
    message: &str,
    pod: Option<&Value>,
) -> (SessionState, Cause) {
    let pod_reason = pod.and_then(|pod| text(pod, "/status/reason"));
    if reason == "DeadlineExceeded" || pod_reason == Some("DeadlineExceeded") {
        return timed_out(session);
    }
    let cause = pod.and_then(|pod| of_pod(run, pod)).unwrap_or_else(|| {
        let told = if message.is_empty() { reason } else { message };
        Cause::failure(
            FailureClass::Infrastructure,
            "PodGone",
            format!("the Job failed and its pod is not there to say why: {told}"),
        )
    });
    let mut cause = if run.started_at.is_none() { cause.before_start() } else { cause };
    cause.evidence.node = pod.and_then(|pod| text(pod, "/spec/nodeName")).map(str::to_owned);
    (SessionState::Failed, cause)
}

pub(super) fn timed_out(session: &Session) -> (SessionState, Cause) {
    let seconds = session.spec.timeout_seconds;
    let message = format!("it did not end within its {seconds} s; ask for more in timeoutSeconds");
    (SessionState::TimedOut, Cause::plain("DeadlineExceeded", message))
}

fn of_pod(run: &Run, pod: &Value) -> Option<Cause> {
    if text(pod, "/status/reason") == Some("Evicted") {
        let message = text(pod, "/status/message").unwrap_or("the node was short of something");
        let cause = Cause::failure(FailureClass::Resource, "Evicted", message);
        return Some(cause.with(Evidence::of_words(message)));
    }
    if let Some(disruption) = condition(pod, "DisruptionTarget") {
        let message = text(disruption, "/message").unwrap_or("its pod was taken away").to_owned();
        let is_node_short = text(disruption, "/reason") == Some("TerminationByKubelet");
        let class =
            if is_node_short { FailureClass::Resource } else { FailureClass::Infrastructure };
        let evidence = Evidence::of_words(&message);
        return Some(Cause::failure(class, "Disrupted", message).with(evidence));
    }
    if text(pod, "/metadata/deletionTimestamp").is_some() {
        let message = "somebody deleted its pod";
        return Some(Cause::failure(FailureClass::Infrastructure, "PodDeleted", message));
    }
    if let Some(ended) = terminated(pod, "/status/initContainerStatuses", RUNNER)
        && ended.pointer("/exitCode").and_then(Value::as_i64) != Some(0)
    {
        let message = "the runner could not be put into the pod";
        return Some(Cause::failure(
            FailureClass::Infrastructure,
            "RunnerNotInstalled",
            with_words(message, ended),
        ));
    }
    let ended = terminated(pod, "/status/containerStatuses", AGENT)?;
    Some(of_agent(run, ended))
}

fn of_agent(run: &Run, ended: &Value) -> Cause {
    let code = ended.pointer("/exitCode").and_then(Value::as_i64).unwrap_or(-1);
    match text(ended, "/reason") {
        Some("OOMKilled") => Cause::out_of_memory(run.resources.memory, run.usage),
        Some("StartError" | "ContainerCannotRun") => {
            let message = with_words("its program could not be started", ended);
            let words = text(ended, "/message").unwrap_or_default();
            Cause::failure(FailureClass::UserConfig, "CannotStart", message)
                .with(Evidence::of_words(words))
        }
        _ if code == NETWORK_OPEN && run.started_at.is_none() => Cause::failure(
            FailureClass::Infrastructure,
            "NetworkOpen",
            "the network policies did not take hold in time, so the agent was not started",
        ),
        _ if RUNNER_FAILED.contains(&code) && run.started_at.is_none() => Cause::failure(
            FailureClass::Infrastructure,
            "RunnerFailed",
            with_words("the runner ended before it could start the agent", ended),
        ),
        // Its runner has told how it ended, and what followed from that was lost.
        _ if let Some(exit) = run.exit => Cause::of_exit(exit),
        // The runner tells of an agent that is killed; whoever is in the container cannot kill the runner.
        _ if code == KILLED => Cause::failure(
            FailureClass::Infrastructure,
            "Killed",
            "its container was killed from outside, and nothing says by whom",
        ),
        // As above: this one was told to end.
        _ if code == TERMINATED => Cause::failure(
            FailureClass::Infrastructure,
            "Terminated",
            "its pod was told to end, and nothing says by whom",
        ),
        // 128 and the signal, as shells count.
        _ if (129..=192).contains(&code) => {
            Cause::of_exit(Exit { code: None, signal: i32::try_from(code - 128).ok() })
        }
        _ => Cause::of_exit(Exit { code: i32::try_from(code).ok(), signal: None }),
    }
}

/// A sentence with what the container said last, or what its runtime said of it.
fn with_words(sentence: &str, ended: &Value) -> String {
    match text(ended, "/message").map(str::trim) {
        Some(words) if !words.is_empty() => format!("{sentence}: {words}"),
        _ => sentence.to_owned(),
    }
}

/// Why a run does not begin, if it never will. `waited` counts from the Job's creation.
pub(super) fn of_delay(
    waited: SignedDuration,
    pod: Option<&Value>,
    events: &[Value],
) -> Option<Cause> {
    let Some(pod) = pod else {
        // The Job controller tries again and again; the API server's words do not change.
        let refusal = events
            .iter()
            .find(|event| text(event, "/reason") == Some("FailedCreate"))
            .and_then(|event| text(event, "/message"))?;
        return Some(refused("PodRefused", refusal));
    };
    let statuses = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let waiting = statuses
        .iter()
        .filter_map(|list| pod.pointer(list)?.as_array())
        .flatten()
        .find_map(|status| Some((status, status.pointer("/state/waiting")?)));
    if let Some((status, waiting)) = waiting {
        let message = text(waiting, "/message").unwrap_or_default();
        let image = text(status, "/image").unwrap_or_default();
        let unusable = |reason: &str| {
            let said = format!("the image {image} cannot be used: {message}");
            let evidence =
                Evidence { image: Some(image.to_owned()), ..Evidence::of_words(message) };
            Some(Cause::failure(FailureClass::UserConfig, reason, said).with(evidence))
        };
        match text(waiting, "/reason").unwrap_or_default() {
            reason @ ("InvalidImageName" | "ErrImageNeverPull" | "ImageInspectError") => {
                return unusable(reason);
            }
            reason @ ("ErrImagePull" | "ImagePullBackOff") if waited >= PULL_PATIENCE => {
                return unusable(reason);
            }
            reason @ ("CreateContainerConfigError"
            | "CreateContainerError"
            | "RunContainerError")
                if waited >= PULL_PATIENCE =>
            {
                return Some(Cause::failure(FailureClass::Infrastructure, reason, message));
            }
            _ => return None,
        }
    }
    // The tenant's cluster has the pod, the host does not want it.
    let is_refusal = |event: &&Value| {
        let message = text(event, "/message").unwrap_or_default();
        text(event, "/type") == Some("Warning")
            && (message.contains("exceeded quota")
                || message.contains("is forbidden")
                || message.contains("denied the request")
                || message.contains("denied request"))
    };
    let refusal = events.iter().find(is_refusal).and_then(|event| text(event, "/message"))?;
    Some(refused("HostRefused", refusal))
}

/// An API server would not have it, in its words.
pub(super) fn refused(reason: &str, words: &str) -> Cause {
    Cause::failure(FailureClass::PolicyDenied, reason, words).with(Evidence::of_words(words))
}

/// The newest of a run's pods.
pub(super) fn newest(pods: Vec<Value>) -> Option<Value> {
    let made = |pod: &Value| text(pod, "/metadata/creationTimestamp").map(str::to_owned);
    pods.into_iter().max_by_key(made)
}

fn terminated<'a>(pod: &'a Value, list: &str, name: &str) -> Option<&'a Value> {
    pod.pointer(list)?
        .as_array()?
        .iter()
        .find(|status| text(status, "/name") == Some(name))?
        .pointer("/state/terminated")
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    pod.pointer("/status/conditions")?.as_array()?.iter().find(|condition| {
        text(condition, "/type") == Some(kind) && text(condition, "/status") == Some("True")
    })
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

#[cfg(test)]
mod tests;
