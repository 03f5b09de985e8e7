//! What a tenant may not run. Each is refused with a reason that the tenant can read.

use anyhow::{Result, ensure};
use black_box::{Lab, TestTenant, pods::pod, until};
use serde_json::{Value, json};

/// Creates the pod and returns what the tenant is told: the API server's refusal, or a warning event.
fn refusal(tenant: &TestTenant, pod: &Value) -> Result<String> {
    let output = tenant.kubectl_with_input(&["create", "-f", "-"], &pod.to_string())?;
    if output.code != 0 {
        return Ok(output.stderr);
    }
    let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    until(&format!("{name} is refused"), 20, || {
        let selector = format!("involvedObject.name={name}");
        let events = tenant
            .kubectl(&["get", "events", "--field-selector", &selector, "-o", "json"])?
            .success()?;
        let events: Value = serde_json::from_str(&events)?;
        let told = events["items"].as_array().and_then(|all| {
            all.iter()
                .find(|e| e["type"] == "Warning")
                .and_then(|e| e["message"].as_str().map(str::to_owned))
        });
        let state =
            tenant.kubectl(&["get", "pod", &name, "-o", "jsonpath={.status.phase}"])?.stdout;
        ensure!(
            state != "Running" && state != "Succeeded",
            "{name} runs: it should have been refused"
        );
        Ok(told.ok_or(state))
    })
}

pub(crate) type Breach = (&'static str, &'static str, fn(&mut Value));

pub(crate) const BREACHES: [Breach; 10] = [
    ("privileged", "privileged", |pod| {
        pod["spec"]["containers"][0]["securityContext"]["privileged"] = json!(true);
    }),
    ("host-path", "hostPath", |pod| {
        pod["spec"]["volumes"] = json!([{"name": "host", "hostPath": {"path": "/"}}]);
        pod["spec"]["containers"][0]["volumeMounts"] =
            json!([{"name": "host", "mountPath": "/host"}]);
    }),
    ("host-network", "host", |pod| {
        pod["spec"]["hostNetwork"] = json!(true);
    }),
    ("host-pid", "host", |pod| {
        pod["spec"]["hostPID"] = json!(true);
    }),
    ("host-ipc", "host", |pod| {
        pod["spec"]["hostIPC"] = json!(true);
    }),
    ("capability", "capabilit", |pod| {
        pod["spec"]["containers"][0]["securityContext"]["capabilities"]["add"] =
            json!(["SYS_ADMIN"]);
    }),
    ("root", "runAsNonRoot", |pod| {
        pod["spec"]["securityContext"] =
            json!({"runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}});
        pod["spec"]["hostUsers"] = json!(true);
    }),
    ("node-name", "nodeName", |pod| {
        pod["spec"]["nodeName"] = json!("node1");
    }),
    ("toleration", "toleration", |pod| {
        pod["spec"]["tolerations"] =
            json!([{"key": "warren.dev/tenant", "operator": "Exists", "effect": "NoSchedule"}]);
    }),
    ("host-port", "hostPort", |pod| {
        pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 80}]);
    }),
];

#[test]
fn a_pod_that_reaches_for_the_host_is_refused_with_a_reason() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    for (name, word, change) in BREACHES {
        let told = refusal(&tenant, &pod(name, lab.image("busybox"), change))?;
        ensure!(
            told.to_lowercase().contains(&word.to_lowercase()),
            "{name}: the reason names {word}: {told}"
        );
    }
    let greedy = pod("greedy", lab.image("busybox"), |pod| {
        pod["spec"]["containers"][0]["resources"] =
            json!({"limits": {"cpu": "9", "memory": "64Mi"}});
    });
    let told = refusal(&tenant, &greedy)?;
    ensure!(
        told.contains("exceeded quota") && told.contains("limits.cpu"),
        "the plan holds: {told}"
    );
    tenant.create(&pod("plain", lab.image("busybox"), |_| ()))?;
    until("the twin that reaches for nothing runs", 60, || {
        let phase = tenant.objects(&["pod", "plain"])?["status"]["phase"].clone();
        Ok(if phase == "Succeeded" { Ok(()) } else { Err(phase.to_string()) })
    })
}

#[test]
fn a_service_that_opens_the_node_is_refused_with_a_reason() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let service = |name: &str, spec: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": spec});
    let ports = json!([{"port": 80}]);
    let bad = [
        ("node-port", "NodePort", json!({"type": "NodePort", "ports": ports})),
        ("external-ip", "externalIP", json!({"externalIPs": ["25.77.0.11"], "ports": ports})),
        ("balancer", "LoadBalancer", json!({"type": "LoadBalancer", "ports": ports})),
    ];
    for (name, word, spec) in bad {
        let output =
            tenant.kubectl_with_input(&["create", "-f", "-"], &service(name, spec).to_string())?;
        ensure!(output.code != 0 && output.stderr.contains(word), "{name}: {}", output.text());
    }
    let good = service("plain", json!({"ports": ports}));
    tenant.kubectl_with_input(&["create", "-f", "-"], &good.to_string())?.success()?;
    Ok(())
}

#[test]
fn a_plain_pod_runs_in_a_user_namespace_of_its_own() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let run = |name: &str, change: fn(&mut Value)| -> Result<String> {
        tenant
            .kubectl_with_input(
                &["create", "-f", "-"],
                &pod(name, lab.image("busybox"), change).to_string(),
            )?
            .success()?;
        until(&format!("{name} has ended"), 60, || {
            let phase =
                tenant.kubectl(&["get", "pod", name, "-o", "jsonpath={.status.phase}"])?.stdout;
            Ok(if phase == "Succeeded" { Ok(()) } else { Err(phase) })
        })?;
        tenant.kubectl(&["logs", name])?.success()
    };
    let plain = run("mapped", |_| ())?;
    let map: Vec<&str> = plain.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    ensure!(
        map.len() == 3 && map[0] == "0" && map[1] != "0",
        "ids inside are others outside: {plain}"
    );
    let root = run("mapped-root", |pod| {
        pod["spec"]["securityContext"] =
            json!({"runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}});
    })?;
    ensure!(
        root.starts_with("0\n"),
        "an image that runs as root works, as root of its own namespace only: {root}"
    );
    Ok(())
}

#[test]
fn a_service_account_token_is_in_a_secret_and_not_in_an_annotation() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let with_token = pod("with-token", lab.image("busybox"), |pod| {
        pod["spec"]["automountServiceAccountToken"] = json!(true);
        pod["spec"]["containers"][0]["command"] = json!(["/bin/sh", "-c", "sleep 30"]);
    });
    tenant.kubectl_with_input(&["create", "-f", "-"], &with_token.to_string())?.success()?;
    let namespace = tenant.host_namespace()?;
    until("the pod is on the host", 30, || {
        let pods = lab.kubectl(&["-n", &namespace, "get", "pods", "-o", "json"])?.success()?;
        ensure!(!pods.contains("vcluster.loft.sh/token-"), "no token in an annotation");
        Ok(if pods.contains("with-token") { Ok(()) } else { Err("not yet".to_owned()) })
    })?;
    until("the pod has its token", 60, || {
        let token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
        let output = tenant.kubectl(&["exec", "with-token", "--", "wc", "-c", token])?;
        Ok(if output.code == 0 { Ok(()) } else { Err(output.text()) })
    })?;
    let pods = tenant.host_objects(&["pods"])?.to_string();
    ensure!(!pods.contains("vcluster.loft.sh/token-"), "no token in an annotation");
    let secrets = tenant.on_host(&["get", "secrets", "-o", "name"])?.success()?;
    ensure!(secrets.contains("with-token"), "it is in a Secret: {secrets}");
    Ok(())
}
