//! Nodes that a tenant has for itself: machines of a simulated Proxmox VE that really join the host cluster.

use anyhow::{Context as _, Result, ensure};
use black_box::{Lab, TestTenant};
use serde_json::{Value, json};

/// Everything of one kind on the host.
fn on_host(lab: &Lab, arguments: &[&str]) -> Result<Vec<Value>> {
    let mut all = vec!["get"];
    all.extend(arguments);
    all.extend(["-o", "json"]);
    let text = lab.kubectl(&all)?.success()?;
    let list: Value = serde_json::from_str(&text).context("kubectl prints JSON")?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[test]
fn a_tenant_runs_on_a_machine_of_its_own_and_leaves_nothing_of_it() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let name = format!("own-nodes-{}", std::process::id());
    let body = json!({ "name": name, "plan": "dedicated-s", "nodes": 1 });
    let (status, body) = lab.post("/api/v1/tenants", &body)?;
    ensure!(status == 201, "{status} {body}");
    let tenant = TestTenant::of(&lab, &body)?;
    tenant.wait_ready()?;

    let nodes = lab.get(&tenant.path("/nodes"))?;
    let own = &nodes["items"][0];
    ensure!(own["state"] == "ready" && own["machine"]["vm"].is_u64(), "{nodes}");
    let machine = text(own, "/name").to_owned();
    let operations = lab.get(&tenant.path("/operations"))?;
    let attach = operations["items"].as_array().into_iter().flatten();
    let attach = attach.clone().find(|operation| operation["kind"] == "node-attach");
    let attach = attach.with_context(|| format!("an operation of its own: {operations}"))?;
    ensure!(attach["state"] == "succeeded", "{attach}");

    // What it joined with is gone, and nobody else is let onto it.
    let node = on_host(&lab, &["nodes", "--field-selector", &format!("metadata.name={machine}")])?;
    let node = node.first().context("the machine is a node of the host")?;
    let cluster = tenant.cluster()?;
    ensure!(
        node["metadata"]["labels"]["node-restriction.kubernetes.io/warren-cluster"]
            == cluster.as_str(),
        "{node}"
    );
    let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let keys: Vec<&str> = taints.iter().map(|taint| text(taint, "/key")).collect();
    ensure!(keys == ["warren.dev/cluster"], "{node}");
    let tokens = on_host(
        &lab,
        &["secrets", "-n", "kube-system", "--field-selector", "type=bootstrap.kubernetes.io/token"],
    )?;
    ensure!(tokens.is_empty(), "its join token is gone");

    let id = tenant.shell_session("echo begun; sleep 5")?;
    tenant.session_wait(&id, &["running"], 60)?;
    let namespace = tenant.host_namespace()?;
    let pods = on_host(&lab, &["pods", "-n", &namespace])?;
    ensure!(pods.len() >= 3, "control plane, DNS and the session: {}", pods.len());
    for pod in &pods {
        let is_control_plane = text(pod, "/metadata/labels/app") == "vcluster";
        let is_on_own = text(pod, "/spec/nodeName") == machine;
        ensure!(is_on_own != is_control_plane, "{pod}");
    }
    let session = tenant.session_end(&id, 60)?;
    ensure!(session["state"] == "succeeded", "{session}");
    ensure!(tenant.session_log(&id)? == "begun\n", "its log is whole");

    let operation = tenant.delete("")?;
    let end = tenant.operation_end(&operation, 180)?;
    ensure!(end["state"] == "succeeded", "{end}");
    let left = on_host(&lab, &["nodes", "--field-selector", &format!("metadata.name={machine}")])?;
    ensure!(left.is_empty(), "no node is left: {left:?}");
    Ok(())
}
