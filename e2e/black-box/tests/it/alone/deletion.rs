//! A tenant's end while the server is killed.

use crate::deletion::status;
use anyhow::{Context, Result, ensure};
use black_box::{Lab, TestTenant, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// One tenant, and everything that can happen on its way out: a session that runs, somebody who holds
/// something, a removal by force, and a server that is killed in the middle of that.
#[test]
fn a_forced_removal_survives_a_killed_server_and_says_what_it_left() -> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "stuck")?;
    let namespace = tenant.host_namespace()?;
    let session = tenant.shell_session("echo begun; sleep 600")?;
    tenant.session_wait(&session, &["running"], 60)?;
    tenant.session_says(&session, "begun\n")?;
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "held", "namespace": namespace, "finalizers": ["example.com/held"]}});
    lab.kubectl_with_input(&["create", "-f", "-"], &object.to_string())?.success()?;

    let operation = tenant.delete("")?;
    let mut ends = BTreeSet::new();
    blocker(&tenant, &operation, |tenant| {
        let session = tenant.session_get(&session)?;
        if session["finishedAt"].is_string() {
            ends.insert(session.to_string());
        }
        ensure!(tenant.session_log(&session_id(&session))? == "begun\n", "the log stays readable");
        Ok(())
    })?;
    let end: Vec<Value> =
        ends.iter().map(|text| serde_json::from_str(text)).collect::<Result<_, _>>()?;
    ensure!(end.len() == 1, "it ended once, and stayed as it was: {end:?}");
    ensure!(
        end[0]["state"] == "stopped" && end[0]["cause"]["reason"] == "TenantDeleted",
        "it says why: {}",
        end[0]
    );
    let (refused, problem) = lab.post(
        &tenant.path("/sessions"),
        &json!({"image": lab.image("busybox"), "command": ["/bin/true"]}),
    )?;
    ensure!(refused == 409, "no session begins in a tenant on its way out: {refused} {problem}");

    let forced = tenant.delete("?force=true")?;
    ensure!(forced["id"] == operation["id"], "it is the same removal: {forced}");
    lab.restart("warren", "KILL")?;
    let end = tenant.operation_end(&forced, 60)?;
    let left = end["problem"].to_string();
    ensure!(end["state"] == "failed", "{end}");
    ensure!(
        left.contains("example.com/held") && left.contains(&namespace),
        "it says what it left, and where: {end}"
    );
    ensure!(status(&tenant, "")? == 404, "the tenant is gone");
    let again = TestTenant::ready(&lab, "stuck")?;
    ensure!(again.host_namespace()? != namespace, "the name is free, and its namespace is new");
    ensure!(lab.get(&again.path("/sessions"))?["items"] == json!([]), "old sessions are not seen");

    let patch = r#"{"metadata":{"finalizers":null}}"#;
    lab.kubectl(&["-n", &namespace, "patch", "configmap", "held", "--type=merge", "-p", patch])?
        .success()?;
    until("what was left goes once it is let go", 30, || {
        let output = lab.kubectl(&["get", "namespace", &namespace])?;
        Ok(if output.code == 0 { Err(output.stdout) } else { Ok(()) })
    })
}

/// Waits until the removal names who holds it up, with something to be looked at meanwhile.
fn blocker(
    tenant: &TestTenant,
    operation: &Value,
    mut look: impl FnMut(&TestTenant) -> Result<()>,
) -> Result<()> {
    let id = operation["id"].as_str().context("an operation has an id")?;
    until("the blocker is named", 60, || {
        look(tenant)?;
        let operation = tenant.lab.get(&format!("/api/v1/operations/{id}"))?;
        let is_named = operation["steps"].as_array().is_some_and(|steps| {
            steps.iter().any(|step| {
                step["state"] == "blocked" && step.to_string().contains("example.com/held")
            })
        });
        Ok(if is_named { Ok(()) } else { Err(operation.to_string()) })
    })
}

fn session_id(session: &Value) -> String {
    session["id"].as_str().unwrap_or_default().to_owned()
}
