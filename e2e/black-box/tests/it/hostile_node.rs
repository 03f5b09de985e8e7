//! A machine of a tenant that was broken out to: its real certificate, and what the host cluster lets it do with that.

use crate::dedicated::{own_node, text};
use anyhow::{Context as _, Result, ensure};
use black_box::{Lab, Output, TestTenant, kubectl_in, run};
use serde_json::{Value, json};
use std::{fs, process::Command};

/// Whoever holds a machine's certificate.
struct Hostile<'a> {
    lab: &'a Lab,
    folder: tempfile::TempDir,
}

impl<'a> Hostile<'a> {
    /// Copies what a kubelet identifies itself with: it is good for longer than its machine.
    fn of(lab: &'a Lab, vm: u64) -> Result<Self> {
        let keys = lab.state.join(format!("proxmox/disks/vm-{vm}/kubelet-keys"));
        let folder = tempfile::tempdir()?;
        let pem = fs::read(keys.join("kubelet-client-current.pem")).context("its certificate")?;
        fs::write(folder.path().join("client.pem"), pem)?;
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "host",
            "clusters": [{"name": "host", "cluster": {
                "server": "https://25.77.0.11:6443", "certificate-authority": lab.state.join("pki/ca.crt"),
            }}],
            "users": [{"name": "node", "user": {
                "client-certificate": folder.path().join("client.pem"), "client-key": folder.path().join("client.pem"),
            }}],
            "contexts": [{"name": "host", "context": {"cluster": "host", "user": "node"}}],
        });
        fs::write(folder.path().join("kubeconfig"), config.to_string())?;
        Ok(Self { lab, folder })
    }

    fn command(&self) -> Command {
        let kubeconfig = self.folder.path().join("kubeconfig");
        kubectl_in(&self.lab.control_namespace, &self.lab.kubectl, &kubeconfig)
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<Output> {
        run(self.command().args(arguments), "")
    }

    fn create(&self, object: &Value) -> Result<Output> {
        run(self.command().args(["create", "-f", "-"]), &object.to_string())
    }
}

/// It was refused, and in these words.
fn refused(what: &str, output: &Output, words: &str) -> Result<()> {
    ensure!(output.code != 0, "{what} is not refused: {}", output.stdout);
    ensure!(output.stderr.contains(words), "{what}: {}", output.stderr);
    Ok(())
}

fn node(name: &str, cluster: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "spec": {"taints": [
            {"key": "warren.dev/cluster", "value": cluster, "effect": "NoSchedule"},
            {"key": "warren.dev/unproven", "value": "true", "effect": "NoSchedule"},
        ]},
    })
}

#[test]
fn a_machines_own_certificate_opens_nothing_but_its_own_node_and_not_even_that_when_it_is_gone()
-> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let tenant = TestTenant::created_with_nodes(&lab, "hostile", 1)?;
    tenant.wait_ready()?;
    let own = own_node(&lab, &tenant)?;
    let machine = text(&own, "/name").to_owned();
    let hostile = Hostile::of(&lab, own["machine"]["vm"].as_u64().context("it has a number")?)?;
    let cluster = tenant.cluster()?;

    hostile.kubectl(&["get", "node", &machine])?.success()?;
    let words = "is forbidden";
    refused("another node's label", &hostile.kubectl(&["label", "node", "node1", "a=b"])?, words)?;
    let label = "node-restriction.kubernetes.io/warren-cluster=other";
    let relabelled = hostile.kubectl(&["label", "node", &machine, label, "--overwrite"])?;
    refused("the label that pods are placed by", &relabelled, words)?;
    let untainted = hostile.kubectl(&["taint", "node", &machine, "warren.dev/cluster-"])?;
    refused("its taint", &untainted, words)?;
    let balancer = "svccontroller.k3s.cattle.io/enablelb=true";
    let labelled = hostile.kubectl(&["label", "node", &machine, balancer])?;
    refused("where load balancers run", &labelled, "load balancers")?;
    refused("another name", &hostile.create(&node("wn-aaaaaaaaaaaaaaaa", &cluster))?, words)?;
    let mirror = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "mirror", "namespace": "kube-system",
            "annotations": {"kubernetes.io/config.mirror": "a"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": machine, "controller": true,
                "uid": lab.kubectl(&["get", "node", &machine, "-o", "jsonpath={.metadata.uid}"])?.success()?}]},
        "spec": {"nodeName": machine, "containers": [{"name": "a", "image": lab.image("busybox")}]},
    });
    refused("a pod of its own", &hostile.create(&mirror)?, "makes no pods")?;
    let secrets = hostile.kubectl(&["get", "secrets", "--all-namespaces"])?;
    refused("secrets of others", &secrets, "forbidden")?;

    tenant.removed(180)?;
    let again = hostile.create(&node(&machine, &cluster))?;
    refused("its own name once it is gone", &again, "not expected")?;
    Ok(())
}
