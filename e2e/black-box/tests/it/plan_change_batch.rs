//! Many tenants move to another plan in one go.

use crate::dedicated::{pause, text};
use anyhow::{Context as _, Result, ensure};
use black_box::{Lab, TestTenant, pods::pod, until};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a batch of small tenants takes at most, in seconds.
const PATIENCE: u64 = 180;

fn made(lab: &Lab, body: &Value) -> Result<String> {
    let (status, batch) = lab.post("/api/v1/plan-change-batches", body)?;
    ensure!(status == 201, "{status} {batch}");
    Ok(format!("/api/v1/plan-change-batches/{}", text(&batch, "/id")))
}

/// Follows a batch to its end, and sees to it that no more are under way than may.
fn followed(lab: &Lab, batch: &str, most: u64) -> Result<Value> {
    until("the end of the batch", PATIENCE, || {
        let seen = lab.get(batch)?;
        let running = seen["counts"]["running"].as_u64().context("a count")?;
        ensure!(running <= most, "{seen}");
        pause(Duration::from_millis(100));
        Ok(if seen["finishedAt"].is_string() { Ok(()) } else { Err(seen.to_string()) })
    })?;
    lab.get(batch)
}

fn states(batch: &Value) -> Vec<&str> {
    let lines = batch["lines"].as_array().into_iter().flatten();
    lines.map(|line| text(line, "/state")).collect()
}

fn have(tenants: &[TestTenant], plan: &str) -> Result<()> {
    for tenant in tenants {
        tenant.wait_ready()?;
        let seen = tenant.describe()?;
        ensure!(seen["plan"] == plan, "{seen}");
    }
    Ok(())
}

/// Pods whose limits add up to 3 CPU: more than `starter` has.
fn grow(tenant: &TestTenant) -> Result<()> {
    for number in 0..3 {
        let name = format!("large-{number}");
        tenant.create(&pod(&name, tenant.lab.image("busybox"), |pod| {
            let idle = "trap exit TERM; while :; do sleep 1; done";
            pod["spec"]["containers"][0]["command"] = json!(["/bin/sh", "-c", idle]);
            pod["spec"]["containers"][0]["resources"] = json!({
                "requests": { "cpu": "10m", "memory": "16Mi" },
                "limits": { "cpu": "1", "memory": "32Mi" },
            });
        }))?;
    }
    Ok(())
}

/// Waits until a dry run finds so many in the way.
fn blocked(lab: &Lab, wish: &Value, count: u64) -> Result<Value> {
    let path = "/api/v1/plan-change-batches?dryRun=true";
    until("what is in the way is seen", 60, || {
        let (status, seen) = lab.post(path, wish)?;
        ensure!(status == 200, "{status} {seen}");
        Ok(if seen["sums"]["blocked"] == count { Ok(()) } else { Err(seen.to_string()) })
    })?;
    Ok(lab.post(path, wish)?.1)
}

#[test]
fn three_tenants_move_two_at_a_time_and_the_way_back_stops_at_the_one_that_does_not_fit()
-> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenants = ["batch-a", "batch-b", "batch-c"].map(|name| TestTenant::created(&lab, name));
    let tenants = tenants.into_iter().collect::<Result<Vec<_>>>()?;
    have(&tenants, "starter")?;
    let ids: Vec<_> = tenants.iter().map(|tenant| tenant.id.as_str()).collect();
    let there = made(&lab, &json!({ "tenants": ids, "plan": "pro", "maxParallel": 2 }))?;
    let there = followed(&lab, &there, 2)?;
    ensure!(states(&there) == ["succeeded"; 3], "{there}");
    have(&tenants, "pro")?;

    grow(&tenants[1])?;
    let wish = json!({ "tenants": ids, "plan": "starter", "maxParallel": 1 });
    let seen = blocked(&lab, &wish, 1)?;
    let why = json!([{ "code": "does-not-fit", "count": 1 }]);
    ensure!(seen["sums"]["blockers"] == why, "{seen}");
    let path = made(&lab, &wish)?;
    let back = followed(&lab, &path, 1)?;
    ensure!(states(&back) == ["succeeded", "failed", "skipped"], "{back}");
    ensure!(back["lines"][1]["problem"]["code"] == "plan-change-blocked", "{back}");
    let skipped = text(&back["lines"][2], "/problem/detail");
    ensure!(skipped.contains(&tenants[1].name), "the first failure is named: {skipped}");
    have(&tenants[..1], "starter")?;
    have(&tenants[1..], "pro")?;

    let deleted = tenants[1].kubectl(&["delete", "pod", "-n", "default", "--all"])?;
    deleted.success()?;
    blocked(&lab, &json!({ "tenants": ids[1..], "plan": "starter" }), 0)?;
    let (status, again) = lab.post(&format!("{path}/retry"), &json!({}))?;
    ensure!(status == 202, "{status} {again}");
    let again = followed(&lab, &path, 1)?;
    ensure!(states(&again) == ["succeeded"; 3], "{again}");
    have(&tenants, "starter")
}
