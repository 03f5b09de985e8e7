//! Some of the histories of the harness in `provisioner/execution/src/sagas/harness`, with a machine that boots.

use crate::dedicated::{is_gone, machines, node_done, own_node, text};
use anyhow::{Context as _, Result, ensure};
use black_box::{Lab, TestTenant, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Faults of calls of Proxmox VE; whatever comes of the test, none is left.
struct Faults<'a>(&'a Lab);

impl Drop for Faults<'_> {
    fn drop(&mut self) {
        let _ = self.0.proxmox(&json!({ "clear": null }));
    }
}

impl Faults<'_> {
    fn inject(&self, method: &str, path: &str, mut fault: Value) -> Result<()> {
        fault["method"] = method.into();
        fault["path"] = path.into();
        self.add(&fault)
    }

    fn add(&self, fault: &Value) -> Result<()> {
        self.0.proxmox(&json!({ "inject": fault }))?;
        Ok(())
    }

    /// All that were waited for have come.
    fn have_happened(&self) -> Result<()> {
        let left = self.0.proxmox(&json!("faults"))?;
        ensure!(left == json!([]), "these have not happened: {left}");
        Ok(())
    }
}

fn unheard() -> Value {
    json!({ "fault": "reply_lost", "after_effect": true })
}

fn fails(at: &str) -> Value {
    json!({ "fault": "task_fails", "text": "it broke", "at": at })
}

/// Kills the server at the first sight of each step that is under way, until the operation is over. The steps at which
/// it was killed.
pub(super) fn kill_at_each_step(
    lab: &Lab,
    operation: impl Fn() -> Result<Option<Value>>,
) -> Result<BTreeSet<String>> {
    let mut killed = BTreeSet::new();
    until("it is over", 300, || {
        let Some(operation) = operation()? else { return Ok(Err("it has not begun".to_owned())) };
        if operation["finishedAt"].is_string() {
            return Ok(Ok(()));
        }
        let mut steps = operation["steps"].as_array().into_iter().flatten();
        let step = steps.find(|step| step["state"] == "running").map(|step| text(step, "/name"));
        if let Some(step) = step.filter(|step| !killed.contains(*step)) {
            killed.insert(step.to_owned());
            lab.restart("warren", "KILL")?;
        }
        Ok(Err(operation.to_string()))
    })?;
    Ok(killed)
}

fn succeeded(tenant: &TestTenant, kind: &str) -> Result<()> {
    let all = tenant.operations(kind)?;
    let is_one = matches!(&all[..], [one] if one["state"] == "succeeded");
    ensure!(is_one, "one {kind}, and it succeeded: {all:?}");
    Ok(())
}

fn was_killed_at(killed: &BTreeSet<String>, steps: &[&str]) -> Result<()> {
    let missed: Vec<&&str> = steps.iter().filter(|step| !killed.contains(**step)).collect();
    ensure!(missed.is_empty(), "{missed:?} were over too soon; it was killed at {killed:?}");
    Ok(())
}

#[test]
fn one_machine_is_made_and_released_though_the_server_is_killed_at_each_step() -> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    let faults = Faults(&lab);
    // No step is over before it is seen.
    faults.add(&json!({ "fault": "slow", "ms": 150, "times": null }))?;
    let tenant = TestTenant::created_with_nodes(&lab, "killed-attach", 1)?;
    let killed = kill_at_each_step(&lab, || Ok(tenant.operations("node-attach")?.pop()))?;
    was_killed_at(&killed, &["reserve", "clone", "configure", "seed", "start", "join"])?;
    tenant.wait_ready()?;
    succeeded(&tenant, "node-attach")?;
    let own = own_node(&lab, &tenant)?;
    let machine = text(&own, "/name").to_owned();
    let made = machines(&lab)?;
    ensure!(made.iter().filter(|name| **name == machine).count() == 1, "{made:?}");

    let deletion = tenant.delete("")?;
    let killed = kill_at_each_step(&lab, || Ok(tenant.operations("node-release")?.pop()))?;
    was_killed_at(&killed, &["stop", "destroy"])?;
    succeeded(&tenant, "node-release")?;
    let end = tenant.operation_end(&deletion, 180)?;
    ensure!(end["state"] == "succeeded", "{end}");
    is_gone(&lab, &machine)
}

#[test]
fn a_machine_is_made_switched_and_released_though_proxmox_ve_fails_at_each_step() -> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    let faults = Faults(&lab);
    faults.inject("POST", "*/clone", fails("middle"))?;
    faults.inject("PUT", "*/resize", json!({ "fault": "lock_timeout", "lock": "vm" }))?;
    faults.inject("POST", "*/upload", unheard())?;
    faults.inject("POST", "*/status/start", fails("begin"))?;
    faults.inject("DELETE", "*/content/*", unheard())?;
    let tenant = TestTenant::created_with_nodes(&lab, "faulty", 1)?;
    tenant.wait_ready()?;
    succeeded(&tenant, "node-attach")?;
    faults.have_happened()?;
    let own = own_node(&lab, &tenant)?;
    let vm = own["machine"]["vm"].as_u64().context("it has a number")?;

    faults.inject("POST", "*/status/shutdown", unheard())?;
    node_done(&lab, &tenant, &own, "stop")?;
    faults.inject("POST", "*/status/start", unheard())?;
    node_done(&lab, &tenant, &own, "start")?;
    faults.have_happened()?;

    faults.inject("POST", "*/status/stop", fails("begin"))?;
    faults.inject("DELETE", "*/qemu/*", json!({ "fault": "task_warns", "count": 1 }))?;
    tenant.removed(240)?;
    faults.have_happened()?;
    is_gone(&lab, text(&own, "/name"))?;
    let volumes = lab.proxmox(&json!("state"))?["volumes"].to_string();
    ensure!(!volumes.contains(&format!("vm-{vm}-")), "a disk is left: {volumes}");
    Ok(())
}
