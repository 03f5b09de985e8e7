//! The host's control plane in parts: what a K3s server holds in one process.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::host::{Made, Stage};
use crate::layout::Layout;
use crate::network::{CONTROL, CONTROL_ADDRESS, FIRST, NODES, SERVICES};
use crate::node::{containerd, kube_proxy, kubelet, node_proxy};
use crate::part::{Check, Part};

/// The host cluster of parts: what keeps records, what serves them, what works on them.
pub(crate) fn stages(layout: &Layout) -> Vec<Stage> {
    let keepers = NODES.iter().map(|node| containerd(layout, node)).chain([kine(layout)]);
    let managers = [kube_controller_manager(layout), kube_scheduler(layout)];
    let nodes = NODES.iter().flat_map(|node| [kubelet(layout, node), node_proxy(layout, node)]);
    vec![
        Stage { parts: keepers.collect(), makes: Made::Ground },
        Stage { parts: vec![kube_apiserver(layout)], makes: Made::ApiServer },
        Stage { parts: managers.into_iter().chain(nodes).collect(), makes: Made::Nodes },
    ]
}

/// The record of the host cluster: etcd's interface on an SQLite file.
fn kine(layout: &Layout) -> Part {
    let folder = layout.state.join("kine");
    let socket = folder.join("kine.sock");
    let options = "_journal=WAL&cache=shared&_busy_timeout=30000&_txlock=immediate";
    let database = format!("sqlite://{}?{options}", folder.join("state.db").display());
    part(layout, "kine")
        .flag("--listen-address", format!("unix://{}", socket.display()))
        .flag("--endpoint", database)
        .flag("--metrics-bind-address", "127.0.0.1:2381")
        .check(Check::Unix(socket))
}

fn kube_apiserver(layout: &Layout) -> Part {
    let pki = |file: &str| layout.pki(file);
    let socket = layout.state.join("kine/kine.sock");
    let part = part(layout, "kube-apiserver")
        .flag("--etcd-servers", format!("unix://{}", socket.display()))
        .flag("--advertise-address", FIRST.address.to_string())
        .flag("--bind-address", "0.0.0.0")
        .flag("--secure-port", "6443")
        .flag("--service-cluster-ip-range", SERVICES)
        .flag("--authorization-mode", "Node,RBAC")
        .flag("--enable-admission-plugins", "NodeRestriction")
        // As K3s: machines join with tokens.
        .switch("--enable-bootstrap-token-auth=true")
        .switch("--allow-privileged=true")
        .switch("--profiling=false")
        .path("--client-ca-file", pki("ca.crt"))
        .path("--tls-cert-file", pki("kube-apiserver.crt"))
        .path("--tls-private-key-file", pki("kube-apiserver.key"))
        .path("--kubelet-client-certificate", pki("kube-apiserver-to-kubelets.crt"))
        .path("--kubelet-client-key", pki("kube-apiserver-to-kubelets.key"))
        .flag("--kubelet-preferred-address-types", "InternalIP")
        .flag("--service-account-issuer", "https://kubernetes.default.svc.cluster.local")
        .path("--service-account-key-file", pki("service-accounts.pub"))
        .path("--service-account-signing-key-file", pki("service-accounts.key"))
        .path("--requestheader-client-ca-file", pki("front-proxy-ca.crt"))
        .flag("--requestheader-allowed-names", "front-proxy-client")
        .flag("--requestheader-extra-headers-prefix", "X-Remote-Extra-")
        .flag("--requestheader-group-headers", "X-Remote-Group")
        .flag("--requestheader-username-headers", "X-Remote-User")
        .path("--proxy-client-cert-file", pki("front-proxy-client.crt"))
        .path("--proxy-client-key-file", pki("front-proxy-client.key"))
        .check(Check::Tcp(SocketAddr::new(FIRST.address.into(), 6443)));
    with_flags(Part { stop_limit: Duration::from_secs(3), ..part }, audit_flags(layout))
}

/// Writes the configuration.
pub(crate) fn prepare(layout: &Layout) -> Result<()> {
    let policy = include_str!("../templates/audit-policy.yaml");
    std::fs::write(audit_policy(layout), policy).context("write the audit policy")
}

/// Says which requests the API server records: what Warren writes, so that a
/// benchmark can count it.
fn audit_policy(layout: &Layout) -> PathBuf {
    layout.pki("audit-policy.yaml")
}

/// Flags of the API server, whoever runs it.
pub(crate) fn audit_flags(layout: &Layout) -> [(&'static str, String); 2] {
    [
        ("audit-policy-file", audit_policy(layout).display().to_string()),
        ("audit-log-path", layout.log("audit").display().to_string()),
    ]
}

/// Flags of the controller manager, whoever runs it: the usual 20 requests a second
/// delay every controller at the start.
pub(crate) fn manager_limits() -> [(&'static str, String); 2] {
    [("kube-api-qps", "200".into()), ("kube-api-burst", "400".into())]
}

fn with_flags(part: Part, flags: impl IntoIterator<Item = (&'static str, String)>) -> Part {
    let add = |part: Part, (name, value)| part.flag(&format!("--{name}"), value);
    flags.into_iter().fold(part, add)
}

fn kube_controller_manager(layout: &Layout) -> Part {
    let part = authenticated(layout, "kube-controller-manager")
        .switch("--use-service-account-credentials=true")
        .path("--root-ca-file", layout.pki("ca.crt"))
        .path("--service-account-private-key-file", layout.pki("service-accounts.key"))
        .path("--cluster-signing-cert-file", layout.pki("ca.crt"))
        .path("--cluster-signing-key-file", layout.pki("ca.key"))
        .switch("--allocate-node-cidrs=false")
        .flag("--controllers", "*,bootstrapsigner,tokencleaner")
        .check(Check::Tcp(local(10257)));
    with_flags(part, manager_limits())
}

fn kube_scheduler(layout: &Layout) -> Part {
    authenticated(layout, "kube-scheduler").check(Check::Tcp(local(10259)))
}

/// Makes volumes for the storage class `local-path`.
pub(crate) fn local_storage(layout: &Layout) -> Part {
    part(layout, "local-storage")
        .path("--kubeconfig", layout.kubeconfig("admin"))
        .path("--root", layout.state.join("storage"))
        .check(Check::Http(local(10361), "/healthz"))
}

/// Makes the services' addresses work where Warren runs.
pub(crate) fn control_proxy(layout: &Layout) -> Part {
    kube_proxy(layout, "control", CONTROL, CONTROL_ADDRESS)
}

fn authenticated(layout: &Layout, name: &'static str) -> Part {
    let kubeconfig = layout.kubeconfig(name);
    part(layout, name)
        .path("--kubeconfig", &kubeconfig)
        .path("--authentication-kubeconfig", &kubeconfig)
        .path("--authorization-kubeconfig", &kubeconfig)
        .flag("--bind-address", "127.0.0.1")
        .switch("--leader-elect=false")
        .switch("--profiling=false")
}

fn part(layout: &Layout, name: &'static str) -> Part {
    Part::new(name, FIRST.namespace, layout.program(name))
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)
}
