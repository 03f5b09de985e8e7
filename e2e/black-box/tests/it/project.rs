//! Projects: namespaces of the tenant that sessions run in. And what becomes of a session whose runner is broken there.

use anyhow::{Result, ensure};
use black_box::{Lab, TestTenant, until};
use serde_json::{Value, json};

fn session_in(tenant: &TestTenant, project: &str) -> Result<Value> {
    let id = tenant.session(&json!({"project": project, "image": tenant.lab.image("busybox"),
        "command": ["/bin/sh", "-c", "echo hello"]}))?;
    tenant.session_end(&id, 60)
}

#[test]
fn a_project_is_made_at_its_first_session_and_never_in_a_namespace_of_the_tenants_own() -> Result<()>
{
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let session = session_in(&tenant, "research")?;
    ensure!(session["state"] == "succeeded" && session["project"] == "research", "{session}");
    let jobs = tenant.objects(&["-n", "research", "jobs"])?;
    ensure!(jobs["items"].as_array().map(Vec::len) == Some(1), "its Job is there: {jobs}");
    for object in ["serviceaccount/agent", "limitrange/warren", "rolebinding/agent"] {
        tenant.kubectl(&["-n", "research", "get", object])?.success()?;
    }

    tenant.kubectl(&["create", "namespace", "theirs"])?.success()?;
    let session = session_in(&tenant, "theirs")?;
    let cause = session["cause"].to_string();
    ensure!(
        session["state"] == "failed" && session["cause"]["class"] == "user-config",
        "a namespace of the tenant's own is not touched: {session}"
    );
    ensure!(cause.contains("theirs") && cause.contains("another name"), "way out: {cause}");
    let accounts = tenant.kubectl(&["-n", "theirs", "get", "serviceaccount", "agent"])?;
    ensure!(accounts.code != 0, "nothing was put there: {}", accounts.text());

    let body =
        json!({"project": "kube-system", "image": lab.image("busybox"), "command": ["/bin/true"]});
    let (status, problem) = lab.post(&tenant.path("/sessions"), &body)?;
    let field = &problem["errors"][0];
    ensure!(
        status == 422 && field["field"] == "/project" && field["value"] == "kube-system",
        "{status} {problem}"
    );
    Ok(())
}

/// A policy of the tenant's own that changes pods of runs in one project.
fn breaking(tenant: &TestTenant, project: &str, field: &str) -> Result<()> {
    let name = format!("breaks-{project}");
    let run = format!(
        "object.metadata.namespace == '{project}' && has(object.metadata.labels) && 'warren.dev/run' in object.metadata.labels"
    );
    let patch = format!("[JSONPatch{{op: 'replace', path: '{field}', value: '/nowhere'}}]");
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]});
    let metadata = json!({"name": name});
    let version = "admissionregistration.k8s.io/v1";
    tenant.create(
        &json!({"apiVersion": version, "kind": "MutatingAdmissionPolicy", "metadata": metadata,
        "spec": {"failurePolicy": "Fail", "reinvocationPolicy": "Never",
            "matchConstraints": {"resourceRules": [rule]},
            "matchConditions": [{"name": "is-run", "expression": run}],
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}]}}),
    )?;
    tenant.create(&json!({"apiVersion": version, "kind": "MutatingAdmissionPolicyBinding", "metadata": metadata,
        "spec": {"policyName": name}}))
}

#[test]
fn a_runner_that_cannot_do_its_work_is_quoted_and_blamed_on_nobody_else() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "broken")?;
    let twin = session_in(&tenant, "research")?;
    ensure!(twin["state"] == "succeeded", "the twin, before anything is broken: {twin}");
    breaking(&tenant, "agents", "/spec/containers/0/env/2/value")?;
    breaking(&tenant, "research", "/spec/initContainers/0/args/1")?;
    // Policies of an API server bite a moment after they are made.
    for project in ["agents", "research"] {
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "try", "namespace": project, "labels": {"warren.dev/run": "x"}},
            "spec": {"containers": [container("a")], "initContainers": [container("i")],
                "securityContext": {"runAsNonRoot": true, "runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"}}}});
        until("the policy bites", 30, || {
            let arguments = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
            let output = tenant.kubectl_with_input(&arguments, &pod.to_string())?.text();
            Ok(if output.contains("/nowhere") { Ok(()) } else { Err(output) })
        })?;
    }
    for (project, reason, words) in [
        ("agents", "RunnerFailed", "WARREN_RUN_ENDPOINT is not of the form"),
        ("research", "RunnerNotInstalled", "cannot copy itself to /nowhere"),
    ] {
        let session = session_in(&tenant, project)?;
        let cause = &session["cause"];
        ensure!(
            session["state"] == "failed"
                && cause["class"] == "transient"
                && session["run"]["attempt"] == 3
                && cause["reason"] == reason
                && cause["message"].as_str().is_some_and(|message| message.contains(words)),
            "{project}: {session}"
        );
    }
    Ok(())
}

fn container(name: &str) -> Value {
    let env: Vec<Value> = ["A", "B", "C"].map(|name| json!({"name": name, "value": "x"})).to_vec();
    json!({"name": name, "image": "x", "args": ["a", "b"], "env": env,
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}})
}
