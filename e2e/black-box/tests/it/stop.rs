//! A stop in every state that a session can be in.

use anyhow::{Result, ensure};
use black_box::{Lab, TestTenant, time, until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Asks for a stop; the session as it is then.
fn stop(lab: &Lab, tenant: &TestTenant, id: &str) -> Result<Value> {
    let asked = Instant::now();
    let (status, session) = lab.post(&tenant.path(&format!("/sessions/{id}/stop")), &json!({}))?;
    ensure!(status == 202 && session["stopRequestedAt"].is_string(), "{status} {session}");
    ensure!(asked.elapsed() < Duration::from_secs(1), "it is acknowledged at once");
    Ok(session)
}

/// Waits until nothing of a session is left in the tenant's cluster, and the record says so.
fn nothing_is_left(tenant: &TestTenant, id: &str) -> Result<Value> {
    let own = format!("warren.dev/session={}", id.trim_start_matches("ses_"));
    until("the Job is gone", 60, || {
        let left = ["-n", "agents", "get", "jobs,pods", "-l", &own, "-o", "name"];
        let left = tenant.kubectl(&left)?.success()?;
        Ok(if left.is_empty() { Ok(()) } else { Err(left) })
    })?;
    until("it is noted", 20, || {
        let session = tenant.session_get(id)?;
        let is_settled = session["run"]["settledAt"].is_string();
        Ok(if is_settled { Ok(session) } else { Err(session.to_string()) })
    })
}

#[test]
fn a_stop_ends_the_process_and_is_told() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let line = "trap 'echo got the signal; exit 0' TERM; echo begun; while :; do sleep 0.1; done";
    let id = tenant.shell_session(line)?;
    tenant.session_wait(&id, &["running"], 60)?;
    // By then it knows what to do about a signal.
    tenant.session_says(&id, "begun\n")?;
    let start = Instant::now();
    stop(&lab, &tenant, &id)?;
    let session = tenant.session_end(&id, 60)?;
    let took = start.elapsed();
    ensure!(took < Duration::from_secs(4), "sooner than the next heartbeat: {took:?} {session}");
    ensure!(session["state"] == "stopped", "{session}");
    ensure!(session["cause"]["reason"] == "StopRequested", "{session}");
    let log = tenant.session_log(&id)?;
    ensure!(log.contains("got the signal"), "the agent was asked to end: {log:?}");
    nothing_is_left(&tenant, &id).map(drop)
}

#[test]
fn an_agent_that_does_not_want_to_end_is_gone_ten_seconds_after_its_grace_period() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let id = tenant.session(&json!({
        "image": lab.image("busybox"), "gracePeriodSeconds": 3,
        "command": ["/bin/sh", "-c", "trap '' TERM; echo begun; while :; do sleep 1; done"]}))?;
    tenant.session_wait(&id, &["running"], 60)?;
    tenant.session_says(&id, "begun\n")?;
    let asked = Instant::now();
    stop(&lab, &tenant, &id)?;
    tenant.session_end(&id, 60)?;
    let session = nothing_is_left(&tenant, &id)?;
    ensure!(asked.elapsed() < Duration::from_secs(3 + 10), "{:?} {session}", asked.elapsed());
    let run = &session["run"];
    ensure!(run["exit"]["signal"] == 9, "its runner has told how it ended: {session}");
    let (exited, ended) = (time(&run["exitedAt"])?, time(&run["endedAt"])?);
    let settled = time(&run["settledAt"])?;
    ensure!(exited <= ended && ended <= settled, "{session}");
    ensure!(tenant.session_log(&id)? == "begun\n", "and sent the rest of its log");
    Ok(())
}

#[test]
fn what_has_not_begun_or_waits_for_its_next_run_stops_too() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let starting = tenant.session(&json!({
        "image": "registry.invalid/nothing:1", "command": ["/bin/true"]}))?;
    let waiting = tenant.session(&json!({
        "image": lab.image("busybox"), "command": ["/bin/false"],
        "retry": {"agent": {"attempts": 3, "backoffSeconds": 600}}}))?;
    until("its pod is there", 30, || {
        let session = tenant.session_get(&starting)?;
        let is_there = session["state"] == "starting";
        Ok(if is_there { Ok(()) } else { Err(session.to_string()) })
    })?;
    stop(&lab, &tenant, &starting)?;
    let session = tenant.session_end(&starting, 40)?;
    ensure!(session["state"] == "stopped", "{session}");
    nothing_is_left(&tenant, &starting)?;

    until("its first run has failed", 60, || {
        let session = tenant.session_get(&waiting)?;
        let has_failed = session["retryAt"].is_string();
        Ok(if has_failed { Ok(()) } else { Err(session.to_string()) })
    })?;
    let session = stop(&lab, &tenant, &waiting)?;
    ensure!(session["state"] == "stopped", "nothing of it runs: {session}");
    let before = session["finishedAt"].clone();
    let again = stop(&lab, &tenant, &waiting)?;
    ensure!(again["state"] == "stopped" && again["finishedAt"] == before, "for ever: {again}");
    Ok(())
}
