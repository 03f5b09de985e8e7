//! A session's life: queued, started, followed, ended, read afterwards.

use anyhow::{Result, ensure};
use black_box::{Lab, TestTenant, until};
use serde_json::json;

#[test]
fn a_session_runs_as_a_job_and_leaves_its_log_result_and_artifacts() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "runs")?;
    let line = "echo one; echo two >&2; cat /warren/inputs/greeting.txt; \
                printf '{\"answer\":42}' > $WARREN_OUTPUT_DIR/result.json; \
                mkdir $WARREN_OUTPUT_DIR/deep; echo body > $WARREN_OUTPUT_DIR/deep/report.md; printf 'no newline'";
    let id = tenant.session(&json!({
        "image": lab.image("busybox"), "command": ["/bin/sh", "-c"], "args": [line],
        "env": {"GREETING": "hello"}, "inputs": [{"name": "greeting.txt", "content": "hello from the input\n"}],
        "labels": {"purpose": "test"}}))?;
    let session = tenant.session_end(&id, 60)?;
    ensure!(session["state"] == "succeeded", "{session}");
    for time in ["createdAt", "startingAt", "runningAt", "finishedAt"] {
        ensure!(session[time].is_string(), "{time}: {session}");
    }
    let log = tenant.session_log(&id)?;
    for expected in ["one", "two", "hello from the input", "no newline"] {
        ensure!(log.contains(expected), "the log has {expected:?}: {log}");
    }
    let result = lab.get(&tenant.path(&format!("/sessions/{id}/result")))?;
    ensure!(result == json!({"answer": 42}), "{result}");
    let artifacts = lab.get(&tenant.path(&format!("/sessions/{id}/artifacts")))?;
    ensure!(artifacts.to_string().contains("deep/report.md"), "{artifacts}");
    let path = tenant.path(&format!("/sessions/{id}/artifacts/deep/report.md"));
    let body = lab.request(reqwest::Method::GET, &path)?.send()?.text()?;
    ensure!(body == "body\n", "{body:?}");

    let jobs = tenant.kubectl(&["-n", "agents", "get", "jobs", "-o", "json"])?.success()?;
    let digits = id.trim_start_matches("ses_");
    ensure!(jobs.contains(digits), "the Job is in the tenant's own API server: {jobs}");
    let job: serde_json::Value = serde_json::from_str(&jobs)?;
    let spec = &job["items"][0]["spec"];
    ensure!(spec["backoffLimit"] == 0 && spec["activeDeadlineSeconds"].is_number(), "{spec}");

    tenant.kubectl(&["-n", "agents", "delete", "jobs", "--all"])?.success()?;
    ensure!(tenant.session_log(&id)? == log, "the log outlives the Job");
    ensure!(tenant.session_get(&id)?["state"] == "succeeded", "so does the state");
    Ok(())
}

#[test]
fn an_agent_that_fails_is_failed_with_its_exit_code() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "fails")?;
    let id = tenant.shell_session("echo broken; exit 7")?;
    let session = tenant.session_end(&id, 60)?;
    ensure!(session["state"] == "failed", "{session}");
    ensure!(
        session["cause"]["class"] == "agent" && session["run"]["exit"]["code"] == 7,
        "{session}"
    );
    let missing =
        tenant.session(&json!({"image": lab.image("busybox"), "command": ["/no/such/program"]}))?;
    let session = tenant.session_end(&missing, 60)?;
    ensure!(session["state"] == "failed", "{session}");
    ensure!(
        session.to_string().contains("/no/such/program"),
        "what was not found is named: {session}"
    );
    Ok(())
}

#[test]
fn a_session_whose_time_is_up_is_timed_out() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "late")?;
    let id = tenant.session(&json!({
        "image": lab.image("busybox"), "command": ["/bin/sh", "-c", "echo begun; sleep 600"],
        "timeoutSeconds": 5, "gracePeriodSeconds": 1}))?;
    let session = tenant.session_end(&id, 60)?;
    ensure!(session["state"] == "timed-out", "{session}");
    ensure!(tenant.session_log(&id)?.contains("begun"), "what was said before is kept");
    Ok(())
}

#[test]
fn a_stop_ends_the_process_and_is_told() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "stops")?;
    let line = "trap 'echo got the signal; exit 0' TERM; echo begun; while :; do sleep 0.1; done";
    let id = tenant.shell_session(line)?;
    tenant.session_wait(&id, &["running"], 60)?;
    let (status, session) = lab.post(&tenant.path(&format!("/sessions/{id}/stop")), &json!({}))?;
    ensure!(status == 202 && session["stopRequestedAt"].is_string(), "{status} {session}");
    let session = tenant.session_end(&id, 60)?;
    ensure!(session["state"] == "stopped", "{session}");
    ensure!(tenant.session_log(&id)?.contains("got the signal"), "the agent was asked to end");
    until("the Job is gone", 60, || {
        let jobs =
            tenant.kubectl(&["-n", "agents", "get", "jobs,pods", "-o", "name"])?.success()?;
        Ok(if jobs.contains("run-") { Err(jobs) } else { Ok(()) })
    })
}

#[test]
fn a_log_can_be_followed_while_it_is_written() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "follow")?;
    let id = tenant.shell_session("for i in 1 2 3 4 5; do echo line $i; sleep 0.5; done")?;
    let log =
        lab.warren(&["session", "logs", &id, "--tenant", &tenant.name, "--follow"])?.success()?;
    let lines: Vec<&str> = log.lines().collect();
    ensure!(lines == ["line 1", "line 2", "line 3", "line 4", "line 5"], "{lines:?}");
    Ok(())
}

#[test]
fn more_sessions_than_the_plan_allows_wait_and_all_end() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "queue")?;
    let ids: Vec<String> =
        (0..6).map(|_| tenant.shell_session("sleep 1")).collect::<Result<_>>()?;
    let queued =
        |id: &String| tenant.session_get(id).is_ok_and(|session| session["state"] == "queued");
    ensure!(ids.iter().any(queued), "the plan starter runs 4 at once, so of 6 some wait");
    for id in &ids {
        let session = tenant.session_end(id, 90)?;
        ensure!(session["state"] == "succeeded", "{session}");
    }
    Ok(())
}

#[test]
fn an_uploaded_input_is_addressed_by_its_digest() -> Result<()> {
    use sha2::Digest as _;
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "upload")?;
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| u8::try_from(n % 251).unwrap_or(0)).collect();
    let digits = hex::encode(sha2::Sha256::digest(&bytes));
    let path = tenant.path(&format!("/blobs/sha256:{digits}"));
    let wrong = tenant.path(&format!("/blobs/sha256:{}", "0".repeat(64)));
    let refused = lab.request(reqwest::Method::PUT, &wrong)?.body(bytes.clone()).send()?;
    ensure!(refused.status().as_u16() == 422, "a wrong digest is refused: {}", refused.status());
    let accepted = lab.request(reqwest::Method::PUT, &path)?.body(bytes).send()?;
    ensure!(accepted.status().as_u16() == 201, "{}", accepted.status());
    let id = tenant.session(&json!({
        "image": lab.image("busybox"), "command": ["/bin/sh", "-c", "sha256sum /warren/inputs/big.bin"],
        "inputs": [{"name": "big.bin", "digest": format!("sha256:{digits}")}]}))?;
    let session = tenant.session_end(&id, 60)?;
    ensure!(session["state"] == "succeeded", "{session}");
    ensure!(tenant.session_log(&id)?.contains(&digits), "the agent saw the same bytes");
    Ok(())
}

#[test]
fn the_python_client_of_kubernetes_drives_a_tenant() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let python = lab.state.join("python/bin/python3");
    ensure!(python.exists(), "the lab installs the client at {}", python.display());
    let tenant = TestTenant::ready(&lab, "python")?;
    let script = "
import sys
from kubernetes import client, config
config.load_kube_config(sys.argv[1])
core, batch = client.CoreV1Api(), client.BatchV1Api()
core.create_namespaced_config_map('agents', {'metadata': {'name': 'from-python'}, 'data': {'a': 'b'}})
print(core.read_namespaced_config_map('from-python', 'agents').data['a'])
print([n.metadata.name for n in core.list_namespace().items])
batch.list_namespaced_job('agents')
";
    let kubeconfig = tenant.kubeconfig()?;
    let mut command = std::process::Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{}", lab.control_namespace)).arg("--").arg(&python);
    command.args(["-c", script]).arg(&kubeconfig);
    let text = black_box::run(&mut command, "")?.success()?;
    ensure!(text.starts_with("b\n") && text.contains("agents"), "{text}");
    Ok(())
}

#[test]
fn a_runs_token_is_nothing_at_the_api_and_dead_after_its_end() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "tokens")?;
    let id = tenant.shell_session("sed s/^wrr_/plain-/ /warren/run/token; echo; sleep 30")?;
    tenant.session_wait(&id, &["running"], 60)?;
    let token = until("the token is in the log", 20, || {
        let log = tenant.session_log(&id)?;
        Ok(log
            .lines()
            .find_map(|line| Some(format!("wrr_{}", line.strip_prefix("plain-")?)))
            .ok_or(log))
    })?;
    let answer = lab.request_as(&token, reqwest::Method::GET, &tenant.path(""))?.send()?;
    ensure!(
        answer.status().as_u16() == 401,
        "a run's token is nothing at the API: {}",
        answer.status()
    );
    let code = manifest_status(&lab, &token)?;
    ensure!(code == "200", "while the run lives its token is good: {code}");
    lab.post(&tenant.path(&format!("/sessions/{id}/stop")), &json!({}))?;
    tenant.session_end(&id, 60)?;
    let code = manifest_status(&lab, &token)?;
    ensure!(code == "401", "an ended run's token is dead: {code}");
    Ok(())
}

/// What the run endpoint answers to a token.
fn manifest_status(lab: &Lab, token: &str) -> Result<String> {
    let url = format!("https://{}/run/v1/manifest", lab.run_endpoint);
    let mut command = std::process::Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{}", lab.control_namespace)).args([
        "--",
        "curl",
        "-sk",
        "-o",
        "/dev/null",
    ]);
    command.args(["-w", "%{http_code}", "-H", "@-", &url]);
    black_box::run(&mut command, &format!("Authorization: Bearer {token}\n"))?.success()
}
