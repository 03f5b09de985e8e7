//! `warren doctor`: yes where all is well, and what to do where it is not. And that Warren needs no right which its
//! own manifest does not give it.

use anyhow::{Context, Result, ensure};
use black_box::{Lab, TestTenant, until};
use serde_json::Value;

pub(crate) fn findings(stdout: &str) -> Result<Vec<Value>> {
    let answer: Value = serde_json::from_str(stdout).with_context(|| format!("read {stdout:?}"))?;
    let list = answer.as_array().or_else(|| answer["items"].as_array());
    Ok(list.with_context(|| format!("a list: {answer}"))?.clone())
}

/// What the doctor says about one thing.
pub(crate) fn finding(stdout: &str, name: &str) -> Result<Value> {
    let found = findings(stdout)?.into_iter().find(|finding| finding["name"] == name);
    found.with_context(|| format!("{name} in {stdout}"))
}

#[test]
fn a_host_that_is_as_it_should_be_gets_only_yes_and_nothing_stays() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let output = lab.warren(&["doctor", "-o", "json"])?;
    ensure!(output.code == 0, "{}", output.text());
    let findings = findings(&output.stdout)?;
    let names: Vec<&str> = findings.iter().filter_map(|f| f["name"].as_str()).collect();
    for name in [
        "record",
        "objects",
        "host-version",
        "clock",
        "rights",
        "storage",
        "dns",
        "k3s-baseline",
        "admission-policies",
        "policy-enforcement",
        "user-namespaces",
        "name-lookup",
    ] {
        ensure!(names.contains(&name), "{name} is looked at: {names:?}");
    }
    for finding in &findings {
        ensure!(finding["isOk"] == true, "{finding}");
    }
    until("what was tried out is gone", 60, || {
        let selector = "app.kubernetes.io/managed-by=warren-doctor";
        let left = lab.kubectl(&["get", "namespaces", "-l", selector, "-o", "name"])?.success()?;
        Ok(if left.is_empty() { Ok(()) } else { Err(left) })
    })
}

#[test]
fn a_tenants_whole_life_needs_no_right_that_warrens_role_does_not_give() -> Result<()> {
    // Those that take rights away on purpose have the lab alone, and give them back before they let go of it.
    let Some(lab) = Lab::running() else { return Ok(()) };
    let audit = lab.audit()?;
    let tenant = TestTenant::ready(&lab, "rights")?;
    let namespace = tenant.host_namespace()?;
    let session = tenant.shell_session("echo hello")?;
    tenant.session_end(&session, 60)?;
    lab.kubectl(&["-n", &namespace, "delete", "networkpolicy", "--all"])?.success()?;
    until("what was deleted is back", 20, || {
        let text = lab.kubectl(&["-n", &namespace, "get", "networkpolicy", "-o", "name"])?;
        Ok(if text.stdout.is_empty() { Err(text.text()) } else { Ok(()) })
    })?;
    lab.warren(&["explain", "tenant", &tenant.name])?.success()?;
    let operation = tenant.delete("")?;
    let end = tenant.operation_end(&operation, 120)?;
    ensure!(end["state"] == "succeeded", "{end}");

    let asked = audit.of_warren()?;
    ensure!(asked.len() > 20, "Warren asked for something: {asked:?}");
    let is_refused =
        |event: &&Value| event["annotations"]["authorization.k8s.io/decision"] == "forbid";
    let told = |event: &Value| format!("{} {}", event["verb"], event["requestURI"]);
    let refused: Vec<String> = asked.iter().filter(is_refused).map(told).collect();
    ensure!(refused.is_empty(), "refused for lack of rights: {refused:?}");
    Ok(())
}
