//! A tenant's life: made, put right, explained, deleted.

use anyhow::{Context, Result, ensure};
use black_box::{Lab, TestTenant, until};
use serde_json::json;

#[test]
fn a_new_tenant_answers_with_a_credential_that_warren_minted() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "answers")?;
    let nodes = tenant.kubectl(&["get", "namespaces", "-o", "name"])?.success()?;
    ensure!(nodes.contains("namespace/agents"), "the project namespace is inside: {nodes}");
    let account = tenant
        .kubectl(&["-n", "agents", "get", "serviceaccount", "agent", "-o", "json"])?
        .success()?;
    let account: serde_json::Value = serde_json::from_str(&account)?;
    ensure!(
        account["automountServiceAccountToken"] == false,
        "no token is mounted by itself: {account}"
    );
    let conditions = tenant.describe()?["conditions"].clone();
    for kind in ["NamespaceReady", "ControlPlaneReady", "DnsReady", "BaselineReady", "Ready"] {
        let holds = conditions.as_array().is_some_and(|all| {
            all.iter().any(|c| c["type"] == kind && c["status"] == "True" && c["since"].is_string())
        });
        ensure!(holds, "{kind} holds: {conditions}");
    }
    Ok(())
}

#[test]
fn the_create_operation_shows_its_steps_with_durations() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "steps")?;
    let operations = lab.get(&tenant.path("/operations"))?;
    let operation = operations["items"][0].clone();
    ensure!(
        operation["kind"] == "tenant-create" && operation["state"] == "succeeded",
        "{operation}"
    );
    let steps = operation["steps"].as_array().context("steps")?;
    ensure!(
        steps.len() == 4
            && steps.iter().all(|s| s["state"] == "done" && s["durationMs"].is_number()),
        "{operation}"
    );
    Ok(())
}

#[test]
fn what_is_changed_or_deleted_by_hand_is_put_right() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "drift")?;
    let namespace = tenant.host_namespace()?;
    let quota = [
        "-n",
        &namespace,
        "get",
        "resourcequota",
        "warren-tenant",
        "-o",
        "jsonpath={.spec.hard.pods}",
    ];
    let pods = lab.kubectl(&quota)?.success()?;
    let patch = r#"{"spec":{"hard":{"pods":"9999"}}}"#;
    lab.kubectl(&[
        "-n",
        &namespace,
        "patch",
        "resourcequota",
        "warren-tenant",
        "--type=merge",
        "-p",
        patch,
    ])?
    .success()?;
    lab.kubectl(&["-n", &namespace, "delete", "networkpolicy", "--all"])?.success()?;
    let role = tenant.cluster().map(|cluster| format!("vc-{cluster}"))?;
    lab.kubectl(&["-n", &namespace, "delete", "role", &role])?.success()?;
    until("quota, policies and role are back", 10, || {
        let now = lab.kubectl(&quota)?.success()?;
        let policies =
            lab.kubectl(&["-n", &namespace, "get", "networkpolicy", "-o", "name"])?.success()?;
        let role = lab.kubectl(&["-n", &namespace, "get", "role", &role, "-o", "name"])?.stdout;
        let is_right = now == pods && policies.lines().count() > 1 && !role.is_empty();
        Ok(if is_right {
            Ok(())
        } else {
            Err(format!("pods={now} policies={policies:?} role={role:?}"))
        })
    })
}

#[test]
fn a_lost_service_is_reported_as_damage_and_not_recreated() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "damage")?;
    let (namespace, cluster) = (tenant.host_namespace()?, tenant.cluster()?);
    lab.kubectl(&["-n", &namespace, "delete", "service", &cluster, "--wait=false"])?.success()?;
    until("the damage is reported", 15, || {
        let tenant = tenant.describe()?;
        let text = tenant["conditions"].to_string();
        let is_reported =
            tenant["phase"] == "degraded" && text.contains(&cluster) && text.contains("Damage");
        Ok(if is_reported { Ok(()) } else { Err(text) })
    })?;
    let service = lab.kubectl(&["-n", &namespace, "get", "service", &cluster, "-o", "name"])?;
    ensure!(service.code != 0, "the service is not recreated");
    let operation = tenant.delete("")?;
    let end = tenant.operation_end(&operation, 120)?;
    ensure!(end["state"] == "succeeded", "a damaged tenant can be deleted: {end}");
    Ok(())
}

#[test]
fn explain_names_a_change_before_it_is_made_and_nothing_when_all_is_well() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "explain")?;
    let text = lab.warren(&["explain", "tenant", &tenant.name])?.success()?;
    ensure!(!text.contains("NetworkPolicy"), "nothing to change: {text}");
    let explanation = lab.get(&tenant.path("/explanation"))?;
    ensure!(explanation["changes"].as_array().is_some_and(Vec::is_empty), "{explanation}");
    Ok(())
}

#[test]
fn deletion_proves_absence_and_the_name_starts_anew() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "again")?;
    let namespace = tenant.host_namespace()?;
    tenant.kubectl(&["create", "configmap", "old-state", "--from-literal=a=b"])?.success()?;
    let operation = tenant.delete("")?;
    let end = tenant.operation_end(&operation, 120)?;
    ensure!(end["state"] == "succeeded", "{end}");
    ensure!(lab.kubectl(&["get", "namespace", &namespace])?.code != 0, "the namespace is gone");
    let volumes = lab.kubectl(&["get", "persistentvolumes", "-o", "json"])?.success()?;
    ensure!(!volumes.contains(&namespace), "no volume is left");
    let answer = lab.request(reqwest::Method::GET, &tenant.path(""))?.send()?;
    ensure!(answer.status().as_u16() == 404, "the tenant is gone: {}", answer.status());
    let again = TestTenant::ready(&lab, "again")?;
    ensure!(again.host_namespace()? != namespace, "the namespace is new");
    ensure!(again.kubectl(&["get", "configmap", "old-state"])?.code != 0, "old state is not seen");
    Ok(())
}

#[test]
fn a_half_created_tenant_can_be_deleted() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::created(&lab, "half")?;
    let operation = tenant.delete("")?;
    let end = tenant.operation_end(&operation, 120)?;
    ensure!(end["state"] == "succeeded", "{end}");
    Ok(())
}

#[test]
fn a_foreign_finalizer_is_named_and_force_clean_says_what_it_left() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "stuck")?;
    let namespace = tenant.host_namespace()?;
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "held", "namespace": namespace, "finalizers": ["example.com/held"]}});
    lab.kubectl_with_input(&["create", "-f", "-"], &object.to_string())?.success()?;
    let operation = tenant.delete("")?;
    let id = operation["id"].as_str().context("id")?.to_owned();
    until("the blocker is named", 60, || {
        let operation = lab.get(&format!("/api/v1/operations/{id}"))?;
        let text = operation["steps"].to_string();
        Ok(if text.contains("example.com/held") && text.contains("blocked") {
            Ok(())
        } else {
            Err(text)
        })
    })?;
    let forced = tenant.delete("?force=true")?;
    let end = tenant.operation_end(&forced, 60)?;
    ensure!(end["problem"].to_string().contains("example.com/held"), "it says what it left: {end}");
    let patch = r#"{"metadata":{"finalizers":null}}"#;
    lab.kubectl(&["-n", &namespace, "patch", "configmap", "held", "--type=merge", "-p", patch])?
        .success()?;
    Ok(())
}
