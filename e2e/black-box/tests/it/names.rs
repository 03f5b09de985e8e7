//! Names inside a tenant's cluster.

use anyhow::{Result, ensure};
use black_box::{Lab, TestTenant, until};
use serde_json::json;

/// Says how it calls itself, and hello to everybody.
const SERVER: &str = "
import socket
print(socket.getfqdn(), flush=True)
server = socket.create_server(('', 8080))
while True:
    connection, _ = server.accept()
    connection.sendall(b'hello')
    connection.close()
";

const CLIENT: &str = "
import socket, sys
for name in sys.argv[1:]:
    print(name, socket.create_connection((name, 8080), timeout=10).recv(5).decode())
";

#[test]
fn a_pod_of_a_stateful_set_is_reached_by_its_stable_name_and_knows_it() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let labels = json!({"app": "web"});
    tenant.create(&json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"clusterIP": "None", "selector": labels, "ports": [{"port": 8080}]}}))?;
    tenant.create(&json!({"apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"serviceName": "web", "replicas": 1, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {
                "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 1,
                "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{"name": "web", "image": lab.image("agent"), "command": ["python3", "-c", SERVER],
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}}}}))?;
    until("the server listens", 60, || {
        let pod = tenant.kubectl(&["get", "pod", "web-0", "-o", "json"])?.text();
        let log = tenant.kubectl(&["logs", "web-0"])?;
        Ok(if log.code == 0 && !log.stdout.is_empty() { Ok(()) } else { Err(pod) })
    })?;
    let full = "web-0.web.default.svc.cluster.local";
    let own = tenant.kubectl(&["logs", "web-0"])?.success()?;
    ensure!(own == format!("{full}\n"), "the pod calls itself by its stable name: {own}");
    let id = tenant
        .session(&json!({"image": lab.image("agent"), "command": ["python3", "-c", CLIENT],
        "args": [full, "web-0.web.default", "web.default"]}))?;
    let session = tenant.session_end(&id, 60)?;
    let log = tenant.session_log(&id)?;
    ensure!(
        session["state"] == "succeeded" && log.matches(" hello").count() == 3,
        "{session} {log}"
    );
    Ok(())
}
