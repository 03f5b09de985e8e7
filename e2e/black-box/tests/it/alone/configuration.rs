//! The same product, configured otherwise.

use anyhow::{Context, Result, ensure};
use black_box::{Lab, TestTenant, until};
use serde_json::{Value, json};

/// Three choices of the configuration at once: two tenants at a time; the Kubernetes programs copied by
/// an init container, as upstream's chart does; tenants reached through the host's API server, by a
/// Warren that their network policies let in nowhere.
#[test]
fn tenants_in_upstreams_form_are_reached_by_forwarded_ports_and_made_two_at_a_time() -> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    // Those of others would take the new form as well, and their turns.
    TestTenant::none_left(&lab)?;
    let _configured = lab.configure(&[
        ("tenants_at_once", "2"),
        ("kubernetes_delivery", "\"init-container\""),
        ("reach", "\"port-forward\""),
        ("control_plane_clients", "[]"),
    ])?;
    let tenants = make(&lab, ["first", "second", "third"])?;
    waits_visibly(&tenants)?;
    until("all three are ready", 180, || {
        // The one that waits is asked first: the others can only be further when they are asked.
        let mut seen = Vec::new();
        for tenant in tenants.iter().rev() {
            seen.push(tenant.describe()?);
        }
        let in_flight = seen.iter().filter(|tenant| is_in_flight(tenant)).count();
        ensure!(in_flight <= 2, "two at a time: {seen:?}");
        let is_ready = seen.iter().all(|tenant| tenant["phase"] == "ready");
        Ok(if is_ready { Ok(()) } else { Err(format!("{seen:?}")) })
    })?;

    let tenant = &tenants[0];
    let pod = tenant.host_objects(&["pod", &format!("{}-0", tenant.cluster()?)])?;
    let form = &pod["spec"];
    ensure!(form["initContainers"][0]["name"] == "kubernetes", "the programs are copied: {form}");
    ensure!(!form["volumes"].to_string().contains("\"image\""), "and not mounted: {form}");
    let id = tenant.shell_session("echo forwarded; exit 3")?;
    let session = tenant.session_end(&id, 60)?;
    ensure!(session["run"]["exit"]["code"] == 3, "{session}");
    ensure!(tenant.session_log(&id)? == "forwarded\n", "{session}");
    // Its end is seen by the watch on Jobs alone, which the forwarded port has to carry.
    let id = tenant.shell_session("sleep 600")?;
    tenant.session_wait(&id, &["running"], 60)?;
    // Its own pod: the one before may not have left yet.
    let own = format!("warren.dev/session={}", id.trim_start_matches("ses_"));
    let pods = tenant.host_objects(&["pods", "-l", &own])?;
    let name = |pod: &Value| pod["metadata"]["name"].as_str().map(str::to_owned);
    let running = pods["items"].as_array().into_iter().flatten();
    let running: Vec<String> =
        running.filter(|pod| pod["status"]["phase"] == "Running").filter_map(name).collect();
    ensure!(running.len() == 1, "one pod runs: {running:?}");
    tenant.on_host(&["delete", "pod", &running[0], "--grace-period=0", "--force"])?.success()?;
    let session = tenant.session_end(&id, 60)?;
    ensure!(session["cause"]["class"] == "infrastructure", "the pod was taken away: {session}");
    Ok(())
}

/// Asks for tenants, one right after the other.
fn make(lab: &Lab, names: [&str; 3]) -> Result<Vec<TestTenant>> {
    let mut tenants = Vec::new();
    for name in names {
        let name = format!("{name}-{}", std::process::id());
        let body = json!({"name": name, "plan": "starter"});
        let (status, body) = lab.post("/api/v1/tenants", &body)?;
        ensure!(status == 201 && body["phase"] == "pending", "{status} {body}");
        ensure!(body["operation"].is_string(), "an operation was made with it: {body}");
        tenants.push(TestTenant::of(lab, &body)?);
    }
    Ok(tenants)
}

/// Whether work on a tenant has begun and is not done.
fn is_in_flight(tenant: &Value) -> bool {
    let begun = |c: &Value| c["type"] == "NamespaceReady" && c["reason"] != "Waiting";
    let has_begun = tenant["conditions"].as_array().is_some_and(|all| all.iter().any(begun));
    // One that was ready before and does not answer for a moment is on its way no more.
    has_begun && tenant["phase"] == "provisioning"
}

/// The tenant that is not in flight says so, and how many are before it; so does its operation.
fn waits_visibly(tenants: &[TestTenant]) -> Result<()> {
    const WORDS: &str = "2 before this one";
    let tenant = until("one waits, and says for how many", 10, || {
        for tenant in tenants {
            let conditions = tenant.describe()?["conditions"].clone();
            let is_told = conditions.as_array().is_some_and(|all| {
                all.iter().any(|c| {
                    c["type"] == "NamespaceReady"
                        && c["reason"] == "Waiting"
                        && c["message"].as_str().is_some_and(|message| message.contains(WORDS))
                })
            });
            if is_told {
                return Ok(Ok(tenant));
            }
        }
        Ok(Err("all of them are in flight".to_owned()))
    })?;
    let operation = tenant.lab.get(&tenant.path("/operations"))?["items"][0].clone();
    let step = operation["steps"].as_array().and_then(|steps| steps.first()).context("a step")?;
    let is_told = step["message"].as_str().is_some_and(|message| message.contains(WORDS));
    ensure!(step["state"] == "waiting" && is_told, "its operation says the same: {operation}");
    Ok(())
}
