//! Warren is killed and comes back: nothing is lost and nothing is done twice.

use anyhow::{Context, Result, ensure};
use black_box::{Lab, TestTenant, time, until};
use serde_json::Value;
use std::{
    io::Write as _,
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};

#[test]
fn a_tenant_and_its_sessions_survive_a_killed_server() -> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    let tenant = TestTenant::created(&lab, "killed")?;
    lab.restart("warren", "KILL")?;
    tenant.wait_ready()?;
    let line = "for i in $(seq 1 40); do echo line $i; sleep 0.25; done; echo '{\"ok\":true}' > $WARREN_OUTPUT_DIR/result.json";
    let id = tenant.shell_session(line)?;
    tenant.session_wait(&id, &["running"], 60)?;
    lab.restart("warren", "KILL")?;
    let queued = tenant.shell_session("echo later")?;
    lab.restart("warren", "KILL")?;
    let session = tenant.session_end(&id, 90)?;
    ensure!(session["state"] == "succeeded", "{session}");
    let run = &session["run"];
    ensure!(
        time(&run["heartbeatAt"])? > time(&run["startedAt"])?,
        "it was heard of while it ran: {session}"
    );
    let expected: Vec<String> = (1..=40).map(|n| format!("line {n}")).collect();
    let log = tenant.session_log(&id)?;
    let lines: Vec<&str> = log.lines().collect();
    ensure!(lines == expected, "no gap and no repeat: {lines:?}");
    ensure!(
        tenant.session_end(&queued, 60)?["state"] == "succeeded",
        "what was accepted before a kill runs"
    );
    let jobs = tenant.kubectl(&["-n", "agents", "get", "jobs", "-o", "json"])?.success()?;
    let jobs: Value = serde_json::from_str(&jobs)?;
    ensure!(jobs["items"].as_array().map(Vec::len) == Some(2), "one Job for each session: {jobs}");
    Ok(())
}

#[test]
fn a_deletion_goes_on_after_a_killed_server() -> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "removed")?;
    let namespace = tenant.host_namespace()?;
    let operation = tenant.delete("")?;
    lab.restart("warren", "KILL")?;
    let end = tenant.operation_end(&operation, 120)?;
    ensure!(end["state"] == "succeeded", "{end}");
    ensure!(lab.kubectl(&["get", "namespace", &namespace])?.code != 0, "the namespace is gone");
    Ok(())
}

/// What Warren wrote on the host, but for what it does to other tenants: verb and path.
fn writes(asked: &[Value], namespace: &str) -> Vec<String> {
    let is_write = |event: &&Value| {
        event["verb"].as_str().is_some_and(|verb| !["get", "list", "watch"].contains(&verb))
    };
    let is_here = |event: &&Value| {
        let place =
            event["objectRef"]["namespace"].as_str().or(event["objectRef"]["name"].as_str());
        place.is_none_or(|place| place == namespace || !place.starts_with("warren-w"))
    };
    let told = |event: &Value| format!("{} {}", event["verb"], event["requestURI"]);
    asked.iter().filter(is_write).filter(is_here).map(told).collect()
}

#[test]
fn a_polite_end_takes_less_than_ten_seconds_and_the_next_server_changes_nothing() -> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let namespace = tenant.host_namespace()?;
    let id = tenant.shell_session("echo begun; sleep 5")?;
    tenant.session_wait(&id, &["running"], 60)?;
    // Somebody follows the log, and somebody is in the middle of an upload.
    let path = tenant.path(&format!("/sessions/{id}/logs?follow=true"));
    let follower = lab.request(reqwest::Method::GET, &path)?.send()?;
    ensure!(follower.status().is_success(), "{}", follower.status());
    let address = lab.api_url.trim_start_matches("http://");
    let mut upload = TcpStream::connect(address)?;
    let put = tenant.path(&format!("/blobs/sha256:{}", "0".repeat(64)));
    let token = lab.operator_token()?;
    write!(upload, "PUT {put} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n")?;
    write!(upload, "Content-Length: 1000\r\n\r\nthe first bytes")?;

    let mut audit = lab.audit()?;
    let process = lab.process("warren")?;
    let start = Instant::now();
    let restart = lab.restart_begin("warren", "TERM")?;
    until("the server has ended", 10, || {
        let is_there = Path::new("/proc").join(&process).exists();
        Ok(if is_there { Err(format!("{process} is there")) } else { Ok(()) })
    })?;
    ensure!(start.elapsed() < Duration::from_secs(10), "{:?} for its end", start.elapsed());
    restart.wait()?;
    follower.text().context("the follower is let go in order")?;
    // What it puts right, it has looked at; all the rest, too, after a start.
    let quota = ["resourcequota", "warren-tenant"];
    let pods = tenant.host_objects(&quota)?["spec"]["hard"]["pods"].clone();
    let change = r#"{"spec":{"hard":{"pods":"9999"}}}"#;
    tenant.on_host(&["patch", quota[0], quota[1], "--type=merge", "-p", change])?.success()?;
    until("the new server has looked", 15, || {
        let now = tenant.host_objects(&quota)?["spec"]["hard"]["pods"].clone();
        Ok(if now == pods { Ok(()) } else { Err(now.to_string()) })
    })?;
    let session = tenant.session_end(&id, 60)?;
    ensure!(session["state"] == "succeeded", "{session}");
    let written = writes(&audit.of_warren()?, &namespace);
    let is_quota = |told: &&String| told.contains("/resourcequotas/warren-tenant");
    let mended = written.iter().filter(is_quota).count();
    ensure!(mended >= 1, "what was changed by hand was written: {written:?}");
    ensure!(written.len() == mended, "nothing else was written: {written:?}");
    Ok(())
}
