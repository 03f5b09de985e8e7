//! A session's life: queued, started, followed, ended, read afterwards.

use anyhow::{Context, Result, ensure};
use black_box::{Lab, TestTenant, program_in, stays, until};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

#[test]
fn a_session_runs_as_a_job_and_leaves_its_log_result_and_artifacts() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let line = "echo one; sleep 0.2; echo two >&2; sleep 0.2; cat /warren/inputs/greeting.txt; \
                echo $GREETING; grep -c greeting.txt $WARREN_INPUT_MANIFEST; \
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
    let expected = "one\ntwo\nhello from the input\nhello\n1\nno newline\n";
    ensure!(log == expected, "{log}");
    let lines = numbered(&tenant, &id)?;
    ensure!(lines.len() == 6, "{lines:?}");
    for (index, line) in lines.iter().enumerate() {
        ensure!(line["n"] == index + 1 && line["t"].is_string(), "lines are numbered: {lines:?}");
        ensure!(line["s"] == if index == 1 { "err" } else { "out" }, "both streams: {lines:?}");
    }
    let usage = &session["run"]["usage"];
    ensure!(
        usage["wallMs"].as_u64().is_some_and(|ms| ms >= 400)
            && usage["peakMemoryBytes"].as_u64().is_some_and(|bytes| bytes > 0),
        "what it used is told: {session}"
    );
    ensure!(session["cause"]["reason"] == "Completed", "and why it ended: {session}");
    let result = lab.get(&tenant.path(&format!("/sessions/{id}/result")))?;
    ensure!(result == json!({"answer": 42}), "{result}");
    let artifacts = lab.get(&tenant.path(&format!("/sessions/{id}/artifacts")))?;
    ensure!(artifacts.to_string().contains("deep/report.md"), "{artifacts}");
    let path = tenant.path(&format!("/sessions/{id}/artifacts/deep/report.md"));
    let body = lab.request(reqwest::Method::GET, &path)?.send()?.text()?;
    ensure!(body == "body\n", "{body:?}");

    one_job(&tenant, &session)?;
    let job = label(&id);
    let own = tenant.kubectl(&["-n", "agents", "logs", "-l", &job, "-c", "agent"])?.success()?;
    for line in ["one", "two", "no newline"] {
        ensure!(own.contains(line), "everything goes to the pod's own output, too: {own}");
    }

    tenant.kubectl(&["-n", "agents", "delete", "jobs", "-l", &job])?.success()?;
    ensure!(tenant.session_log(&id)? == log, "the log outlives the Job");
    ensure!(tenant.session_get(&id)?["state"] == "succeeded", "so does the state");
    Ok(())
}

/// What everything of a session is labelled with in the tenant's cluster.
fn label(session: &str) -> String {
    format!("warren.dev/session={}", session.trim_start_matches("ses_"))
}

/// The lines of a log with their numbers, times and streams.
fn numbered(tenant: &TestTenant, id: &str) -> Result<Vec<Value>> {
    let path = tenant.path(&format!("/sessions/{id}/logs"));
    let request = tenant.lab.request(reqwest::Method::GET, &path)?;
    let text = request.header("Accept", "application/x-ndjson").send()?.text()?;
    Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// A session is one Job in the tenant's own API server, exactly as promised.
fn one_job(tenant: &TestTenant, session: &Value) -> Result<()> {
    let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
    let (own, run) = (label(&text(&session["id"])), text(&session["run"]["id"]));
    let jobs = tenant.objects(&["-n", "agents", "jobs", "-l", &own])?;
    ensure!(jobs["items"].as_array().map(Vec::len) == Some(1), "one attempt, one Job: {jobs}");
    let job = &jobs["items"][0];
    let run = run.trim_start_matches("run_");
    ensure!(job["metadata"]["labels"]["warren.dev/run"] == run, "{job}");
    let spec = &job["spec"];
    ensure!(
        spec["backoffLimit"] == 0
            && spec["activeDeadlineSeconds"] == session["spec"]["timeoutSeconds"]
            && spec["ttlSecondsAfterFinished"].is_number(),
        "{spec}"
    );
    let pod = &spec["template"]["spec"];
    ensure!(
        pod["serviceAccountName"] == "agent"
            && pod["automountServiceAccountToken"] == false
            && pod["restartPolicy"] == "Never"
            && pod["securityContext"]["runAsNonRoot"] == true
            && pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault",
        "{pod}"
    );
    ensure!(pod["initContainers"][0]["name"] == "runner", "the runner is placed: {pod}");
    let agent = &pod["containers"][0];
    let security = &agent["securityContext"];
    ensure!(
        security["readOnlyRootFilesystem"] == true
            && security["allowPrivilegeEscalation"] == false
            && security["capabilities"]["drop"] == json!(["ALL"]),
        "{agent}"
    );
    Ok(())
}

#[test]
fn an_agent_runs_as_whom_it_was_asked_for_and_as_root_of_its_own_users_only() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let line = "id -u; id -g; cat /proc/self/uid_map; grep CapEff /proc/self/status; \
                echo done > $WARREN_OUTPUT_DIR/done.txt; cat /warren/run/token | wc -l";
    for (user, shown) in [(None, 65532), (Some(1000), 1000), (Some(0), 0)] {
        let id = tenant.session(&json!({
            "image": lab.image("busybox"), "command": ["/bin/sh", "-c", line], "runAsUser": user}))?;
        let session = tenant.session_end(&id, 60)?;
        ensure!(session["state"] == "succeeded", "{user:?}: {session}");
        ensure!(session["spec"]["runAsUser"] == shown, "{session}");
        let log = tenant.session_log(&id)?;
        let words: Vec<&str> = log.split_whitespace().collect();
        let (own, shown) = (words.get(3), shown.to_string());
        ensure!(words.starts_with(&[&shown, &shown, "0"]), "{user:?}: {log}");
        ensure!(own.is_some_and(|own| *own != "0"), "root inside is nobody outside: {log}");
        ensure!(log.contains("CapEff:\t0000000000000000"), "and may nothing: {log}");
        let artifacts = lab.get(&tenant.path(&format!("/sessions/{id}/artifacts")))?;
        ensure!(artifacts.to_string().contains("done.txt"), "{user:?}: {artifacts}");
    }
    Ok(())
}

#[test]
fn a_secret_reaches_the_agent_and_nothing_that_anybody_reads() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let secret = "correct-horse-battery";
    // Whole, in two writes, and told by what it is made of.
    let line = "echo key $KEY; printf 'key %s' correct-ho; sleep 0.3; echo rse-battery; \
                printf %s $KEY | md5sum; env | grep WARREN_SECRETS; ls /warren/run";
    let id = tenant.session(&json!({
        "image": lab.image("busybox"), "command": ["/bin/sh", "-c", line], "secrets": {"KEY": secret}}))?;
    let session = tenant.session_end(&id, 60)?;
    ensure!(session["state"] == "succeeded", "{session}");
    let log = tenant.session_log(&id)?;
    let expected = "key ***\nkey ***\n09f31f46f81f8fab873fbc0420173519  -\nca.crt\ntoken\n";
    ensure!(log == expected, "the agent has it, and its log does not: {log}");
    let jobs = tenant.objects(&["-n", "agents", "jobs,pods", "-l", &label(&id)])?.to_string();
    let events = tenant.objects(&["-n", "agents", "events"])?.to_string();
    let own = tenant.kubectl(&["-n", "agents", "logs", "-l", &label(&id), "-c", "agent"])?.text();
    let told = lab.get(&tenant.path(&format!("/sessions/{id}")))?.to_string();
    for (what, text) in [
        ("log", &log),
        ("Job or pod", &jobs),
        ("event", &events),
        ("pod's log", &own),
        ("answer", &told),
    ] {
        ensure!(!text.contains(secret), "{what}: {text}");
    }
    ensure!(jobs.contains("secretKeyRef") && own.contains("key ***"), "{jobs} {own}");
    Ok(())
}

#[test]
fn an_agent_that_fails_is_failed_with_its_exit_code() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
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
fn an_agent_that_ran_out_of_memory_runs_again_with_more_of_it() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    // 40 MiB in a file of memory are too much for the first run and not for the second.
    let code = "import sys; print('begun', flush=True); held = bytearray(40 << 20); print('enough', flush=True)";
    let id = tenant.session(&json!({
        "image": lab.image("agent"), "command": ["/usr/bin/python3", "-c", code],
        "resources": {"cpu": "250m", "memory": "32Mi"},
        "retry": {"resource": {"attempts": 2, "backoffSeconds": 1, "memoryPercent": 300}}}))?;
    let session = tenant.session_end(&id, 120)?;
    ensure!(session["state"] == "succeeded" && session["run"]["attempt"] == 2, "{session}");
    let runs = lab.get(&tenant.path(&format!("/sessions/{id}/runs")))?;
    let runs = runs["items"].as_array().cloned().unwrap_or_default();
    ensure!(runs.len() == 2, "{runs:?}");
    ensure!(
        runs[0]["cause"]["class"] == "resource"
            && runs[0]["cause"]["reason"] == "OutOfMemory"
            && runs[0]["cause"]["message"].as_str().is_some_and(|told| told.contains("32Mi")),
        "the first one's end is told, with the limit: {runs:?}"
    );
    ensure!(runs[1]["resources"]["memory"] == "96Mi", "three times as much: {runs:?}");
    let log = tenant.session_log(&id)?;
    let lines: Vec<&str> = log.lines().collect();
    let is_of_both =
        matches!(lines[..], ["begun", told, "begun", "enough"] if told.contains("memory limit"));
    ensure!(is_of_both, "the log is of both runs, and says why the first one ended: {log}");
    let numbers: Vec<Value> =
        numbered(&tenant, &id)?.iter().map(|line| line["n"].clone()).collect();
    ensure!(numbers == [1, 2, 3, 4], "numbered through: {numbers:?}");
    let jobs = tenant.objects(&["-n", "agents", "jobs", "-l", &label(&id)])?;
    ensure!(jobs["items"].as_array().is_some_and(|jobs| jobs.len() <= 2), "a Job each: {jobs}");
    Ok(())
}

#[test]
fn a_session_whose_time_is_up_is_timed_out() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let id = tenant.session(&json!({
        "image": lab.image("busybox"), "command": ["/bin/sh", "-c", "echo begun; sleep 600"],
        // A pod's way to its node counts, and on a busy lab that takes its time.
        "timeoutSeconds": 25, "gracePeriodSeconds": 1}))?;
    let session = tenant.session_end(&id, 90)?;
    ensure!(session["state"] == "timed-out", "{session}");
    ensure!(
        session["cause"]["message"].as_str().is_some_and(|text| text.contains("timeoutSeconds"))
            && session["finishedAt"].is_string(),
        "with its cause and a way out: {session}"
    );
    ensure!(tenant.session_log(&id)?.contains("begun"), "what was said before is kept");
    Ok(())
}

#[test]
fn a_log_can_be_followed_while_it_is_written() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let id = tenant.shell_session("for i in 1 2 3 4 5; do echo line $i; sleep 1; done")?;
    let mut command =
        lab.warren_command(&["session", "logs", &id, "--tenant", &tenant.name, "--follow"]);
    let mut follower = command.stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(follower.stdout.take().context("its output")?).lines();
    let first = lines.next().context("a first line")??;
    let session = tenant.session_get(&id)?;
    ensure!(session["state"] == "running", "the first line comes while it is written: {session}");
    let rest: Vec<String> = lines.collect::<Result<_, _>>()?;
    ensure!(first == "line 1", "{first}");
    ensure!(rest == ["line 2", "line 3", "line 4", "line 5"], "{rest:?}");
    ensure!(follower.wait()?.success(), "it ends with the session");
    Ok(())
}

/// Counts what an API server was asked about Jobs and pods other than to watch them, and who watches Jobs.
fn asked(tenant: &TestTenant) -> Result<(u64, u64)> {
    let metrics = tenant.kubectl(&["get", "--raw", "/metrics"])?.success()?;
    let value = |line: &str| line.rsplit(' ').next().and_then(|text| text.parse::<f64>().ok());
    let sum = |name: &str, words: &[&str]| -> u64 {
        let is_meant = |line: &&str| {
            line.starts_with(&format!("{name}{{")) && words.iter().all(|word| line.contains(word))
        };
        let values = metrics.lines().filter(is_meant).filter_map(value);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        values.map(|value| value as u64).sum()
    };
    let mut read = 0;
    for resource in ["resource=\"jobs\"", "resource=\"pods\""] {
        for verb in ["verb=\"GET\"", "verb=\"LIST\""] {
            read += sum("apiserver_request_total", &[resource, verb]);
        }
    }
    let watches = ["group=\"batch\"", "resource=\"jobs\"", "verb=\"WATCH\""];
    Ok((read, sum("apiserver_longrunning_requests", &watches)))
}

#[test]
fn sessions_of_a_tenant_share_one_watch_and_nobody_polls() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "watch")?;
    // The controllers of a new cluster begin their own watches one after the other.
    let mut last = (0, Instant::now());
    let before = until("nobody begins another watch", 60, || {
        let (_, watches) = asked(&tenant)?;
        if watches != last.0 {
            last = (watches, Instant::now());
        }
        let is_settled = last.1.elapsed() > Duration::from_secs(3);
        Ok(if is_settled { Ok(watches) } else { Err(watches.to_string()) })
    })?;
    let ids: Vec<String> =
        (0..3).map(|_| tenant.shell_session("sleep 600")).collect::<Result<_>>()?;
    for id in &ids {
        tenant.session_wait(id, &["running"], 60)?;
    }
    let (read, watches) = asked(&tenant)?;
    ensure!(watches == before + 1, "one watch for three sessions: {before}, then {watches}");
    stays("all three run", 4, || {
        let session = tenant.session_get(&ids[0])?;
        ensure!(session["state"] == "running", "{session}");
        Ok(())
    })?;
    let (later, _) = asked(&tenant)?;
    ensure!(later == read, "nothing is asked while nothing happens: {read}, then {later}");
    Ok(())
}

#[test]
fn more_sessions_than_the_plan_allows_wait_and_all_end() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "queue")?;
    let ids: Vec<String> =
        (0..6).map(|_| tenant.shell_session("sleep 600")).collect::<Result<_>>()?;
    let stop = |id: &str| lab.post(&tenant.path(&format!("/sessions/{id}/stop")), &json!({}));
    let waits = |id: &str| {
        let session = tenant.session_get(id)?;
        ensure!(session["state"] == "queued", "the plan starter runs 4 at once: {session}");
        anyhow::Ok(())
    };
    for id in &ids[..4] {
        tenant.session_wait(id, &["running"], 90)?;
    }
    waits(&ids[4])?;
    waits(&ids[5])?;
    stop(&ids[0])?;
    tenant.session_wait(&ids[4], &["running"], 90)?;
    waits(&ids[5])?;
    for id in &ids {
        stop(id)?;
    }
    for id in &ids {
        ensure!(tenant.session_end(id, 90)?["state"] == "stopped", "all of them end");
    }
    Ok(())
}

#[test]
fn an_uploaded_input_is_addressed_by_its_digest() -> Result<()> {
    const MOST: usize = 100 << 20;
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let bytes: Vec<u8> = (0..MOST).map(|n| u8::try_from(n % 251).unwrap_or(0)).collect();
    let digits = digest(&bytes)?;
    let path = tenant.path(&format!("/blobs/sha256:{digits}"));
    let wrong = tenant.path(&format!("/blobs/sha256:{}", "0".repeat(64)));
    let refused = lab.request(reqwest::Method::PUT, &wrong)?.body(bytes.clone()).send()?;
    ensure!(refused.status().as_u16() == 422, "a wrong digest is refused: {}", refused.status());
    let larger = [bytes.as_slice(), b"x"].concat();
    let larger_path = tenant.path(&format!("/blobs/sha256:{}", digest(&larger)?));
    let refused = lab.request(reqwest::Method::PUT, &larger_path)?.body(larger).send()?;
    ensure!(refused.status().as_u16() == 413, "one byte more is too much: {}", refused.status());
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

/// The SHA-256 of some bytes, by the machine's own program: ours would take a while without optimization.
fn digest(bytes: &[u8]) -> Result<String> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(bytes)?;
    let text = black_box::run(Command::new("sha256sum").arg(file.path()), "")?.success()?;
    Ok(text.split_whitespace().next().unwrap_or_default().to_owned())
}

#[test]
fn the_python_client_of_kubernetes_drives_a_tenant() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let python = lab.state.join("python/bin/python3");
    ensure!(python.exists(), "the lab installs the client at {}", python.display());
    let tenant = TestTenant::shared(&lab)?;
    let script = "
import sys
from kubernetes import client, config
config.load_kube_config(sys.argv[1])
core, batch = client.CoreV1Api(), client.BatchV1Api()
core.create_namespaced_config_map('agents', {'metadata': {'name': 'from-python'}, 'data': {'a': 'b'}})
print(core.read_namespaced_config_map('from-python', 'agents').data['a'])
core.delete_namespaced_config_map('from-python', 'agents')
print([n.metadata.name for n in core.list_namespace().items])
batch.list_namespaced_job('agents')
";
    let kubeconfig = tenant.kubeconfig()?;
    let mut command = program_in(&lab.control_namespace, &python);
    command.args(["-c", script]).arg(&kubeconfig);
    let text = black_box::run(&mut command, "")?.success()?;
    ensure!(text.starts_with("b\n") && text.contains("agents"), "{text}");
    Ok(())
}

#[test]
fn a_runs_token_is_nothing_at_the_api_and_dead_after_its_end() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
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
    let mut command = program_in(&lab.control_namespace, "curl");
    command.args(["-sk", "-o", "/dev/null", "-w", "%{http_code}", "-H", "@-", &url]);
    black_box::run(&mut command, &format!("Authorization: Bearer {token}\n"))?.success()
}
