//! A tenant's end, from every state.

use anyhow::{Context, Result, ensure};
use black_box::{Lab, TestTenant, until};
use serde_json::Value;

#[test]
fn deletion_proves_absence_and_the_name_starts_anew() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "again")?;
    let namespace = tenant.host_namespace()?;
    tenant.kubectl(&["create", "configmap", "old-state", "--from-literal=a=b"])?.success()?;
    let operation = tenant.delete("")?;
    let end = tenant.operation_end(&operation, 120)?;
    ensure!(end["state"] == "succeeded", "{end}");
    let steps = end["steps"].as_array().context("steps")?;
    let names: Vec<&str> = steps.iter().filter_map(|step| step["name"].as_str()).collect();
    ensure!(names == ["sessions", "workload", "service", "volumes", "nodes", "namespace"], "{end}");
    let is_proven = |step: &Value| step["state"] == "done" && step["message"].as_str() != Some("");
    ensure!(steps.iter().all(is_proven), "each step ends with its proof: {end}");
    ensure!(lab.kubectl(&["get", "namespace", &namespace])?.code != 0, "the namespace is gone");
    let volumes = lab.kubectl(&["get", "persistentvolumes", "-o", "json"])?.success()?;
    ensure!(!volumes.contains(&namespace), "no volume is left");
    ensure!(status(&tenant, "")? == 404, "the tenant is gone");
    let again = TestTenant::ready(&lab, "again")?;
    ensure!(again.host_namespace()? != namespace, "the namespace is new");
    ensure!(again.kubectl(&["get", "configmap", "old-state"])?.code != 0, "old state is not seen");
    Ok(())
}

#[test]
fn a_half_created_tenant_can_be_deleted() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let early = TestTenant::created(&lab, "half")?;
    let operation = early.delete("")?;
    let late = TestTenant::created(&lab, "three-quarters")?;
    let end = early.operation_end(&operation, 120)?;
    ensure!(end["state"] == "succeeded", "before anything was made: {end}");
    let namespace = late.host_namespace()?;
    until("its control plane is on its way", 120, || {
        let sets = late.on_host(&["get", "statefulsets", "-o", "name"])?.stdout;
        Ok(if sets.is_empty() { Err("no StatefulSet yet".to_owned()) } else { Ok(()) })
    })?;
    let operation = late.delete("")?;
    let end = late.operation_end(&operation, 120)?;
    ensure!(end["state"] == "succeeded", "while its control plane starts: {end}");
    ensure!(lab.kubectl(&["get", "namespace", &namespace])?.code != 0, "the namespace is gone");
    Ok(())
}

#[test]
fn a_tenant_whose_cluster_is_dead_says_so_and_can_be_deleted() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "dead")?;
    let (namespace, pod) = (tenant.host_namespace()?, format!("{}-0", tenant.cluster()?));
    let session = tenant.shell_session("echo begun; sleep 600")?;
    tenant.session_wait(&session, &["running"], 60)?;
    let ruin = "printf ruined > /data/state.db; rm -f /data/state.db-wal /data/state.db-shm";
    tenant.on_host(&["exec", &pod, "-c", "syncer", "--", "/bin/sh", "-c", ruin])?.success()?;
    tenant.on_host(&["delete", "pod", &pod, "--grace-period=0", "--force"])?.success()?;
    until("the death is reported", 60, || {
        let tenant = tenant.describe()?;
        let is_told = tenant["conditions"].as_array().is_some_and(|all| {
            all.iter().any(|c| c["type"] == "ControlPlaneReady" && c["status"] != "True")
        });
        let is_told = is_told && tenant["phase"] != "ready";
        Ok(if is_told { Ok(()) } else { Err(tenant.to_string()) })
    })?;
    let operation = tenant.delete("")?;
    until("its session is stopped", 20, || {
        let session = tenant.session_get(&session)?;
        let is_told =
            session["state"] == "stopped" && session["cause"]["reason"] == "TenantDeleted";
        Ok(if is_told { Ok(()) } else { Err(session.to_string()) })
    })
    .or_else(|error| if status(&tenant, "")? == 404 { Ok(()) } else { Err(error) })?;
    let end = tenant.operation_end(&operation, 120)?;
    ensure!(end["state"] == "succeeded", "{end}");
    ensure!(lab.kubectl(&["get", "namespace", &namespace])?.code != 0, "the namespace is gone");
    Ok(())
}

/// What the API answers about something of a tenant.
pub(crate) fn status(tenant: &TestTenant, rest: &str) -> Result<u16> {
    let answer = tenant.lab.request(reqwest::Method::GET, &tenant.path(rest))?.send()?;
    Ok(answer.status().as_u16())
}
