//! A node with a Deployment of three, whose budget wants two of them at every moment, is emptied onto another node. Ours:
//! from the request to stop the node until none of the tenant's pods is on it. Theirs: the same with `kubectl cordon` at
//! the host and `kubectl drain` at the tenant, until the same.

use crate::{
    figure::{Figure, Goal},
    machine::rest,
    node_attach::with_own_node,
};
use anyhow::{Context as _, Result, ensure};
use black_box::{Lab, TestTenant, Web, until};
use serde_json::{Value, json};
use std::time::Instant;

const PATIENCE_S: u64 = 300;

pub(crate) fn measure(lab: &Lab, runs: usize) -> Result<Vec<Figure>> {
    let tenant = with_own_node(lab, "bench-drain", 2)?;
    let nodes = lab.get(&tenant.path("/nodes"))?["items"].clone();
    let (one, other) = (&nodes[0], &nodes[1]);
    // All of it begins on the first one.
    lab.kubectl(&["cordon", name(other)?])?.success()?;
    let web = Web::deployed(&tenant)?;
    lab.kubectl(&["uncordon", name(other)?])?.success()?;
    let (mut ours, mut theirs, mut below) = (Vec::new(), Vec::new(), 0);
    for _ in 0..runs {
        rest()?;
        let (took, fewer) = watched(&web, || stopped(&tenant, one))?;
        ours.push(took);
        below += fewer;
        let (status, begun) = lab.post(&verb(&tenant, one, "start"), &json!({}))?;
        ensure!(status == 202, "{status} {begun}");
        tenant.operation_end(&begun, PATIENCE_S)?;
        rest()?;
        let (took, _) = watched(&web, || drained(&tenant, other))?;
        theirs.push(took);
        // A node on which no pod of its is left may be none of the tenant's by now.
        tenant.kubectl(&["uncordon", name(other)?])?;
        lab.kubectl(&["uncordon", name(other)?])?.success()?;
    }
    tenant.removed(PATIENCE_S)?;
    let below = Figure {
        name: "drain: below the budget".to_owned(),
        unit: "looks",
        ours: vec![f64::from(below)],
        theirs: Vec::new(),
        goal: Goal::Never(0.0),
    };
    let goal = Goal::Ratio(1.2);
    Ok(vec![Figure { name: "drain".to_owned(), unit: "s", ours, theirs, goal }, below])
}

fn name(node: &Value) -> Result<&str> {
    node["name"].as_str().context("a node has a name")
}

fn verb(tenant: &TestTenant, node: &Value, verb: &str) -> String {
    tenant.path(&format!("/nodes/{}/{verb}", node["id"].as_str().unwrap_or_default()))
}

/// How long it took, in seconds, and at how many looks the budget did not hold.
fn watched(web: &Web<'_>, empty: impl FnOnce() -> Result<f64>) -> Result<(f64, u32)> {
    let (took, seen) = web.watched(empty)?;
    let below = seen.iter().filter(|look| look.is_below()).count();
    Ok((took, u32::try_from(below)?))
}

fn stopped(tenant: &TestTenant, node: &Value) -> Result<f64> {
    let begun_at = Instant::now();
    let (status, begun) = tenant.lab.post(&verb(tenant, node, "stop"), &json!({}))?;
    ensure!(status == 202, "{status} {begun}");
    let took = emptied(tenant, node, begun_at)?;
    let end = tenant.operation_end(&begun, PATIENCE_S)?;
    ensure!(end["state"] == "succeeded", "{end}");
    Ok(took)
}

fn drained(tenant: &TestTenant, node: &Value) -> Result<f64> {
    let begun_at = Instant::now();
    tenant.lab.kubectl(&["cordon", name(node)?])?.success()?;
    let drain =
        ["drain", name(node)?, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s"];
    tenant.kubectl(&drain)?.success()?;
    emptied(tenant, node, begun_at)
}

/// Waits until none of the tenant's pods is on the node; seconds since the beginning.
fn emptied(tenant: &TestTenant, node: &Value, since: Instant) -> Result<f64> {
    let on_node = format!("--field-selector=spec.nodeName={}", name(node)?);
    until("no pod is left on it", PATIENCE_S, || {
        let left = tenant.on_host(&["get", "pods", &on_node, "-o", "name"])?.success()?;
        Ok(if left.trim().is_empty() { Ok(since.elapsed().as_secs_f64()) } else { Err(left) })
    })
}
