//! The host cluster by a `k3s` binary: a server on the first node, an agent on every
//! other. K3s' own DNS, storage, pod network and network policies are switched off, as
//! the lab brings them; its authorities are the lab's, so that every kubeconfig of the
//! lab is good for both ways.
//!
//! Written after K3s' documentation for 1.36; no such binary was at hand to try it on.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::certificates::{api_server, write_secret};
use crate::command::open_log;
use crate::control_plane::{audit_flags, manager_limits};
use crate::digest::sha256_file;
use crate::host::{Made, Stage};
use crate::layout::{Layout, write_json};
use crate::mounts;
use crate::network::{DNS_SERVICE, FIRST, NODES, Node, PODS, SERVICES};
use crate::node::{self, Runtime, kubelet_settings, with_programs};
use crate::part::{Check, Part};
use crate::plan::Plan;

/// K3s unpacks itself, makes certificates and imports the images before it is healthy.
const START: Duration = Duration::from_mins(3);

/// What the lab brings itself, and what a platform for tenants leaves out.
const DISABLED: [&str; 5] = ["coredns", "local-storage", "metrics-server", "servicelb", "traefik"];

/// The server first: the others join it.
pub(crate) fn stages(layout: &Layout, program: &Path) -> Vec<Stage> {
    let (servers, agents): (Vec<_>, Vec<_>) = NODES.iter().partition(|node| is_server(node));
    let parts =
        |nodes: Vec<&Node>| nodes.into_iter().map(|node| part(layout, program, node)).collect();
    vec![
        Stage { parts: parts(servers), makes: Made::ApiServer },
        Stage { parts: parts(agents), makes: Made::Nodes },
    ]
}

/// Writes what a node's K3s reads.
pub(crate) fn prepare(layout: &Layout, plan: &Plan, node: &Node) -> Result<()> {
    let data = data(layout, node);
    let agent = data.join("agent");
    for folder in ["containerd", "etc/containerd", "etc/kubelet.conf.d", "images"] {
        std::fs::create_dir_all(agent.join(folder))?;
    }
    // K3s gives its containerd a log of its own: it goes to the logs of the parts.
    let log = layout.log(&format!("containerd-{}", node.name));
    open_log(&log)?;
    symlink(log, agent.join("containerd/containerd.log"))?;
    // Read as a template; a whole configuration is one, too.
    let runtime = Runtime {
        root: agent.join("containerd"),
        state: "/run/k3s/containerd".into(),
        socket: "/run/k3s/containerd/containerd.sock".into(),
    };
    let containerd = node::containerd_config(layout, plan, node, &runtime)?;
    std::fs::write(agent.join("etc/containerd/config-v3.toml.tmpl"), containerd)?;
    // K3s writes its own settings to a file that sorts before this one.
    write_json(&agent.join("etc/kubelet.conf.d/50-lab.conf"), &kubelet_settings(layout, node))?;
    // Imported before the kubelet starts.
    for image in &plan.images {
        let name = image.archive.file_name().context("images are files")?;
        let to = agent.join("images").join(name);
        if std::fs::hard_link(&image.archive, &to).is_err() {
            // Another file system.
            std::fs::copy(&image.archive, &to).with_context(|| format!("copy {}", image.name))?;
        }
    }
    let settings = if is_server(node) {
        bring_authorities(layout, &data.join("server/tls"))?;
        write_tokens(layout)?;
        server_settings(layout, plan, node)?
    } else {
        agent_settings(layout, plan, node)?
    };
    write_json(&config(layout, node), &settings)
}

fn is_server(node: &Node) -> bool {
    node.name == FIRST.name
}

fn part(layout: &Layout, program: &Path, node: &Node) -> Part {
    let is_server = is_server(node);
    let local = |port| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    let mut checks = vec![
        Check::Http(local(10248), "/healthz"),
        Check::Http(SocketAddr::new(node.address.into(), 10256), "/livez"),
    ];
    if is_server {
        checks.push(Check::Tcp(SocketAddr::new(node.address.into(), 6443)));
    }
    let name = format!("k3s-{}", node.name);
    let part = Part::new(name, node.namespace, program.to_owned())
        .switch(if is_server { "server" } else { "agent" })
        .path("--config", config(layout, node))
        // Read before the configuration is: it unpacks itself there.
        .path("--data-dir", data(layout, node))
        .check(Check::All(checks));
    let mounts = Some(mounts::namespace(layout, node.name));
    with_programs(layout, Part { mounts, start_limit: START, ..part })
}

fn data(layout: &Layout, node: &Node) -> PathBuf {
    layout.node(node.name).join("k3s")
}

/// JSON is YAML, which K3s reads.
fn config(layout: &Layout, node: &Node) -> PathBuf {
    layout.node(node.name).join("k3s.yaml")
}

type Settings = BTreeMap<&'static str, Value>;

/// Flags by name (docs.k3s.io, "k3s server" and "k3s agent").
fn server_settings(layout: &Layout, plan: &Plan, node: &Node) -> Result<Settings> {
    let mut settings = node_settings(layout, plan, node)?;
    settings.extend([
        ("advertise-address", json!(node.address)),
        ("tls-san", json!([node.address, "localhost"])),
        ("cluster-cidr", json!(PODS)),
        ("service-cidr", json!(SERVICES)),
        ("cluster-dns", json!(DNS_SERVICE)),
        ("token-file", json!(token(layout, "server"))),
        ("agent-token-file", json!(token(layout, "agent"))),
        ("secrets-encryption", json!(true)),
        ("write-kubeconfig", json!(data(layout, node).join("admin.kubeconfig"))),
        ("write-kubeconfig-mode", json!("0600")),
        ("disable", json!(DISABLED)),
        ("disable-helm-controller", json!(true)),
        ("flannel-backend", json!("none")),
        ("disable-network-policy", json!(true)),
        ("kube-apiserver-arg", flags(audit_flags(layout))),
        (
            "kube-controller-manager-arg",
            // Every node has its pods' addresses from the lab.
            flags(manager_limits().into_iter().chain([("allocate-node-cidrs", "false".into())])),
        ),
    ]);
    Ok(settings)
}

fn agent_settings(layout: &Layout, plan: &Plan, node: &Node) -> Result<Settings> {
    let mut settings = node_settings(layout, plan, node)?;
    settings
        .extend([("server", json!(api_server())), ("token-file", json!(token(layout, "join")))]);
    Ok(settings)
}

fn node_settings(layout: &Layout, plan: &Plan, node: &Node) -> Result<Settings> {
    let kubelet = layout.node(node.name).join("kubelet");
    let proxy = [
        ("proxy-mode", "nftables".to_owned()),
        // The machine's own limits stay as they are.
        ("conntrack-max-per-core", "0".to_owned()),
        ("oom-score-adj", "0".to_owned()),
        ("healthz-bind-address", format!("{}:10256", node.address)),
    ];
    Ok(Settings::from([
        ("node-name", json!(node.name)),
        ("node-ip", json!(node.address)),
        ("resolv-conf", json!(layout.node(node.name).join("resolv.conf"))),
        ("pause-image", json!(plan.image("pause")?.reference)),
        ("disable-default-registry-endpoint", json!(true)),
        ("kubelet-arg", flags([("root-dir", kubelet.display().to_string())])),
        ("kube-proxy-arg", flags(proxy)),
    ]))
}

/// `name=value` each, as K3s hands them on.
fn flags(flags: impl IntoIterator<Item = (&'static str, String)>) -> Value {
    flags.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// K3s makes the authorities that it does not find (docs.k3s.io, "k3s certificate").
fn bring_authorities(layout: &Layout, tls: &Path) -> Result<()> {
    std::fs::create_dir_all(tls)?;
    let names = [("ca", "server-ca"), ("ca", "client-ca"), ("front-proxy-ca", "request-header-ca")];
    for (ours, theirs) in names {
        for kind in ["crt", "key"] {
            let from = layout.pki(&format!("{ours}.{kind}"));
            std::fs::copy(&from, tls.join(format!("{theirs}.{kind}")))
                .with_context(|| format!("copy {}", from.display()))?;
        }
    }
    Ok(())
}

fn token(layout: &Layout, name: &str) -> PathBuf {
    layout.pki(&format!("k3s-{name}.token"))
}

/// A secret for servers, one for agents, and what agents join with: it names the
/// authority that they expect to meet.
fn write_tokens(layout: &Layout) -> Result<()> {
    write_secret(&token(layout, "server"), &random()?)?;
    let agent = random()?;
    write_secret(&token(layout, "agent"), &agent)?;
    let authority = sha256_file(&layout.pki("ca.crt"))?;
    write_secret(&token(layout, "join"), &format!("K10{authority}::node:{agent}"))
}

fn random() -> Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes).context("read /dev/urandom")?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests;
