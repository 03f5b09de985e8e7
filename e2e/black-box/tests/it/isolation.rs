//! What a tenant's pod can reach and what it cannot, each refusal with a positive twin.

use anyhow::{Context, Result, ensure};
use black_box::{Lab, TestTenant, until};
use serde_json::{Value, json};

/// A program that prints `NAME=open` or `NAME=closed` for each target, and whether names resolve.
const PROBE: &str = "
import socket, sys
for word in sys.argv[1:]:
    name, target = word.split('=')
    host, port = target.rsplit(':', 1)
    try:
        socket.create_connection((host, int(port)), timeout=3).close()
        print(name + '=open')
    except OSError:
        print(name + '=closed')
try:
    socket.getaddrinfo('kubernetes.default.svc.cluster.local', 443)
    print('dns=open')
except OSError:
    print('dns=closed')
";

/// Runs the probe as a session and returns its log.
fn probe(tenant: &TestTenant, targets: &[(&str, String)]) -> Result<String> {
    let words: Vec<String> =
        targets.iter().map(|(name, target)| format!("{name}={target}")).collect();
    let id = tenant.session(&json!({"image": tenant.lab.image("agent"),
        "command": ["python3", "-c", PROBE], "args": words}))?;
    let session = tenant.session_end(&id, 120)?;
    ensure!(session["state"] == "succeeded", "{session}");
    tenant.session_log(&id)
}

fn expect(log: &str, name: &str, state: &str) -> Result<()> {
    ensure!(
        log.lines().any(|line| line == format!("{name}={state}")),
        "{name} should be {state}:\n{log}"
    );
    Ok(())
}

fn service_ip(lab: &Lab, tenant: &TestTenant) -> Result<String> {
    let (namespace, cluster) = (tenant.host_namespace()?, tenant.cluster()?);
    lab.kubectl(&[
        "-n",
        &namespace,
        "get",
        "service",
        &cluster,
        "-o",
        "jsonpath={.spec.clusterIP}",
    ])?
    .success()
}

/// A server in a tenant that answers on port 8080; returns its address.
fn server(tenant: &TestTenant) -> Result<String> {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "server", "namespace": "agents"},
        "spec": {"automountServiceAccountToken": false, "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "server", "image": tenant.lab.image("busybox"),
                "command": ["/bin/sh", "-c", "while :; do echo hello | nc -l -p 8080; done"],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}});
    tenant.kubectl_with_input(&["create", "-f", "-"], &pod.to_string())?.success()?;
    until("the server has an address", 60, || {
        let pod =
            tenant.kubectl(&["-n", "agents", "get", "pod", "server", "-o", "json"])?.success()?;
        let pod: Value = serde_json::from_str(&pod)?;
        let is_running = pod["status"]["phase"] == "Running";
        Ok(match pod["status"]["podIP"].as_str() {
            Some(address) if is_running => Ok(address.to_owned()),
            _ => Err(pod["status"].to_string()),
        })
    })
}

#[test]
fn a_pod_reaches_its_own_and_nothing_of_others() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let (a, b) = (TestTenant::ready(&lab, "walls-a")?, TestTenant::ready(&lab, "walls-b")?);
    let (own, theirs) = (server(&a)?, server(&b)?);
    let (gate_host, _) = lab.run_endpoint.split_once(':').context("an address with a port")?;
    let mut targets = vec![
        ("own-pod", format!("{own}:8080")),
        ("own-api", format!("{}:443", service_ip(&lab, &a)?)),
        ("run-endpoint", lab.run_endpoint.clone()),
        ("their-pod", format!("{theirs}:8080")),
        ("their-api", format!("{}:443", service_ip(&lab, &b)?)),
        ("host-api", "10.79.0.1:443".to_owned()),
        ("metadata", "169.254.169.254:80".to_owned()),
        ("gate", format!("{gate_host}:7444")),
    ];
    for node in &lab.nodes {
        targets.push(("node-api", format!("{}:6443", node.address)));
        targets.push(("kubelet", format!("{}:10250", node.address)));
        targets.push(("proxy-health", format!("{}:10256", node.address)));
    }
    let log = probe(&a, &targets)?;
    for name in ["own-pod", "own-api", "run-endpoint", "dns"] {
        expect(&log, name, "open")?;
    }
    for name in [
        "their-pod",
        "their-api",
        "host-api",
        "metadata",
        "gate",
        "node-api",
        "kubelet",
        "proxy-health",
    ] {
        expect(&log, name, "closed")?;
        ensure!(!log.contains(&format!("{name}=open")), "{name} is closed everywhere:\n{log}");
    }

    let twin = [
        ("their-pod", format!("{theirs}:8080")),
        ("their-api", format!("{}:443", service_ip(&lab, &b)?)),
    ];
    let log = probe(&b, &twin)?;
    expect(&log, "their-pod", "open")?;
    expect(&log, "their-api", "open")
}

#[test]
fn a_credential_of_one_tenant_is_refused_by_another_and_by_the_host() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let (a, b) = (TestTenant::ready(&lab, "keys-a")?, TestTenant::ready(&lab, "keys-b")?);
    a.kubectl(&["get", "namespaces"])?.success()?;
    for server in [
        format!("https://{}", service_ip(&lab, &b)?),
        format!("https://{}:6443", lab.nodes[0].address),
    ] {
        let output =
            a.kubectl(&["--server", &server, "--insecure-skip-tls-verify", "get", "namespaces"])?;
        ensure!(output.code != 0, "{server} refuses: {}", output.text());
        let text = output.text().to_lowercase();
        let is_refusal = ["unauthorized", "forbidden", "logged in", "credentials", "certificate"]
            .iter()
            .any(|word| text.contains(word));
        ensure!(is_refusal, "{server} refuses the credential, not the connection: {text}");
    }
    Ok(())
}

#[test]
fn a_token_of_one_tenant_does_not_even_learn_that_another_exists() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let (a, b) = (TestTenant::created(&lab, "api-a")?, TestTenant::created(&lab, "api-b")?);
    let (status, token) =
        lab.post(&a.path("/tokens"), &json!({"name": "test", "role": "owner"}))?;
    ensure!(status == 201, "{status}");
    let secret = token["token"]
        .as_str()
        .or(token["secret"].as_str())
        .context("the token is shown once")?
        .to_owned();
    let get =
        |path: String| lab.request_as(&secret, reqwest::Method::GET, &path)?.send().context("send");
    ensure!(get(a.path(""))?.status().as_u16() == 200, "its own tenant is shown");
    ensure!(get(b.path(""))?.status().as_u16() == 404, "another's is not found");
    ensure!(get(b.path("/sessions"))?.status().as_u16() == 404, "nor are its sessions");
    ensure!(get(b.path("/kubeconfig"))?.status().as_u16() == 404, "nor its kubeconfig");
    let list = get("/api/v1/tenants".to_owned())?.text()?;
    ensure!(list.contains(&a.id) && !list.contains(&b.id), "{list}");
    Ok(())
}

#[test]
fn a_secret_of_one_tenant_is_nowhere_in_what_another_sees() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let (a, b) = (TestTenant::ready(&lab, "canary-a")?, TestTenant::ready(&lab, "canary-b")?);
    let canary = format!("canary-{}-{}", b.id, std::process::id());
    b.kubectl(&[
        "-n",
        "agents",
        "create",
        "secret",
        "generic",
        "canary",
        &format!("--from-literal=v={canary}"),
    ])?
    .success()?;
    let used = b.session(
        &json!({"image": lab.image("busybox"), "command": ["/bin/sh", "-c", "test -n \"$CANARY\""],
        "env": {"CANARY": canary}}),
    )?;
    ensure!(b.session_end(&used, 60)?["state"] == "succeeded", "the twin: B's own session sees it");
    let id = a.shell_session("env; ls -R /warren")?;
    a.session_end(&id, 60)?;
    let mut seen =
        a.session_log(&id)? + &a.session_get(&id)?.to_string() + &a.describe()?.to_string();
    seen +=
        &a.kubectl(&["get", "secrets,configmaps,events,pods", "-A", "-o", "json"])?.success()?;
    ensure!(!seen.contains(&canary), "A sees nothing of it");
    let log = std::fs::read_to_string(lab.state.join("log/warren.log"))
        .context("read Warren's own log")?;
    ensure!(!log.contains(&canary), "Warren's log does not have it");
    Ok(())
}
