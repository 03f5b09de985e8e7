//! Volumes that are copied while the server is killed, and copied back when the change is taken back.

use crate::dedicated::text;
use crate::plan_change::{change, has_plan, made};
use crate::volumes::{Keeper, folder, has_moved, wait_said};
use anyhow::{Result, ensure};
use black_box::{Lab, pods::pod, until};
use serde_json::json;

#[test]
fn a_copy_whose_server_is_killed_begins_anew_and_a_swap_goes_on() -> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    let tenant = made(&lab, "killed-copy", "pro")?;
    let keeper = Keeper::deployed(&tenant, 200)?;
    let seen = keeper.seen()?;
    for (plan, nodes, moment) in [
        ("dedicated-s", 1, " copied; its pods are down"),
        ("pro", 0, "not bound to its new volume"),
    ] {
        let old = folder(&keeper.volume()?);
        let begun = change(&tenant, &lab, &json!({ "plan": plan, "volumes": "copy" }))?;
        wait_said(&lab, &begun, moment)?;
        lab.restart("warren", "KILL")?;
        let end = tenant.operation_end(&begun["operation"], 300)?;
        ensure!(end["state"] == "succeeded", "{end}");
        has_plan(&lab, &tenant, plan, nodes)?;
        has_moved(&keeper, &seen, &old)?;
    }
    Ok(())
}

#[test]
fn a_volume_that_was_copied_is_copied_back_when_the_change_is_taken_back() -> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    let tenant = made(&lab, "copied-back", "pro")?;
    let keeper = Keeper::deployed(&tenant, 8)?;
    let seen = keeper.seen()?;
    // It holds the move up: its budget lets nobody go.
    let labels = json!({ "app": "firm" });
    let mut firm = pod("firm", tenant.lab.image("busybox"), |pod| {
        let idle = "trap exit TERM; while :; do sleep 1; done";
        pod["spec"]["restartPolicy"] = "Always".into();
        pod["spec"]["containers"][0]["command"] = json!(["/bin/sh", "-c", idle]);
    });
    let template = json!({ "metadata": { "labels": labels }, "spec": firm["spec"].take() });
    let metadata = json!({ "name": "firm", "namespace": "default" });
    let selector = json!({ "matchLabels": labels });
    tenant.create(&json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata,
        "spec": { "minAvailable": 1, "selector": selector },
    }))?;
    tenant.create(&json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
        "spec": { "selector": selector, "template": template },
    }))?;
    tenant.kubectl(&["rollout", "status", "deployment/firm", "--timeout=60s"])?.success()?;

    let first = folder(&keeper.volume()?);
    let begun = change(&tenant, &lab, &json!({ "plan": "dedicated-s", "volumes": "copy" }))?;
    until("the volume is copied", 240, || {
        // For a moment there is none.
        let now = keeper.volume().map(|volume| folder(&volume));
        let is_elsewhere = now.as_ref().is_ok_and(|now| *now != first);
        Ok(if is_elsewhere { Ok(()) } else { Err(format!("{now:?}")) })
    })?;
    wait_said(&lab, &begun, "disruption budget")?;
    has_moved(&keeper, &seen, &first)?;
    let second = folder(&keeper.volume()?);
    let path = tenant.path(&format!("/plan-changes/{}/cancel", text(&begun, "/id")));
    let (status, cancelled) = lab.post(&path, &json!({}))?;
    ensure!(status == 202, "{status} {cancelled}");
    let end = tenant.operation_end(&begun["operation"], 300)?;
    ensure!(end["state"] == "failed" && end["problem"]["code"] == "cancelled", "{end}");
    has_plan(&lab, &tenant, "pro", 0)?;
    has_moved(&keeper, &seen, &second)
}
