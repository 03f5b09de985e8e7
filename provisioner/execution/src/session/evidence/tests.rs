use super::*;
use domain::{Bytes, sample};
use jiff::Timestamp;
use serde_json::json;

fn session() -> Session {
    sample::session(SessionState::Running)
}

fn run(has_started: bool) -> Run {
    Run {
        job_created_at: Some(Timestamp::UNIX_EPOCH),
        started_at: has_started.then_some(Timestamp::UNIX_EPOCH),
        ..sample::run()
    }
}

fn failure(pod: Option<&Value>) -> (SessionState, Option<FailureClass>, String) {
    let (state, cause) = of_failure(&session(), &run(true), "BackoffLimitExceeded", "m", pod);
    (state, cause.class, cause.reason)
}

fn ended(terminated: &Value) -> Value {
    json!({ "status": { "containerStatuses": [{ "name": "agent", "state": { "terminated": terminated } }] } })
}

#[test]
fn each_way_to_fail_is_blamed_on_the_right_one() {
    use FailureClass as F;
    let condition = |reason: &str| {
        json!({ "status": { "conditions": [
            { "type": "DisruptionTarget", "status": "True", "reason": reason, "message": "m" },
        ] } })
    };
    let evicted = json!({ "status": { "reason": "Evicted", "message": "disk" } });
    let runner = json!({ "status": { "initContainerStatuses": [
        { "name": "runner", "state": { "terminated": { "exitCode": 1 } } },
    ] } });
    let oom = ended(&json!({ "reason": "OOMKilled", "exitCode": 137 }));
    let start =
        ended(&json!({ "reason": "StartError", "exitCode": 128, "message": "no such file" }));
    let code = ended(&json!({ "reason": "Error", "exitCode": 3 }));
    let signal = ended(&json!({ "reason": "Error", "exitCode": 137 }));
    let fault = ended(&json!({ "reason": "Error", "exitCode": 139 }));
    let told = ended(&json!({ "reason": "Error", "exitCode": 143 }));
    let deleted = json!({ "metadata": { "deletionTimestamp": "2027-01-15T08:00:00Z" } });
    let cases = [
        (Some(&oom), F::Resource, "OutOfMemory"),
        (Some(&evicted), F::Resource, "Evicted"),
        (Some(&start), F::UserConfig, "CannotStart"),
        (Some(&code), F::Agent, "ExitCode"),
        (Some(&signal), F::Infrastructure, "Killed"),
        (Some(&fault), F::Agent, "Signal"),
        (Some(&runner), F::Infrastructure, "RunnerNotInstalled"),
        (Some(&told), F::Infrastructure, "Terminated"),
        (Some(&deleted), F::Infrastructure, "PodDeleted"),
        (None, F::Infrastructure, "PodGone"),
    ];
    for (pod, class, reason) in cases {
        assert_eq!(failure(pod), (SessionState::Failed, Some(class), reason.to_owned()));
    }
    let node = condition("DeletionByTaintManager");
    assert_eq!(failure(Some(&node)).1, Some(F::Infrastructure));
    let short = condition("TerminationByKubelet");
    assert_eq!(failure(Some(&short)).1, Some(F::Resource));
}

#[test]
fn too_little_memory_says_how_much_there_was_and_what_to_do() {
    let pod = ended(&json!({ "reason": "OOMKilled", "exitCode": 137 }));
    let (_, cause) = of_failure(&session(), &run(true), "BackoffLimitExceeded", "", Some(&pod));
    let limit = session().spec.resources.memory.to_string();
    assert!(cause.message.contains(&limit), "{}", cause.message);
    let next = cause.next_step().expect("a failure");
    assert!(next.advice.contains("resources.memory"), "{}", next.advice);
    assert_eq!(next.memory, Some(Bytes(2 * session().spec.resources.memory.0)));
}

#[test]
fn an_open_network_is_not_the_agents_fault() {
    let pod = ended(&json!({ "reason": "Error", "exitCode": 78 }));
    let (_, cause) = of_failure(&session(), &run(false), "BackoffLimitExceeded", "", Some(&pod));
    assert_eq!(cause.class, Some(FailureClass::Transient), "nothing was done yet");
    let (_, cause) = of_failure(&session(), &run(true), "BackoffLimitExceeded", "", Some(&pod));
    assert_eq!(cause.class, Some(FailureClass::Agent), "an agent may end with any code");
}

#[test]
fn a_runner_that_failed_is_quoted() {
    let words = "warren-runner: the environment variable WARREN_RUN_ID is missing\n";
    let pod = ended(&json!({ "reason": "Error", "exitCode": 71, "message": words }));
    let (_, cause) = of_failure(&session(), &run(false), "BackoffLimitExceeded", "", Some(&pod));
    assert_eq!(
        (cause.class, cause.reason.as_str()),
        (Some(FailureClass::Transient), "RunnerFailed")
    );
    assert!(cause.message.ends_with("WARREN_RUN_ID is missing"), "{}", cause.message);
    let (_, cause) = of_failure(&session(), &run(true), "BackoffLimitExceeded", "", Some(&pod));
    assert_eq!(cause.class, Some(FailureClass::Agent), "an agent may end with any code");
    let init = json!({ "status": { "initContainerStatuses": [
        { "name": "runner", "state": { "terminated": { "exitCode": 74, "message": "no room" } } },
    ] } });
    let (_, cause) = of_failure(&session(), &run(false), "BackoffLimitExceeded", "", Some(&init));
    assert_eq!(cause.message, "the runner could not be put into the pod: no room");
}

#[test]
fn a_deadline_is_no_failure() {
    let (state, cause) = of_failure(&session(), &run(true), "DeadlineExceeded", "", None);
    assert_eq!((state, cause.class), (SessionState::TimedOut, None));
}

fn delay(seconds: i64, pod: Option<&Value>, events: &[Value]) -> Option<(FailureClass, String)> {
    let cause = of_delay(SignedDuration::from_secs(seconds), pod, events)?;
    Some((cause.class?, cause.message))
}

#[test]
fn a_refused_pod_is_told_in_the_api_servers_words() {
    let words = "pods \"run-1-\" is forbidden: exceeded quota: small";
    let event = json!({ "reason": "FailedCreate", "type": "Warning", "message": words });
    let expected = Some((FailureClass::PolicyDenied, words.to_owned()));
    assert_eq!(delay(10, None, std::slice::from_ref(&event)), expected);
    assert_eq!(delay(10, None, &[]), None, "without a refusal it is only slow");
    let pending = json!({ "status": { "phase": "Pending" } });
    let words = "Error syncing: pods \"x\" is forbidden: exceeded quota: warren-tenant";
    let event = json!({ "reason": "SyncError", "type": "Warning", "message": words });
    let expected = Some((FailureClass::PolicyDenied, words.to_owned()));
    assert_eq!(delay(10, Some(&pending), &[event]), expected);
    let normal = json!({ "reason": "Scheduled", "type": "Normal", "message": "assigned" });
    assert_eq!(delay(600, Some(&pending), &[normal]), None);
}

#[test]
fn an_image_that_cannot_be_pulled_ends_the_session_after_half_a_minute() {
    let waiting = |reason: &str| {
        json!({ "status": { "containerStatuses": [{ "name": "agent", "image": "r/x:1", "state": {
            "waiting": { "reason": reason, "message": "no such image" },
        } }] } })
    };
    let pull = waiting("ImagePullBackOff");
    assert_eq!(delay(20, Some(&pull), &[]), None);
    let message = "the image r/x:1 cannot be used: no such image".to_owned();
    let expected = Some((FailureClass::UserConfig, message));
    assert_eq!(delay(30, Some(&pull), &[]), expected);
    assert_eq!(delay(10, Some(&waiting("InvalidImageName")), &[]), expected);
    assert_eq!(delay(600, Some(&waiting("ContainerCreating")), &[]), None);
    let cannot = waiting("CreateContainerError");
    assert_eq!(delay(20, Some(&cannot), &[]), None, "it may be tried again");
    let expected = Some((FailureClass::Infrastructure, "no such image".to_owned()));
    assert_eq!(delay(30, Some(&cannot), &[]), expected);
}
