//! What the host refuses even to a tenant's control plane: a hostile syncer gets no further than the tenant.

use crate::refusal::BREACHES;
use anyhow::{Result, ensure};
use black_box::{Lab, Output, TestTenant, pods::pod};
use serde_json::{Value, json};

/// `kubectl` on the host with the rights of a tenant's control plane.
struct Syncer<'a> {
    tenant: &'a TestTenant,
    user: String,
    cluster: String,
}

impl<'a> Syncer<'a> {
    fn of(tenant: &'a TestTenant) -> Result<Self> {
        let cluster = tenant.cluster()?;
        let user = format!("--as=system:serviceaccount:{}:vc-{cluster}", tenant.host_namespace()?);
        Ok(Self { tenant, user, cluster })
    }

    fn kubectl(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let mut all = vec![self.user.as_str(), "--as-group=system:authenticated"];
        all.extend(arguments);
        self.tenant.on_host_with_input(&all, input)
    }

    /// Asks for an object without having it made.
    fn try_out(&self, object: &Value) -> Result<Output> {
        let arguments = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
        self.kubectl(&arguments, &object.to_string())
    }

    /// A pod as the syncer makes it.
    fn pod(&self, name: &str, change: impl FnOnce(&mut Value)) -> Value {
        let image = self.tenant.lab.image("busybox");
        pod(name, image, |pod| {
            pod["metadata"] = json!({"name": name,
                "labels": {"vcluster.loft.sh/managed-by": self.cluster}});
            pod["spec"]["serviceAccountName"] = json!(format!("vc-workload-{}", self.cluster));
            change(pod);
        })
    }
}

fn is_refused(what: &str, output: &Output, word: &str) -> Result<()> {
    let text = output.text();
    ensure!(output.code != 0, "{what} is refused: {text}");
    ensure!(text.to_lowercase().contains(&word.to_lowercase()), "{what}: it says {word}: {text}");
    Ok(())
}

#[test]
fn the_host_refuses_a_hostile_syncer_what_it_refuses_a_tenant() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let syncer = Syncer::of(&tenant)?;
    let accepted = syncer.try_out(&syncer.pod("twin", |_| ()))?.success()?;
    let accepted: Value = serde_json::from_str(&accepted)?;
    ensure!(accepted["spec"]["hostUsers"] == false, "a user namespace is forced: {accepted}");
    let shared = syncer.pod("shared", |pod| pod["spec"]["hostUsers"] = json!(true));
    let forced: Value = serde_json::from_str(&syncer.try_out(&shared)?.success()?)?;
    ensure!(forced["spec"]["hostUsers"] == false, "whatever was asked for: {forced}");

    // Root in a user namespace of its own is allowed, and nobody gets another one.
    for (name, word, change) in BREACHES.into_iter().filter(|(name, ..)| *name != "root") {
        is_refused(name, &syncer.try_out(&syncer.pod(name, change))?, word)?;
    }
    let own = syncer.cluster.as_str();
    let account = |name: &str| json!(format!("{name}{own}"));
    let token =
        json!([{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]);
    let pods = [
        (
            "another account",
            "no other",
            syncer.pod("a", |pod| {
                pod["spec"]["serviceAccountName"] = json!("default");
            }),
        ),
        (
            "the control plane's account",
            "stateful set controller",
            syncer.pod("b", |pod| {
                pod["spec"]["serviceAccountName"] = account("vc-");
            }),
        ),
        (
            "the control plane's label",
            "no label release",
            syncer.pod("c", |pod| {
                pod["metadata"]["labels"]["release"] = account("");
            }),
        ),
        ("a token of the host", "no token", syncer.pod("d", |pod| pod["spec"]["volumes"] = token)),
    ];
    for (what, word, pod) in pods {
        is_refused(what, &syncer.try_out(&pod)?, word)?;
    }
    Ok(())
}

#[test]
fn the_host_refuses_a_hostile_syncer_services_accounts_and_secrets_that_reach_further() -> Result<()>
{
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let syncer = Syncer::of(&tenant)?;
    let own = syncer.cluster.as_str();
    let object = |kind: &str, rest: Value| {
        let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}});
        for (name, value) in rest.as_object().into_iter().flatten() {
            object[name] = value.clone();
        }
        object
    };
    let ports = json!([{"port": 80}]);
    let others = [
        ("NodePort", object("Service", json!({"spec": {"type": "NodePort", "ports": ports}}))),
        (
            "externalIPs",
            object("Service", json!({"spec": {"externalIPs": ["25.77.0.11"], "ports": ports}})),
        ),
        (
            "issue tokens",
            object(
                "Secret",
                json!({"type": "kubernetes.io/service-account-token",
            "metadata": {"name": "x", "annotations": {"kubernetes.io/service-account.name": format!("vc-{own}")}}}),
            ),
        ),
        ("forbidden", object("ServiceAccount", json!({}))),
    ];
    for (word, object) in others {
        is_refused(&object.to_string(), &syncer.try_out(&object)?, word)?;
    }
    syncer.try_out(&object("Service", json!({"spec": {"ports": ports}})))?.success()?;
    Ok(())
}

#[test]
fn a_control_plane_changes_neither_itself_nor_its_limits_nor_looks_beyond_its_namespace()
-> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::shared(&lab)?;
    let syncer = Syncer::of(&tenant)?;
    let own = syncer.cluster.as_str();
    let patch = r#"{"spec":{"template":{"spec":{"hostNetwork":true}}}}"#;
    let template = r#"{"spec":{"template":{"metadata":{"annotations":{"a":"b"}}}}}"#;
    let refusals: [(&str, &[&str]); 8] = [
        (
            "nothing else about itself",
            &["patch", "statefulset", own, "--dry-run=server", "-p", patch],
        ),
        ("only Warren deletes it", &["delete", "service", own, "--dry-run=server"]),
        ("forbidden", &["delete", "resourcequota", "--all", "--dry-run=server"]),
        ("forbidden", &["delete", "limitrange", "--all", "--dry-run=server"]),
        ("forbidden", &["delete", "networkpolicy", "--all", "--dry-run=server"]),
        ("forbidden", &["get", "nodes"]),
        ("forbidden", &["get", "secrets", "-A"]),
        ("forbidden", &["get", "namespaces"]),
    ];
    for (word, arguments) in refusals {
        is_refused(&arguments.join(" "), &syncer.kubectl(arguments, "")?, word)?;
    }
    let twin = ["patch", "statefulset", own, "--dry-run=server", "-p", template];
    syncer.kubectl(&twin, "")?.success()?;
    syncer.kubectl(&["get", "secrets"], "")?.success()?;
    Ok(())
}
