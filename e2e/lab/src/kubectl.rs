//! Talking to the host cluster.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::cancel::Attempt;
use crate::command::{capture, feed};
use crate::context::Context;
use crate::layout::Layout;
use crate::namespace;
use crate::network::{DNS_SERVICE, FIRST, NODES};
use crate::plan::Plan;

/// How long nodes and DNS may take after their parts run.
const SETTLE: Duration = Duration::from_secs(90);

/// kubectl as the host cluster's administrator.
pub(crate) fn command(layout: &Layout) -> Command {
    let mut kubectl = namespace::command(FIRST.namespace);
    kubectl.arg("--").arg(layout.program("kubectl"));
    kubectl.env("KUBECONFIG", layout.kubeconfig("admin"));
    // Not in anybody's home folder.
    kubectl.env("KUBECACHEDIR", layout.state.join("kubectl"));
    kubectl
}

/// kubectl where people are: it reaches tenants' API servers through Warren.
pub(crate) fn through_warren(layout: &Layout, kubeconfig: &Path) -> Command {
    let mut kubectl = Command::new(layout.program("kubectl"));
    kubectl.arg("--request-timeout=20s");
    kubectl.env("KUBECONFIG", kubeconfig).env("KUBECACHEDIR", layout.state.join("kubectl"));
    kubectl
}

fn kubectl(cx: &Context, arguments: &[&str]) -> Result<String> {
    capture(command(&cx.layout).arg("--request-timeout=10s").args(arguments))
}

/// Waits until the API server says that it is ready.
pub(crate) fn await_api_server(cx: &Context) -> Result<()> {
    cx.cancel.until(Duration::from_mins(1), "kube-apiserver is ready", || {
        Attempt::retry(kubectl(cx, &["get", "--raw", "/readyz"]))
    })?;
    Ok(())
}

/// Fails unless the API server serves what Warren's policies need.
pub(crate) fn check_policies(cx: &Context) -> Result<()> {
    let served = kubectl(cx, &["get", "--raw", "/apis/admissionregistration.k8s.io/v1"])?;
    for resource in ["mutatingadmissionpolicies", "validatingadmissionpolicies"] {
        ensure!(served.contains(resource), "kube-apiserver does not serve {resource}");
    }
    Ok(())
}

/// Applies DNS, the storage class, and what Warren may do.
pub(crate) fn apply_addons(cx: &Context, plan: &Plan) -> Result<()> {
    let rights = include_str!("../../../templates/host/cluster-role.yaml");
    let manifest = concat!(include_str!("../templates/addons.yaml"), "\n---\n")
        .replace("@NODE@", FIRST.name)
        .replace("@COREDNS@", &plan.image("coredns")?.reference)
        .replace("@DNS@", &DNS_SERVICE.to_string());
    let mut apply = command(&cx.layout);
    apply.args(["apply", "--server-side", "--field-manager=lab", "-f", "-"]);
    feed(&mut apply, &(manifest + rights)).context("apply DNS, storage class and rights")?;
    Ok(())
}

/// Waits until all nodes are Ready and take pods: one whose disk is full is Ready and
/// has a taint.
pub(crate) fn await_nodes(cx: &Context) -> Result<()> {
    let template = "-o=jsonpath={range .items[*]}{.metadata.name}={.status.conditions[?(@.type==\"Ready\")].status} {.spec.taints[*].key}{\"\\n\"}{end}";
    cx.cancel.until(SETTLE, "all nodes are ready and take pods", || {
        Attempt::retry(kubectl(cx, &["get", "nodes", template]).and_then(|seen| {
            let is_ready = |name: &str| seen.lines().any(|line| line == format!("{name}=True "));
            ensure!(NODES.iter().all(|node| is_ready(node.name)), "{}", seen.trim());
            Ok(())
        }))
    })
}

/// Waits until DNS answers for the host cluster.
pub(crate) fn await_dns(cx: &Context) -> Result<()> {
    let ready = "-o=jsonpath={.status.readyReplicas}";
    cx.cancel.until(SETTLE, "DNS is ready", || {
        let seen = kubectl(cx, &["-n", "kube-system", "get", "deployment", "coredns", ready]);
        Attempt::retry(seen.and_then(|seen| {
            ensure!(seen.trim() == "1", "{seen:?} of 1 pods are ready");
            Ok(())
        }))
    })
}
