//! A machine that vanishes, with what ran on it.

use anyhow::{Result, ensure};
use black_box::{Lab, Node, TestTenant, until};
use serde_json::{Value, json};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A session that runs and does not want to end, with 5 s of grace.
fn stubborn(lab: &Lab, tenant: &TestTenant) -> Result<String> {
    let id = tenant.session(&json!({
        "image": lab.image("busybox"), "gracePeriodSeconds": 5,
        "command": ["/bin/sh", "-c", "trap '' TERM; echo here; while :; do sleep 1; done"]}))?;
    tenant.session_says(&id, "here\n")?;
    Ok(id)
}

/// Stops a session whose node nobody can reach: its token is dead in time.
fn stop_without_proof(lab: &Lab, tenant: &TestTenant, id: &str) -> Result<()> {
    let asked = Instant::now();
    lab.post(&tenant.path(&format!("/sessions/{id}/stop")), &json!({}))?;
    until("its token is dead", 15, || {
        let session = tenant.session_get(id)?;
        let is_dead = session["run"]["endedAt"].is_string();
        Ok(if is_dead { Ok(()) } else { Err(session.to_string()) })
    })?;
    eprintln!("its token was dead {:.1} s after the stop", asked.elapsed().as_secs_f64());
    Ok(())
}

fn nobody_knows_yet(tenant: &TestTenant, id: &str, node: &Node) -> Result<()> {
    until("it says that nobody knows whether its process has ended", 15, || {
        let session = tenant.session_get(id)?;
        let told = session["cause"]["message"].as_str().unwrap_or_default();
        let is_told = told.contains(&format!("its node {} is not ready", node.name));
        let is_so = session["state"] == "stopping" && is_told;
        Ok(if is_so { Ok(()) } else { Err(session.to_string()) })
    })
}

fn is_proven(tenant: &TestTenant, id: &str) -> Result<()> {
    until("it is proven that the one that was stopped has ended", 60, || {
        let session = tenant.session_get(id)?;
        let is_over = session["state"] == "stopped" && session["run"]["settledAt"].is_string();
        Ok(if is_over { Ok(()) } else { Err(session.to_string()) })
    })
}

#[test]
#[expect(clippy::disallowed_methods, reason = "agents on two machines end at one time of the day")]
fn a_session_on_a_machine_that_vanishes_runs_again_elsewhere_and_the_lost_one_cannot_end_it()
-> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    let [stays, goes] = lab.nodes.as_slice() else { anyhow::bail!("two nodes: {:?}", lab.nodes) };
    let cordoned = goes.cordon(&lab)?;
    let tenant = TestTenant::ready(&lab, "lost-node")?;
    drop(cordoned);
    let cordoned = stays.cordon(&lab)?;
    // Late enough for the first run to end, with a success, when its node is back.
    let end = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 85;
    let line =
        "echo on $WARREN_RUN_ID; while [ $(date +%s) -lt $END ]; do sleep 0.2; done; echo over";
    let id = tenant.session(&json!({
        "image": lab.image("busybox"), "command": ["/bin/sh", "-c", line],
        "env": {"END": end.to_string()},
        "retry": {"infrastructure": {"attempts": 2, "backoffSeconds": 0}}}))?;
    let first = tenant.session_wait(&id, &["running"], 60)?["run"]["id"].clone();
    until("its first line is kept", 20, || {
        let log = tenant.session_log(&id)?;
        Ok(if log.starts_with("on run_") { Ok(()) } else { Err(log) })
    })?;
    let stubborn = stubborn(&lab, &tenant)?;
    drop(cordoned);

    let unplugged = goes.unplug()?;
    let cut = Instant::now();
    stop_without_proof(&lab, &tenant, &stubborn)?;
    let session = until("another run has started", 120, || {
        let session = tenant.session_get(&id)?;
        let is_another = session["run"]["id"] != first && session["state"] == "running";
        Ok(if is_another { Ok(session.clone()) } else { Err(session.to_string()) })
    })?;
    eprintln!("the next run started {:.1} s after the cut", cut.elapsed().as_secs_f64());
    ensure!(session["run"]["attempt"] == 2, "{session}");
    nobody_knows_yet(&tenant, &stubborn, goes)?;
    let runs = lab.get(&tenant.path(&format!("/sessions/{id}/runs")))?["items"].clone();
    let cause = &runs[0]["cause"];
    ensure!(
        cause["class"] == "infrastructure"
            && cause["reason"] == "NodeLost"
            && cause["message"].as_str().is_some_and(|told| told.contains(&goes.name)),
        "why is told, with the node: {runs}"
    );

    drop(unplugged);
    goes.wait_ready(&lab, 60)?;
    is_proven(&tenant, &stubborn)?;
    let session = tenant.session_end(&id, 180)?;
    ensure!(session["state"] == "succeeded" && session["run"]["attempt"] == 2, "{session}");
    let log = tenant.session_log(&id)?;
    let second = session["run"]["id"].as_str().unwrap_or_default();
    let first = first.as_str().unwrap_or_default();
    let expected = format!("on {first}\non {second}\nover\n");
    ensure!(log == expected, "of the lost run nothing more is kept: {log}");
    let runs: Value = lab.get(&tenant.path(&format!("/sessions/{id}/runs")))?["items"].clone();
    ensure!(runs[0]["exit"].is_null(), "and its end counts for nothing: {runs}");
    Ok(())
}

#[test]
fn a_run_whose_kubelet_and_processes_are_killed_is_followed_by_another() -> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    let [stays, goes] = lab.nodes.as_slice() else { anyhow::bail!("two nodes: {:?}", lab.nodes) };
    let cordoned = goes.cordon(&lab)?;
    let tenant = TestTenant::ready(&lab, "dead-node")?;
    drop(cordoned);
    let cordoned = stays.cordon(&lab)?;
    let id = tenant.session(&json!({
        "image": lab.image("busybox"), "command": ["/bin/sh", "-c", "echo begun; sleep 600"],
        "retry": {"infrastructure": {"attempts": 2, "backoffSeconds": 0}}}))?;
    tenant.session_wait(&id, &["running"], 60)?;
    drop(cordoned);
    let own = format!("warren.dev/session={}", id.trim_start_matches("ses_"));
    let pods = tenant.host_objects(&["pods", "-l", &own])?;
    let uid = pods["items"][0]["metadata"]["uid"].as_str().unwrap_or_default();

    let dead = goes.kill(&lab, uid)?;
    let cut = Instant::now();
    let session = until("another run has started", 90, || {
        let session = tenant.session_get(&id)?;
        let is_another = session["run"]["attempt"] == 2 && session["state"] == "running";
        Ok(if is_another { Ok(session.clone()) } else { Err(session.to_string()) })
    })?;
    eprintln!("the next run started {:.1} s after the kill", cut.elapsed().as_secs_f64());
    let runs = lab.get(&tenant.path(&format!("/sessions/{id}/runs")))?["items"].clone();
    let cause = &runs[0]["cause"];
    ensure!(cause["reason"] == "NodeLost" && cause["class"] == "infrastructure", "{runs}");
    ensure!(cause["evidence"]["node"] == goes.name.as_str(), "the node is named: {session} {runs}");

    drop(dead);
    goes.wait_ready(&lab, 60)?;
    lab.post(&tenant.path(&format!("/sessions/{id}/stop")), &json!({}))?;
    let session = tenant.session_end(&id, 60)?;
    ensure!(session["state"] == "stopped" && session["run"]["attempt"] == 2, "{session}");
    Ok(())
}
