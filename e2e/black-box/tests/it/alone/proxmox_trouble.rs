//! Proxmox VE is not well: a part of its cluster is away.

use crate::dedicated::{is_gone, own_node, text};
use anyhow::{Context as _, Result, ensure};
use black_box::{Lab, TestTenant, until};
use serde_json::{Value, json};

/// Whatever comes of the test, the cluster is whole afterwards.
struct Healed<'a>(&'a Lab);

impl Drop for Healed<'_> {
    fn drop(&mut self) {
        // What is whole already stays so.
        let _ = act(self.0, &json!({ "act": "regain_quorum" }));
        let _ = act(self.0, &json!({ "act": "node_online", "node": "pve1" }));
    }
}

fn act(lab: &Lab, act: &Value) -> Result<()> {
    lab.proxmox(&json!({ "act": act }))?;
    Ok(())
}

/// The operation in which the tenant's node is made.
fn attach(tenant: &TestTenant) -> Result<Option<Value>> {
    Ok(tenant.operations("node-attach")?.pop())
}

#[test]
fn a_node_is_made_though_one_of_proxmox_ve_is_off_and_the_majority_goes_for_a_while() -> Result<()>
{
    let Some(lab) = Lab::alone() else { return Ok(()) };
    let _healed = Healed(&lab);
    act(&lab, &json!({ "act": "node_offline", "node": "pve1" }))?;
    let tenant = TestTenant::created_with_nodes(&lab, "trouble", 1)?;
    until("it is being copied", 60, || {
        let attach = attach(&tenant)?.unwrap_or_default();
        let mut steps = attach["steps"].as_array().into_iter().flatten();
        let is_copying = steps.any(|step| step["name"] == "clone" && step["state"] != "waiting");
        Ok(if is_copying { Ok(()) } else { Err(attach.to_string()) })
    })?;
    act(&lab, &json!({ "act": "lose_quorum" }))?;
    until("what it waits for is told", 60, || {
        let attach = attach(&tenant)?.context("it was there")?;
        ensure!(attach["finishedAt"].is_null(), "it waits: {attach}");
        let mut steps = attach["steps"].as_array().into_iter().flatten();
        let is_told = steps.any(|step| text(step, "/message").contains("quorum"));
        Ok(if is_told { Ok(()) } else { Err(attach.to_string()) })
    })?;
    act(&lab, &json!({ "act": "regain_quorum" }))?;
    tenant.wait_ready()?;

    let end = attach(&tenant)?.context("it was there")?;
    ensure!(end["state"] == "succeeded", "{end}");
    let own = own_node(&lab, &tenant)?;
    ensure!(own["machine"]["place"] != "pve1", "that one is off: {own}");
    let machine = text(&own, "/name").to_owned();
    tenant.removed(180)?;
    is_gone(&lab, &machine)?;
    Ok(())
}
