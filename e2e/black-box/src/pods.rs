//! Pods that tests make by hand, as the restricted level of Pod Security wants them.

use serde_json::{Value, json};

/// A pod of the restricted level with one container, and what `change` makes of it.
#[must_use]
pub fn pod(name: &str, image: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
        "spec": {"automountServiceAccountToken": false, "terminationGracePeriodSeconds": 1, "restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "main", "image": image, "command": ["/bin/sh", "-c", "id -u; cat /proc/self/uid_map"],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}});
    change(&mut pod);
    pod
}

/// One that says hello to everybody on port 8080.
#[must_use]
pub fn greeter(name: &str, image: &str, change: impl FnOnce(&mut Value)) -> Value {
    pod(name, image, |pod| {
        let serve = "while :; do echo hello | nc -l -p 8080; done";
        pod["spec"]["containers"][0]["command"] = json!(["/bin/sh", "-c", serve]);
        change(pod);
    })
}

/// The address of a pod that runs; what it does instead if it does not.
///
/// # Errors
/// If it is no JSON.
pub fn address(pod: &str) -> serde_json::Result<Result<String, String>> {
    let status = &serde_json::from_str::<Value>(pod)?["status"];
    let address = status["podIP"].as_str().filter(|_| status["phase"] == "Running");
    Ok(address.map(str::to_owned).ok_or_else(|| status.to_string()))
}
