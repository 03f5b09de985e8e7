//! A node is emptied: sessions go as they say themselves, all others as their tenant's budgets allow.

use crate::dedicated::{is_gone, own_node, text};
use anyhow::{Result, ensure};
use black_box::{Lab, TestTenant, until};
use serde_json::{Value, json};

/// A session that says what may be done with it, and that runs.
fn running(lab: &Lab, tenant: &TestTenant, on_drain: &str, line: &str) -> Result<String> {
    let id = tenant.session(&json!({
        "image": lab.image("busybox"), "command": ["/bin/sh", "-c", line],
        "gracePeriodSeconds": 5, "onDrain": on_drain,
    }))?;
    tenant.session_wait(&id, &["running"], 120)?;
    Ok(id)
}

/// What the step that empties the node says, as long as it does.
fn drain_says(lab: &Lab, operation: &Value, word: &str) -> Result<()> {
    let path = format!("/api/v1/operations/{}", text(operation, "/id"));
    until(word, 240, || {
        let operation = lab.get(&path)?;
        let steps = operation["steps"].as_array().cloned().unwrap_or_default();
        let drain = steps.iter().find(|step| step["name"] == "drain");
        let says = drain.map(|step| text(step, "/message").to_owned()).unwrap_or_default();
        Ok(if says.contains(word) { Ok(()) } else { Err(operation.to_string()) })
    })
}

#[test]
fn sessions_on_a_node_that_is_replaced_go_as_they_say_themselves() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::created_with_nodes(&lab, "drained", 1)?;
    tenant.wait_ready()?;
    let old = own_node(&lab, &tenant)?;
    // Long enough for the node that takes the place of this one.
    let waits = running(&lab, &tenant, "wait", "sleep 90; echo whole")?;
    let stops = running(&lab, &tenant, "stop", "sleep 900")?;
    // Its second run finds what tells it that it may end.
    let again = "trap 'echo noticed; exit 7' TERM; echo begun; sleep 900 & wait";
    let again = running(&lab, &tenant, "restart", again)?;
    let first = tenant.session_get(&again)?;

    let path = tenant.path(&format!("/nodes/{}/replace", text(&old, "/id")));
    let (status, release) = lab.post(&path, &json!({}))?;
    ensure!(status == 202, "{status} {release}");
    drain_says(&lab, &release, "running on, for ")?;

    let stopped = tenant.session_end(&stops, 60)?;
    ensure!(stopped["state"] == "stopped", "{stopped}");
    ensure!(stopped["cause"]["reason"] == "NodeDrained", "{stopped}");
    let by = text(&stopped, "/cause/evidence/operation");
    ensure!(by == text(&release, "/id"), "whose operation that was: {stopped}");

    let second = until("another run begins", 120, || {
        let session = tenant.session_get(&again)?;
        let is_second = session["run"]["attempt"] == 2 && session["state"] == "running";
        Ok(if is_second { Ok(session) } else { Err(session.to_string()) })
    })?;
    let runs = lab.get(&tenant.path(&format!("/sessions/{again}/runs")))?;
    let ended = runs["items"].as_array().and_then(|runs| runs.first()).cloned();
    let ended = ended.unwrap_or_default();
    ensure!(ended["id"] == first["run"]["id"], "{runs}");
    ensure!(ended["cause"]["reason"] == "NodeDrained", "{runs}");
    ensure!(text(&ended, "/cause/evidence/node") == text(&old, "/name"), "{runs}");
    ensure!(ended["logComplete"] == true, "its last words were kept: {runs}");
    tenant.session_says(&again, "begun\nnoticed\nbegun\n")?;
    ensure!(second["finishedAt"].is_null(), "{second}");

    let whole = tenant.session_end(&waits, 200)?;
    ensure!(whole["state"] == "succeeded" && whole["run"]["attempt"] == 1, "{whole}");
    ensure!(tenant.session_log(&waits)? == "whole\n", "it ran to its end");
    let end = tenant.operation_end(&release, 240)?;
    ensure!(end["state"] == "succeeded", "{end}");
    is_gone(&lab, text(&old, "/name"))?;
    Ok(())
}

#[test]
fn whoever_holds_up_a_drain_is_named_with_its_budget() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::created_with_nodes(&lab, "held-up", 1)?;
    tenant.wait_ready()?;
    let node = own_node(&lab, &tenant)?;
    // With only one node there is nowhere to be ready again before this one goes.
    let web = black_box::Web::deployed(&tenant)?;
    ensure!(web.is_whole()?, "all of it is ready");
    let path = tenant.path(&format!("/nodes/{}/reboot", text(&node, "/id")));
    let (status, reboot) = lab.post(&path, &json!({}))?;
    ensure!(status == 202, "{status} {reboot}");
    drain_says(&lab, &reboot, " is held by budget ")?;
    drain_says(&lab, &reboot, " of ReplicaSet ")?;
    drain_says(&lab, &reboot, " s are left")?;
    // Who takes it away need not wait any longer.
    tenant.kubectl(&["delete", "poddisruptionbudget", "web"])?.success()?;
    let end = tenant.operation_end(&reboot, 120)?;
    ensure!(end["state"] == "succeeded", "{end}");
    Ok(())
}
