//! A living tenant moves between shared nodes and nodes of its own.

use crate::dedicated::{is_gone, machines, text};
use anyhow::{Context as _, Result, ensure};
use black_box::{Lab, TestTenant, Web, until};
use serde_json::{Value, json};

/// A tenant that is ready.
pub(crate) fn made(lab: &Lab, name: &str, plan: &str) -> Result<TestTenant> {
    let tenant = TestTenant::created_with_plan(lab, name, plan)?;
    tenant.wait_ready()?;
    Ok(tenant)
}

/// Does something, and sees to it that the web's budget holds at every moment.
fn within_budget<T>(web: &Web<'_>, act: impl FnOnce() -> Result<T>) -> Result<T> {
    let (done, seen) = web.watched(act)?;
    let below = seen.iter().find(|look| look.is_below());
    ensure!(below.is_none(), "the budget held at every moment: {below:?}");
    ensure!(seen.iter().any(|look| look.available.is_some()), "it was looked at");
    Ok(done)
}

pub(crate) fn change(tenant: &TestTenant, lab: &Lab, body: &Value) -> Result<Value> {
    let (status, change) = lab.post(&tenant.path("/plan-changes"), body)?;
    ensure!(status == 202, "{status} {change}");
    Ok(change)
}

fn ask(tenant: &TestTenant, lab: &Lab, change: &Value, verb: &str) -> Result<(u16, Value)> {
    lab.post(&tenant.path(&format!("/plan-changes/{}/{verb}", text(change, "/id"))), &json!({}))
}

fn own_machines(lab: &Lab, tenant: &TestTenant) -> Result<Vec<String>> {
    let nodes = lab.get(&tenant.path("/nodes"))?;
    let nodes = nodes["items"].as_array().cloned().unwrap_or_default();
    Ok(nodes.iter().map(|node| text(node, "/name").to_owned()).collect())
}

/// Checks that a tenant has a plan, is well, and has so many machines.
pub(crate) fn has_plan(
    lab: &Lab,
    tenant: &TestTenant,
    plan: &str,
    nodes: usize,
) -> Result<Vec<String>> {
    tenant.wait_ready()?;
    let seen = tenant.describe()?;
    ensure!(seen["plan"] == plan && seen["nodes"] == nodes, "{seen}");
    let own = own_machines(lab, tenant)?;
    let made = machines(lab)?;
    let is_there = own.iter().all(|name| made.iter().filter(|one| *one == name).count() == 1);
    ensure!(own.len() == nodes && is_there, "{own:?} of {made:?}");
    Ok(own)
}

#[test]
fn a_tenant_moves_to_nodes_of_its_own_and_back_while_it_works() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = made(&lab, "moves", "pro")?;
    let web = Web::deployed(&tenant)?;
    let sessions = (0..6).map(|_| tenant.shell_session("sleep 20; echo done"));
    let sessions = sessions.collect::<Result<Vec<_>>>()?;
    for id in &sessions {
        tenant.session_wait(id, &["running"], 120)?;
    }
    let wish = json!({ "plan": "dedicated-s", "nodes": 2 });
    let (status, preview) = lab.post(&tenant.path("/plan-changes?dryRun=true"), &wish)?;
    ensure!(status == 200 && preview["machinesMade"] == 2, "{status} {preview}");
    ensure!(preview["restarts"] == true && preview["blockers"] == json!([]), "{preview}");
    ensure!(preview["capacity"]["tightest"].is_string(), "{preview}");
    ensure!(preview["approval"]["reason"].is_null(), "{preview}");
    ensure!(preview["sessions"].as_array().is_some_and(|all| all.len() == 6), "{preview}");
    // Three of the deployment, each in a wave of its own, and the DNS server.
    ensure!(preview["waves"].as_array().is_some_and(|waves| waves.len() == 3), "{preview}");

    let own = within_budget(&web, || there_and_back(&lab, &tenant, &wish))?;
    for id in &sessions {
        let session = tenant.session_end(id, 60)?;
        ensure!(session["state"] == "succeeded", "{session}");
        ensure!(session["run"]["attempt"] == 1, "it ran once: {session}");
    }
    for machine in own {
        is_gone(&lab, &machine)?;
    }
    let changes = lab.get(&tenant.path("/plan-changes"))?;
    let changes = changes["items"].as_array().cloned().unwrap_or_default();
    ensure!(changes.len() == 2, "{changes:?}");
    for change in changes {
        ensure!(change["committedAt"].is_string(), "{change}");
        ensure!(change["apiAwayMs"].as_u64().is_some_and(|time| time < 60_000), "{change}");
    }
    Ok(())
}

/// Moves a tenant to nodes of its own and back; what those were called.
fn there_and_back(lab: &Lab, tenant: &TestTenant, wish: &Value) -> Result<Vec<String>> {
    let there = change(tenant, lab, wish)?;
    let (status, second) = lab.post(&tenant.path("/plan-changes"), wish)?;
    ensure!(status == 409 && second["code"] == "tenant-busy", "{status} {second}");
    ensure!(text(&second, "/detail").contains(text(&there, "/id")), "it is named: {second}");
    let end = tenant.operation_end(&there["operation"], 300)?;
    ensure!(end["state"] == "succeeded", "{end}");
    let own = has_plan(lab, tenant, "dedicated-s", 2)?;
    until("nobody else is there", 60, || {
        let statement = lab.get(&tenant.path("/exclusivity"))?;
        Ok(if statement["isExclusive"] == true { Ok(()) } else { Err(statement.to_string()) })
    })?;
    let (status, late) = ask(tenant, lab, &there, "cancel")?;
    ensure!(status == 409 && late["code"] == "plan-change-over", "{status} {late}");

    let back = change(tenant, lab, &json!({ "plan": "pro" }))?;
    let end = tenant.operation_end(&back["operation"], 300)?;
    ensure!(end["state"] == "succeeded", "{end}");
    has_plan(lab, tenant, "pro", 0)?;
    Ok(own)
}

#[test]
fn a_node_is_replaced_as_its_tenants_budget_allows() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = made(&lab, "replaced", "dedicated-s")?;
    let web = Web::deployed(&tenant)?;
    let nodes = lab.get(&tenant.path("/nodes"))?;
    let old = nodes["items"].as_array().and_then(|nodes| nodes.first()).cloned();
    let old = old.with_context(|| format!("a node of its own: {nodes}"))?;
    let path = tenant.path(&format!("/nodes/{}/replace", text(&old, "/id")));
    within_budget(&web, || {
        let (status, release) = lab.post(&path, &json!({}))?;
        ensure!(status == 202 && release["kind"] == "node-release", "{status} {release}");
        let (status, second) = lab.post(&path, &json!({}))?;
        ensure!(status == 409 && second["code"] == "node-not-ready", "{status} {second}");
        let end = tenant.operation_end(&release, 240)?;
        ensure!(end["state"] == "succeeded", "{end}");
        Ok(())
    })?;
    let own = has_plan(&lab, &tenant, "dedicated-s", 1)?;
    ensure!(own[0] != text(&old, "/name"), "another one took its place: {own:?}");
    is_gone(&lab, text(&old, "/name"))?;
    Ok(())
}

#[test]
fn a_change_that_is_taken_back_ends_in_the_old_plan() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = made(&lab, "turns-back", "pro")?;
    let web = Web::deployed(&tenant)?;
    let wish = json!({ "plan": "dedicated-s", "nodes": 1 });
    for step in ["nodes", "placement", "move"] {
        let begun = change(&tenant, &lab, &wish)?;
        // It goes no further than to the first wave.
        let (status, halted) = ask(&tenant, &lab, &begun, "pause")?;
        ensure!(status == 202 && halted["pausedAt"].is_string(), "{status} {halted}");
        let path = format!("/api/v1/operations/{}", text(&begun, "/id"));
        until(step, 120, || {
            let operation = lab.get(&path)?;
            let steps = operation["steps"].as_array().cloned().unwrap_or_default();
            let is_there = |one: &Value| one["name"] == step && one["state"] != "waiting";
            Ok(if steps.iter().any(is_there) { Ok(()) } else { Err(operation.to_string()) })
        })?;
        let own = own_machines(&lab, &tenant)?;
        let (status, cancelled) = ask(&tenant, &lab, &begun, "cancel")?;
        ensure!(status == 202, "{status} {cancelled}");
        let end = tenant.operation_end(&begun["operation"], 240)?;
        ensure!(end["state"] == "failed" && end["problem"]["code"] == "cancelled", "{step}: {end}");
        has_plan(&lab, &tenant, "pro", 0)?;
        for machine in own {
            is_gone(&lab, &machine)?;
        }
        ensure!(web.is_whole()?, "{step}: nothing of it is missing");
    }
    Ok(())
}
