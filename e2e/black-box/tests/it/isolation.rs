//! What a tenant's pod can reach and what it cannot, each refusal with a positive twin.

use anyhow::{Context, Result, ensure};
use black_box::{Lab, TestTenant, pods, program_in, stays, until};
use serde_json::json;
use std::process::{Child, Stdio};

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
    let pod = pods::greeter("server", tenant.lab.image("busybox"), |pod| {
        pod["metadata"]["namespace"] = json!("agents");
    });
    tenant.create(&pod)?;
    until("the server has an address", 60, || {
        let pod =
            tenant.kubectl(&["-n", "agents", "get", "pod", "server", "-o", "json"])?.success()?;
        Ok(pods::address(&pod)?)
    })
}

/// What belongs to no tenant.
const OUTSIDE: &[&str] = &["host-api", "metadata", "gate", "node-api", "kubelet", "proxy-health"];

/// The probe as a plain pod of the tenant, which starts at once; its log.
fn probe_by_pod(tenant: &TestTenant, name: &str, targets: &[(&str, String)]) -> Result<String> {
    let words: Vec<String> =
        targets.iter().map(|(name, target)| format!("{name}={target}")).collect();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "agents"},
        "spec": {"restartPolicy": "Never", "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "probe", "image": tenant.lab.image("agent"),
                "command": ["python3", "-c", PROBE], "args": words,
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}});
    tenant.create(&pod)?;
    until("the probe has ended", 90, || {
        let status = tenant.objects(&["-n", "agents", "pod", name])?["status"].clone();
        Ok(if status["phase"] == "Succeeded" { Ok(()) } else { Err(status.to_string()) })
    })?;
    let log = tenant.kubectl(&["-n", "agents", "logs", name])?.success()?;
    tenant.kubectl(&["-n", "agents", "delete", "pod", name])?.success()?;
    Ok(log)
}

/// Lets a tenant's pods out, as only the host's administrator can.
fn open_by_hand(tenant: &TestTenant) -> Result<()> {
    let open = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "opened-by-hand"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}});
    tenant.on_host_with_input(&["create", "-f", "-"], &open.to_string())?.success().map(|_| ())
}

/// What clouds have at 169.254.169.254, on every node; gone when this is dropped.
struct Metadata<'a> {
    lab: &'a Lab,
    servers: Vec<Child>,
}

impl<'a> Metadata<'a> {
    fn new(lab: &'a Lab) -> Result<Self> {
        let mut metadata = Self { lab, servers: Vec::new() };
        for node in &lab.nodes {
            let add = ["address", "replace", "169.254.169.254/32", "dev", "lo"];
            black_box::run(program_in(&node.namespace, "ip").args(add), "")?.success()?;
            let mut server = program_in(&node.namespace, "python3");
            server.args(["-m", "http.server", "80", "--bind", "169.254.169.254"]);
            server.arg("--directory").arg(lab.state.join("storage"));
            server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            metadata.servers.push(server.spawn().context("start a server")?);
        }
        Ok(metadata)
    }
}

impl Drop for Metadata<'_> {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
        for node in &self.lab.nodes {
            let delete = ["address", "delete", "169.254.169.254/32", "dev", "lo"];
            let _ = black_box::run(program_in(&node.namespace, "ip").args(delete), "");
        }
    }
}

#[test]
fn a_pod_reaches_its_own_and_nothing_of_others() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let _metadata = Metadata::new(&lab)?;
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
    for name in ["their-pod", "their-api"].iter().chain(OUTSIDE) {
        expect(&log, name, "closed")?;
        ensure!(!log.contains(&format!("{name}=open")), "{name} is closed everywhere:\n{log}");
    }

    // All of that is there to be reached, by a pod that waits for no gate and is let out by hand.
    open_by_hand(&a)?;
    until("what is outside is there to be reached", 60, || {
        let log = probe_by_pod(&a, "opened", &targets)?;
        let is_open = OUTSIDE.iter().all(|name| log.contains(&format!("{name}=open")));
        Ok(if is_open { Ok(()) } else { Err(log) })
    })?;

    let twin = [
        ("their-pod", format!("{theirs}:8080")),
        ("their-api", format!("{}:443", service_ip(&lab, &b)?)),
    ];
    let log = probe(&b, &twin)?;
    expect(&log, "their-pod", "open")?;
    expect(&log, "their-api", "open")
}

/// Asks the run endpoint what this run is to be given, with tokens and names that are and are not its own.
const TOKENS: &str = "
import http.client, os, ssl, sys
address, theirs = sys.argv[1:]
own = open('/warren/run/token').read().strip()
name = os.environ['WARREN_RUN_ID']
context = ssl.create_default_context(cafile='/warren/run/ca.crt')
def ask(what, token, run):
    connection = http.client.HTTPSConnection(address, context=context, timeout=10)
    headers = {'Authorization': 'Bearer ' + token}
    if run:
        headers['Warren-Run'] = run
    connection.request('GET', '/run/v1/manifest', headers=headers)
    print(what + '=' + str(connection.getresponse().status), flush=True)
ask('own', own, name)
ask('unnamed', own, None)
ask('theirs', theirs, name)
ask('made-up', 'wrr_' + 'A' * 43, name)
ask('shortened', own[:-1], name)
";

#[test]
fn another_runs_token_is_refused_at_the_run_endpoint_from_inside_a_pod() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let (a, b) = TestTenant::shared_pair(&lab)?;
    // The log would mask a token that it recognized.
    let theirs = b.shell_session("sed s/^wrr_/plain-/ /warren/run/token; echo; sleep 600")?;
    let token = until("the other's token is known", 60, || {
        let log = b.session_log(&theirs)?;
        let token = log.lines().find_map(|line| line.strip_prefix("plain-"));
        Ok(token.map(|token| format!("wrr_{token}")).ok_or(log.clone()))
    })?;
    let ask = || -> Result<String> {
        let id = a
            .session(&json!({"image": lab.image("agent"), "command": ["python3", "-c", TOKENS],
            "args": [lab.run_endpoint, token]}))?;
        let session = a.session_end(&id, 60)?;
        let log = a.session_log(&id)?;
        ensure!(session["state"] == "succeeded", "{session} {log}");
        Ok(log)
    };
    let log = ask()?;
    for (name, status) in [
        ("own", "200"),
        ("unnamed", "200"),
        ("theirs", "401"),
        ("made-up", "401"),
        ("shortened", "401"),
    ] {
        expect(&log, name, status)?;
    }
    let session = b.session_get(&theirs)?;
    ensure!(session["state"] == "running", "the other's run is not disturbed: {session}");
    lab.post(&b.path(&format!("/sessions/{theirs}/stop")), &json!({}))?;
    Ok(())
}

#[test]
fn an_agent_waits_until_the_network_policies_bite() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::ready(&lab, "late-walls")?;
    open_by_hand(&tenant)?;
    let gate = lab.run_endpoint.replace(":7443", ":7444");
    ensure!(gate != lab.run_endpoint, "the gate is beside the run endpoint");
    let id = tenant.session(&json!({"image": lab.image("agent"),
        "command": ["python3", "-c", PROBE], "args": [format!("gate={gate}")]}))?;
    until("its pod runs", 60, || {
        let pods = tenant.objects(&["-n", "agents", "pods"])?["items"][0]["status"].clone();
        let is_up = pods["containerStatuses"][0]["state"]["running"].is_object();
        Ok(if is_up { Ok(()) } else { Err(pods.to_string()) })
    })?;
    stays("the agent is not started while the gate is open", 4, || {
        let session = tenant.session_get(&id)?;
        ensure!(session["state"] == "starting", "{session}");
        ensure!(tenant.session_log(&id)?.is_empty(), "nothing was said yet");
        Ok(())
    })?;
    tenant.on_host(&["delete", "networkpolicy", "opened-by-hand"])?.success()?;
    let session = tenant.session_end(&id, 60)?;
    ensure!(session["state"] == "succeeded", "{session}");
    expect(&tenant.session_log(&id)?, "gate", "closed")
}

#[test]
fn a_credential_of_one_tenant_is_refused_by_another_and_by_the_host() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let (a, b) = TestTenant::shared_pair(&lab)?;
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
    let (a, b) = TestTenant::shared_pair(&lab)?;
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
    let (a, b) = TestTenant::shared_pair(&lab)?;
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
    let encoded =
        b.kubectl(&["-n", "agents", "get", "secret", "canary", "-o", "jsonpath={.data.v}"])?;
    let encoded = encoded.success()?;
    let listed = b.kubectl(&["get", "secrets", "-A", "-o", "json"])?.success()?;
    ensure!(encoded.len() > 20 && listed.contains(&encoded), "the twin: B's own list has it");
    let used = b.session(
        &json!({"image": lab.image("busybox"), "command": ["/bin/sh", "-c", "test -n \"$CANARY\""],
        "env": {"CANARY": canary}}),
    )?;
    ensure!(b.session_end(&used, 60)?["state"] == "succeeded", "the twin: B's own session sees it");
    let look = "env; ls -R /warren; env > $WARREN_OUTPUT_DIR/env.txt";
    let id = a.shell_session(look)?;
    ensure!(a.session_end(&id, 60)?["state"] == "succeeded", "A looks around");
    let mut seen =
        a.session_log(&id)? + &a.session_get(&id)?.to_string() + &a.describe()?.to_string();
    seen +=
        &a.kubectl(&["get", "secrets,configmaps,events,pods", "-A", "-o", "json"])?.success()?;
    let artifact = a.path(&format!("/sessions/{id}/artifacts/env.txt"));
    let artifact = lab.request(reqwest::Method::GET, &artifact)?.send()?.text()?;
    ensure!(artifact.contains("WARREN_RUN_ID"), "the twin: what A can see is in the artifact");
    seen += &artifact;
    let mut curl = program_in(&lab.control_namespace, "curl");
    curl.args(["-sf", "http://127.0.0.1:7081/metrics"]);
    let metrics = black_box::run(&mut curl, "")?.success()?;
    ensure!(metrics.contains("warren_"), "the metrics are there: {metrics}");
    seen += &metrics;
    for form in [&canary, &encoded] {
        ensure!(!seen.contains(form), "A sees nothing of it");
    }
    let log = std::fs::read_to_string(lab.state.join("log/warren.log"))
        .context("read Warren's own log")?;
    ensure!(!log.contains(&canary), "Warren's log does not have it");
    Ok(())
}
