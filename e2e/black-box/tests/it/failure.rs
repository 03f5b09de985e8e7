//! What a session says about its failure, each provoked for real.

use anyhow::{Context as _, Result, ensure};
use black_box::{Lab, TestTenant, until};
use serde_json::{Value, json};

/// The cause of a session that failed, with its class and reason looked at.
fn cause_of(session: &Value, class: &str, reason: &str) -> Result<Value> {
    let cause = &session["cause"];
    let is_so =
        session["state"] == "failed" && cause["class"] == class && cause["reason"] == reason;
    ensure!(is_so, "{class}, {reason}: {session}");
    let advice = cause["nextStep"]["advice"].as_str().unwrap_or_default();
    ensure!(!advice.is_empty(), "it says what may help: {session}");
    Ok(cause.clone())
}

#[test]
fn an_image_that_is_not_there_is_named_with_the_words_of_whoever_looked_for_it() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let image = "registry.invalid/nobody/nothing:1";
    let id = tenant.session(&json!({ "image": image, "command": ["/bin/true"] }))?;
    let session = tenant.session_end(&id, 120)?;
    let reason = session["cause"]["reason"].as_str().unwrap_or_default();
    ensure!(matches!(reason, "ErrImagePull" | "ImagePullBackOff"), "{session}");
    let cause = cause_of(&session, "user-config", reason)?;
    ensure!(cause["evidence"]["image"] == image, "{cause}");
    let words = cause["evidence"]["words"].as_str().unwrap_or_default();
    ensure!(words.contains("registry.invalid"), "the runtime's own words: {cause}");
    Ok(())
}

#[test]
fn what_is_taken_away_before_it_began_is_transient_and_an_image_of_another_digest_is_not()
-> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    // As much as the plan allows is more than any node has left: its pod is never placed.
    let taken = tenant.session(&json!({
        "image": lab.image("busybox"), "command": ["/bin/true"], "resources": {"cpu": "2"},
        "retry": {"transient": {"attempts": 2, "backoffSeconds": 600}}}))?;
    let name = lab.image("busybox").rsplit_once(':').context("an image has a tag")?.0;
    let pinned = format!("{name}@sha256:{}", "0".repeat(64));
    let other = tenant.session(&json!({ "image": pinned, "command": ["/bin/true"] }))?;

    let own = format!("warren.dev/session={}", taken.trim_start_matches("ses_"));
    until("its Job is there", 30, || {
        let jobs = tenant.kubectl(&["-n", "agents", "get", "jobs", "-l", &own, "-o", "name"])?;
        let jobs = jobs.success()?;
        Ok(if jobs.is_empty() { Err("none".to_owned()) } else { Ok(()) })
    })?;
    tenant.kubectl(&["-n", "agents", "delete", "jobs", "-l", &own])?.success()?;
    let session = until("its next run is due", 60, || {
        let session = tenant.session_get(&taken)?;
        Ok(if session["retryAt"].is_string() { Ok(session) } else { Err(session.to_string()) })
    })?;
    let runs = lab.get(&tenant.path(&format!("/sessions/{taken}/runs")))?;
    let cause = &runs["items"][0]["cause"];
    ensure!(cause["class"] == "transient" && cause["reason"] == "JobGone", "{runs} {session}");
    lab.post(&tenant.path(&format!("/sessions/{taken}/stop")), &json!({}))?;

    let session = tenant.session_end(&other, 120)?;
    ensure!(session["cause"]["class"] == "user-config", "{session}");
    ensure!(session["cause"]["evidence"]["image"] == pinned.as_str(), "{session}");
    Ok(())
}

#[test]
fn an_agent_that_fails_has_its_last_lines_in_its_cause() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let id = tenant.shell_session("seq 1 100; sleep 1; echo no such table: births >&2; exit 7")?;
    let session = tenant.session_end(&id, 60)?;
    let evidence = cause_of(&session, "agent", "ExitCode")?["evidence"].clone();
    ensure!(evidence["exit"]["code"] == 7, "{evidence}");
    let lines = evidence["lastLines"].as_array().cloned().unwrap_or_default();
    ensure!(lines.len() == 5 && lines.contains(&json!("no such table: births")), "{evidence}");
    Ok(())
}

#[test]
fn an_agent_that_fills_its_disk_is_evicted_and_that_is_told() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    // What the tenant may do in its own cluster: less disk for the pods of one project.
    let selector = json!({ "matchLabels": { "kubernetes.io/metadata.name": "small-disk" } });
    // A pod may use what the larger of its containers and init containers may.
    let patches = ["containers", "initContainers"].map(|list| {
        let path = format!("/spec/{list}/0/resources/limits/ephemeral-storage");
        format!(r#"JSONPatch{{op: "add", path: "{path}", value: "64Mi"}}"#)
    });
    let expression = format!("[{}]", patches.join(", "));
    tenant.create(&json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy",
        "metadata": { "name": "small-disk" },
        "spec": {
            "failurePolicy": "Fail", "reinvocationPolicy": "Never",
            "matchConstraints": {
                "namespaceSelector": selector,
                "resourceRules": [{ "apiGroups": [""], "apiVersions": ["v1"],
                    "operations": ["CREATE"], "resources": ["pods"] }],
            },
            "mutations": [{ "patchType": "JSONPatch", "jsonPatch": { "expression": expression } }],
        },
    }))?;
    tenant.create(&json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding",
        "metadata": { "name": "small-disk" }, "spec": { "policyName": "small-disk" },
    }))?;
    // With its first session the project is there; a policy takes hold some time after it was made.
    let begin = |line: &str| {
        tenant.session(&json!({
            "image": lab.image("busybox"), "command": ["/bin/sh", "-c", line], "project": "small-disk",
        }))
    };
    until("there is less disk", 60, || {
        let id = begin("sleep 5")?;
        tenant.session_wait(&id, &["running"], 30)?;
        let pods = tenant.objects(&["-n", "small-disk", "pods"])?;
        tenant.session_end(&id, 30)?;
        let limit = "/spec/initContainers/0/resources/limits/ephemeral-storage";
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        let is_small = |pod: &Value| pod.pointer(limit).is_some_and(|limit| limit == "64Mi");
        Ok(if pods.iter().any(is_small) { Ok(()) } else { Err(format!("{pods:?}")) })
    })?;
    let line = "dd if=/dev/zero of=/warren/outputs/much bs=1M count=100; echo written; sleep 300";
    let id = begin(line)?;
    let session = tenant.session_end(&id, 150)?;
    let cause = cause_of(&session, "resource", "Evicted")?;
    let words = cause["evidence"]["words"].as_str().unwrap_or_default();
    ensure!(words.contains("64Mi"), "the kubelet's own words, with the limit: {cause}");
    ensure!(cause["evidence"]["node"].is_string(), "{cause}");
    ensure!(tenant.session_log(&id)?.contains("written"), "what was sent is kept");
    Ok(())
}

#[test]
fn a_quota_refuses_with_its_arithmetic_and_a_dead_api_server_takes_no_session_with_it() -> Result<()>
{
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "quota")?;
    let start = |line: &str| {
        tenant.session(&json!({
            "image": lab.image("busybox"), "command": ["/bin/sh", "-c", line],
            "resources": { "cpu": "100m", "memory": "1900Mi" }, "gracePeriodSeconds": 1,
        }))
    };
    let line = "echo begun; while [ ! -e /tmp/over ]; do sleep 1; i=$((i+1)); [ $i -gt 40 ] && touch /tmp/over; done; echo over";
    let (first, second) = (start(line)?, start(line)?);
    for id in [&first, &second] {
        tenant.session_wait(id, &["running"], 60)?;
    }
    let third = start("true")?;
    let session = tenant.session_end(&third, 90)?;
    let reason = session["cause"]["reason"].as_str().unwrap_or_default().to_owned();
    let cause = cause_of(&session, "policy-denied", &reason)?;
    let short = cause["evidence"]["shortages"].as_array().cloned().unwrap_or_default();
    let memory = short.iter().find(|short| short["resource"] == "limits.memory");
    let memory = memory.with_context(|| format!("memory is short: {cause}"))?;
    for part in ["requested", "used", "limit"] {
        ensure!(memory[part].as_str().is_some_and(|text| !text.is_empty()), "{cause}");
    }

    let pod = format!("{}-0", tenant.cluster()?);
    tenant.on_host(&["delete", "pod", &pod, "--grace-period=0", "--force"])?.success()?;
    let session = tenant.session_end(&first, 120)?;
    ensure!(session["state"] == "succeeded", "nobody needs it to end: {session}");
    ensure!(tenant.session_log(&first)? == "begun\nover\n", "and no line is lost");
    let session = tenant.session_end(&second, 120)?;
    ensure!(session["state"] == "succeeded", "{session}");
    until("both are settled", 90, || {
        let session = tenant.session_get(&first)?;
        let is_settled = session["run"]["settledAt"].is_string();
        Ok(if is_settled { Ok(()) } else { Err(session.to_string()) })
    })
}
