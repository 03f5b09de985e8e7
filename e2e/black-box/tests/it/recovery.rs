//! Warren is killed and comes back: nothing is lost and nothing is done twice.

use anyhow::{Result, ensure};
use black_box::{Lab, TestTenant};
use serde_json::{Value, json};

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

#[test]
fn a_polite_end_takes_less_than_ten_seconds() -> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "polite")?;
    let id = tenant.shell_session("sleep 5")?;
    tenant.session_wait(&id, &["running"], 60)?;
    lab.restart("warren", "TERM")?;
    let session = tenant.session_end(&id, 60)?;
    ensure!(session["state"] == "succeeded", "{session}");
    Ok(())
}

#[test]
fn a_repeated_request_with_the_same_key_makes_one_tenant() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let name = format!("once-{}", std::process::id());
    let post = |plan: &str| {
        let request = lab.request(reqwest::Method::POST, "/api/v1/tenants")?;
        let answer = request
            .header("Idempotency-Key", &name)
            .json(&json!({"name": name, "plan": plan}))
            .send()?;
        anyhow::Ok((answer.status().as_u16(), answer.json::<Value>()?))
    };
    let (first_status, first) = post("starter")?;
    let (second_status, second) = post("starter")?;
    ensure!(
        first_status == 201 && second_status == 201 && first["id"] == second["id"],
        "{first} {second}"
    );
    let (other, problem) = post("pro")?;
    ensure!(other == 422, "another body under the same key is refused: {other} {problem}");
    lab.request(reqwest::Method::DELETE, &format!("/api/v1/tenants/{name}"))?.send()?;
    Ok(())
}
