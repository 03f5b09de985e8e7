//! Whether network policies and user namespaces really hold here and names resolve, by starting a pod and
//! looking.

use super::{CHECK_TIMEOUT, Check, TRY_TIMEOUT};
use crate::Context;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::{
    Api, Client,
    api::{DeleteParams, LogParams, PostParams},
    runtime::wait::{Condition, await_condition},
};
use planning::Cidr;
use serde_json::json;
use std::time::Duration;

const POLICY: &str = "policy-enforcement";
const USERS: &str = "user-namespaces";
const NAMES: &str = "name-lookup";
/// Looked up by the pod; `resolv.conf` of pods adds the cluster's domain.
const NAME: &str = "kubernetes.default";
const SILENCE: &str = "the pod said nothing";

/// Starts a pod that may reach the run endpoint and kube-dns only, lets it try Warren's gate and look a name
/// up, and reads its id map.
pub(super) async fn check(cx: &Context) -> Vec<Check> {
    let digits = cx.ids.uuid().as_simple().to_string();
    let namespace = format!("warren-doctor-{}", &digits[20..]);
    let client = cx.host.client();
    let made = tokio::time::timeout(CHECK_TIMEOUT, make_namespace(&client, &namespace)).await;
    if let Ok(Err(error @ kube::Error::Api(_))) = &made {
        return vec![refused(error)];
    }
    let result = match made {
        Ok(Ok(())) => tokio::time::timeout(TRY_TIMEOUT, try_out(cx, &client, &namespace)).await,
        Ok(Err(error)) => Ok(Err(error)),
        Err(late) => Err(late),
    };
    let namespaces: Api<Namespace> = Api::all(client);
    // What was made is removed whatever came out; a namespace that may stay is named.
    let params = DeleteParams::default();
    let removal = namespaces.delete(&namespace, &params);
    let removal = tokio::time::timeout(CHECK_TIMEOUT / 2, removal).await;
    let mut checks = match result {
        Ok(Ok(checks)) => checks,
        Ok(Err(error)) => vec![refused(&error)],
        Err(_) => vec![Check::bad(
            POLICY,
            format!("the pod of the try-out did not end within {} s", TRY_TIMEOUT.as_secs()),
            "see that the host can start pods with the image images.runner",
        )],
    };
    let stays = match removal {
        Ok(Ok(_)) => None,
        // What was never made needs no removal.
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("the host's API server does not answer".to_owned()),
    };
    if let Some(why) = stays {
        checks.push(Check::bad(
            POLICY,
            format!("namespace {namespace} may be left: {why}"),
            format!("kubectl delete namespace {namespace}"),
        ));
    }
    checks
}

fn refused(error: &kube::Error) -> Check {
    Check::bad(
        POLICY,
        format!("the try-out was refused: {error}"),
        "see what the other checks say, above all rights",
    )
}

async fn make_namespace(client: &Client, name: &str) -> Result<(), kube::Error> {
    let object = serde_json::from_value(json!({"metadata": {"name": name, "labels": {
        "app.kubernetes.io/managed-by": "warren-doctor",
        "pod-security.kubernetes.io/enforce": "restricted"}}}))
    .map_err(kube::Error::SerdeError)?;
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &object).await.map(|_| ())
}

async fn try_out(
    cx: &Context,
    client: &Client,
    namespace: &str,
) -> Result<Vec<Check>, kube::Error> {
    let post = PostParams::default();
    let settings = cx.settings.now();
    let endpoint = settings.run_endpoint;
    let policy: NetworkPolicy =
        serde_json::from_value(json!({"metadata": {"name": "run-endpoint-and-dns"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": [
            {"to": [{"ipBlock": {"cidr": Cidr::single(endpoint.ip()).to_string()}}],
                "ports": [{"protocol": "TCP", "port": endpoint.port()}]},
            {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
                "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}]}]}}))
        .map_err(kube::Error::SerdeError)?;
    Api::<NetworkPolicy>::namespaced(client.clone(), namespace).create(&post, &policy).await?;
    let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "try"}, "spec": {
        "restartPolicy": "Never", "automountServiceAccountToken": false, "hostUsers": false,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "try", "image": settings.images.runner,
            "command": ["/warren-runner", "try-out", endpoint.to_string(), settings.run_gate.to_string(), NAME],
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}}))
    .map_err(kube::Error::SerdeError)?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    create_when_account_is_there(&pods, &pod).await?;
    let ended = await_condition(pods.clone(), "try", HasEnded).await;
    if let Err(error) = ended {
        return Ok(vec![Check::bad(
            POLICY,
            format!("the try-out was not followed: {error}"),
            "try again",
        )]);
    }
    let log = pods.logs("try", &LogParams::default()).await?;
    Ok(judge(&log))
}

/// A new namespace gets its service account a moment later; until then pods are refused with 403.
async fn create_when_account_is_there(pods: &Api<Pod>, pod: &Pod) -> Result<(), kube::Error> {
    loop {
        match pods.create(&PostParams::default(), pod).await {
            Err(kube::Error::Api(status))
                if status.code == 403 && status.message.contains("serviceaccount") =>
            {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            other => return other.map(|_| ()),
        }
    }
}

/// Reads the lines that `warren-runner try-out` prints.
fn judge(log: &str) -> Vec<Check> {
    let said = |what: &str| log.lines().find_map(|line| line.strip_prefix(what));
    let gate = said("gate=").unwrap_or(SILENCE);
    let policy = if gate == "refused" {
        Check::ok(
            POLICY,
            "a pod reaches the run endpoint that it may reach, and not the gate that it may not",
        )
    } else if gate.starts_with("open") {
        Check::bad(
            POLICY,
            "a pod reached Warren's gate, which its policy does not allow",
            "the host enforces no NetworkPolicy; on K3s look for ipset in the agent's log",
        )
    } else {
        let way_out =
            "see that run_endpoint.advertise can be reached from pods of the host cluster";
        Check::bad(POLICY, format!("a pod did not reach the run endpoint: {gate}"), way_out)
    };
    let users = match said("uid_map=") {
        Some(map) if map.split_whitespace().nth(1).is_some_and(|outside| outside != "0") => {
            Check::ok(USERS, format!("ids inside a pod are others outside ({map})"))
        }
        _ => Check::bad(
            USERS,
            "a pod that asked for a user namespace runs with the node's own ids",
            "needs runc 1.2 or newer, containerd 2 and a file system with idmapped mounts on every node",
        ),
    };
    let name = said("name=").unwrap_or(SILENCE);
    let names = match name.strip_prefix("found ") {
        Some(address) => Check::ok(NAMES, format!("a pod finds {NAME} at {address}")),
        None => Check::bad(
            NAMES,
            format!("a pod does not find {NAME}: {name}"),
            "look at the CoreDNS pods in kube-system and at resolv.conf of pods",
        ),
    };
    vec![policy, users, names]
}

#[derive(Debug, Clone, Copy)]
struct HasEnded;

impl Condition<Pod> for HasEnded {
    fn matches_object(&self, pod: Option<&Pod>) -> bool {
        let phase =
            pod.and_then(|pod| pod.status.as_ref()).and_then(|status| status.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_gate_and_a_shared_id_space_are_findings() {
        let good = judge("gate=refused\nuid_map=0 2618228736 65536\nname=found 10.43.0.1\n");
        assert!(good.iter().all(|check| check.is_ok), "{good:?}");
        assert!(!judge("gate=unknown refused\nuid_map=0 1 1\n")[0].is_ok);
        let bad =
            judge("gate=open still\nuid_map=0 0 4294967295\nname=unknown it has no address\n");
        assert!(bad.iter().all(|check| !check.is_ok), "{bad:?}");
        assert!(judge("").iter().all(|check| !check.is_ok));
    }
}
