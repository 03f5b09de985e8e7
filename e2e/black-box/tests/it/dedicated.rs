//! Nodes that a tenant has for itself: machines of a simulated Proxmox VE that really join the host cluster.

use anyhow::{Context as _, Result, ensure};
use black_box::{Lab, TestTenant, until};
use serde_json::{Value, json};
use std::time::Duration;

#[expect(clippy::disallowed_methods, reason = "a server is killed at some moment or other")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Everything of one kind on the host.
fn on_host(lab: &Lab, arguments: &[&str]) -> Result<Vec<Value>> {
    let mut all = vec!["get"];
    all.extend(arguments);
    all.extend(["-o", "json"]);
    let text = lab.kubectl(&all)?.success()?;
    let list: Value = serde_json::from_str(&text).context("kubectl prints JSON")?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The machines of a simulated cluster that are no templates, by their names.
pub(crate) fn machines(lab: &Lab) -> Result<Vec<String>> {
    let state = lab.proxmox(&json!("state"))?;
    let machines = state["vms"].as_object().cloned().unwrap_or_default();
    let made = machines.values().filter(|vm| vm["config"]["template"].is_null());
    Ok(made.map(|vm| text(vm, "/config/name").to_owned()).collect())
}

/// Checks that nothing is left of a machine, neither on Proxmox VE nor in the host cluster.
pub(crate) fn is_gone(lab: &Lab, machine: &str) -> Result<()> {
    let mut left = machines(lab)?;
    left.retain(|name| name == machine);
    let state = lab.proxmox(&json!("state"))?;
    let is_seed = state["volumes"].to_string().contains(&format!("{machine}.iso"));
    left.extend(is_seed.then(|| "its image".to_owned()));
    let names = ["nodes,secrets", "--all-namespaces", "-o", "name"];
    let objects = lab.kubectl(&[&["get"][..], &names].concat())?.success()?;
    left.extend(objects.lines().filter(|name| name.contains(machine)).map(str::to_owned));
    ensure!(left.is_empty(), "of {machine} is left: {left:?}");
    Ok(())
}

pub(crate) fn own_node(lab: &Lab, tenant: &TestTenant) -> Result<Value> {
    let nodes = lab.get(&tenant.path("/nodes"))?;
    let own = nodes["items"].as_array().and_then(|nodes| nodes.first());
    own.cloned().with_context(|| format!("a node of its own: {nodes}"))
}

#[test]
fn a_tenant_runs_on_a_machine_of_its_own_and_leaves_nothing_of_it() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::created_with_nodes(&lab, "own-nodes", 1)?;
    tenant.wait_ready()?;

    let own = own_node(&lab, &tenant)?;
    ensure!(own["state"] == "ready" && own["machine"]["vm"].is_u64(), "{own}");
    let machine = text(&own, "/name").to_owned();
    let attach = tenant.operations("node-attach")?;
    ensure!(attach.len() == 1 && attach[0]["state"] == "succeeded", "one of its own: {attach:?}");

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
    let keys = taints.iter().map(|taint| text(taint, "/key"));
    // Kubernetes' own say how the node is, and go a moment after it is so.
    let others: Vec<&str> = keys.filter(|key| !key.starts_with("node.kubernetes.io/")).collect();
    ensure!(others == ["warren.dev/cluster"], "{node}");
    // A token says for which node it is; those of others may be on their way at the same time.
    let said = "{{range .items}}{{base64decode .data.description}} {{end}}";
    let tokens = ["get", "secrets", "--namespace=kube-system", "-o", "go-template", "--template"];
    let of_tokens = "--field-selector=type=bootstrap.kubernetes.io/token";
    let nodes = lab.kubectl(&[&tokens[..], &[said, of_tokens]].concat())?.success()?;
    ensure!(!nodes.contains(text(&own, "/id")), "its join token is gone: {nodes}");

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

    tenant.removed(180)?;
    is_gone(&lab, &machine)?;
    Ok(())
}

#[test]
fn who_runs_on_a_tenants_nodes_is_stated_and_a_stranger_is_found() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::created_with_nodes(&lab, "exclusive", 1)?;
    tenant.wait_ready()?;
    let machine = text(&own_node(&lab, &tenant)?, "/name").to_owned();
    let says = |is_exclusive: bool| {
        until("the next look", 45, || {
            let statement = lab.get(&tenant.path("/exclusivity"))?;
            let is_so = statement["isExclusive"] == is_exclusive
                && statement["nodes"][0] == machine.as_str();
            Ok(if is_so { Ok(statement) } else { Err(statement.to_string()) })
        })
    };
    let before = says(true)?;
    ensure!(before["observedAt"].is_string() && before["podsElsewhere"] == json!([]), "{before}");
    // Somebody with rights on the host puts a pod there past the scheduler.
    let stranger = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stranger", "namespace": "default"},
        "spec": {
            "nodeName": machine, "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "a", "image": lab.image("busybox"), "command": ["/bin/sleep", "600"]}],
        },
    });
    lab.kubectl_with_input(&["create", "-f", "-"], &stranger.to_string())?.success()?;
    let found = says(false)?;
    ensure!(found["foreignPods"] == json!(["default/stranger"]), "{found}");
    until("the tenant says so too", 10, || {
        let tenant = tenant.describe()?;
        Ok(if tenant["phase"] == "degraded" { Ok(()) } else { Err(tenant.to_string()) })
    })?;
    lab.kubectl(&["delete", "pod", "stranger", "--namespace=default"])?.success()?;
    says(true)?;
    tenant.wait_ready()
}

#[test]
fn a_machine_that_somebody_made_his_own_is_left_alone_and_replaced() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::created_with_nodes(&lab, "recycled", 1)?;
    tenant.wait_ready()?;
    let lost = own_node(&lab, &tenant)?;
    let machine = text(&lost, "/name").to_owned();
    let vm = lost["machine"]["vm"].as_u64().context("it has a number")?;
    lab.proxmox(&json!({ "act": { "act": "recycle_vm", "vm": vm, "name": "payroll" } }))?;
    until("another node takes its place", 180, || {
        let nodes = lab.get(&tenant.path("/nodes"))?;
        let all = nodes["items"].as_array().cloned().unwrap_or_default();
        let is_replaced =
            matches!(&all[..], [one] if one["state"] == "ready" && one["name"] != machine.as_str());
        Ok(if is_replaced { Ok(()) } else { Err(nodes.to_string()) })
    })?;
    tenant.wait_ready()?;
    let id = tenant.shell_session("echo on another machine")?;
    let session = tenant.session_end(&id, 60)?;
    ensure!(session["state"] == "succeeded", "{session}");
    is_gone(&lab, &machine)?;
    ensure!(machines(&lab)?.contains(&"payroll".to_owned()), "that is somebody else's now");
    lab.proxmox(&json!({ "act": { "act": "destroy_vm", "vm": vm } }))?;
    Ok(())
}

/// Asks for something to be done about a node and waits until it is.
pub(crate) fn node_done(lab: &Lab, tenant: &TestTenant, node: &Value, verb: &str) -> Result<()> {
    let path = tenant.path(&format!("/nodes/{}/{verb}", text(node, "/id")));
    let (status, begun) = lab.post(&path, &json!({}))?;
    ensure!(status == 202 && begun["kind"] == format!("node-{verb}"), "{status} {begun}");
    let (status, second) = lab.post(&path, &json!({}))?;
    ensure!(status == 409 && second["code"] == "node-busy", "{status} {second}");
    ensure!(text(&second, "/detail").contains(text(&begun, "/id")), "it is named: {second}");
    let end = tenant.operation_end(&begun, 300)?;
    ensure!(end["state"] == "succeeded", "{verb}: {end}");
    Ok(())
}

/// Whether a machine runs, as Proxmox VE says.
fn runs(lab: &Lab, vm: u64) -> Result<bool> {
    Ok(!lab.proxmox(&json!("state"))?["vms"][vm.to_string()]["run"].is_null())
}

#[test]
fn a_node_is_stopped_stays_its_tenants_and_comes_back() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::created_with_nodes(&lab, "switched", 1)?;
    tenant.wait_ready()?;
    let own = own_node(&lab, &tenant)?;
    let vm = own["machine"]["vm"].as_u64().context("it has a number")?;
    let is_own = |state: &str| -> Result<()> {
        let nodes = lab.get(&tenant.path("/nodes"))?;
        let all = nodes["items"].as_array().cloned().unwrap_or_default();
        let is_so = matches!(&all[..], [one] if one["id"] == own["id"] && one["state"] == state);
        ensure!(is_so, "{state}: {nodes}");
        Ok(())
    };

    node_done(&lab, &tenant, &own, "stop")?;
    is_own("stopped")?;
    ensure!(!runs(&lab, vm)?, "its machine is off");
    // Longer than a machine that is off may be silent before it is given up.
    pause(Duration::from_secs(90));
    is_own("stopped")?;
    ensure!(!runs(&lab, vm)?, "nobody switched it on");
    let made = machines(&lab)?;
    let named = made.iter().filter(|name| *name == text(&own, "/name")).count();
    ensure!(named == 1, "nobody took its place: {made:?}");

    for verb in ["start", "reboot"] {
        node_done(&lab, &tenant, &own, verb)?;
        is_own("ready")?;
        ensure!(runs(&lab, vm)?, "{verb}: its machine runs");
        tenant.wait_ready()?;
        let id = tenant.shell_session("echo here again")?;
        let session = tenant.session_end(&id, 120)?;
        ensure!(session["state"] == "succeeded", "{verb}: {session}");
        let pods = on_host(&lab, &["pods", "-n", &tenant.host_namespace()?])?;
        let mut workloads =
            pods.iter().filter(|pod| text(pod, "/metadata/labels/app") != "vcluster");
        let is_there = |pod: &Value| text(pod, "/spec/nodeName") == text(&own, "/name");
        ensure!(workloads.all(is_there), "{verb}: they are on its own node: {pods:?}");
    }

    node_done(&lab, &tenant, &own, "stop")?;
    tenant.removed(240)?;
    is_gone(&lab, text(&own, "/name"))?;
    Ok(())
}
