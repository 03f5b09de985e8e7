//! A deadline in every state in which something of a session may run.

use anyhow::{Result, ensure};
use black_box::{Lab, TestTenant};
use serde_json::json;
use std::time::{Duration, Instant};

/// Longer than what is left of the deadline when the stop is asked for, however long the pod took to start.
const GRACE_S: u64 = 32;

#[test]
fn a_deadline_ends_what_has_not_begun_and_changes_nothing_about_a_stop() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    // As much as the plan allows is more than any node has left: its pod is never placed.
    let starting = tenant.session(&json!({
        "image": lab.image("busybox"), "command": ["/bin/true"],
        "resources": {"cpu": "2"}, "timeoutSeconds": 5}))?;
    let stopping = tenant.session(&json!({
        "image": lab.image("busybox"), "gracePeriodSeconds": GRACE_S, "timeoutSeconds": 30,
        "command": ["/bin/sh", "-c", "trap '' TERM; echo begun; while :; do sleep 1; done"]}))?;
    tenant.session_wait(&stopping, &["running"], 60)?;
    tenant.session_says(&stopping, "begun\n")?;
    let asked = Instant::now();
    lab.post(&tenant.path(&format!("/sessions/{stopping}/stop")), &json!({}))?;

    let session = tenant.session_end(&starting, 60)?;
    ensure!(session["state"] == "timed-out", "{session}");
    ensure!(session["cause"]["reason"] == "DeadlineExceeded", "{session}");
    ensure!(session["run"]["startedAt"].is_null(), "its agent never began: {session}");

    let session = tenant.session_end(&stopping, 60)?;
    ensure!(session["state"] == "stopped", "it was stopped before its time was over: {session}");
    let limit = Duration::from_secs(GRACE_S + 10);
    ensure!(asked.elapsed() < limit, "{:?} {session}", asked.elapsed());
    ensure!(tenant.session_log(&stopping)? == "begun\n", "its log is whole");
    Ok(())
}
