//! Which releases the host consists of: its API server, and its nodes as their kubelets tell.

use super::Check;
use crate::Context;
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api,
    api::{ListParams, ResourceExt},
};

const HOST: &str = "host-version";
const NODES: &str = "node-versions";
/// The oldest Kubernetes minor that has image volumes, user namespaces and mutating admission
/// policies switched on.
const OLDEST_MINOR: u32 = 36;
/// The oldest patch of each K3s minor whose supervisor refuses anonymous access (2026-09-30). These are
/// also past the releases of kine that crash on some PostgreSQL databases. Newer minors have both.
const OLDEST_K3S_PATCHES: [(u32, u32); 2] = [(36, 5), (37, 1)];
/// How many minors a kubelet may be older than the API server.
///
/// Source: Kubernetes' version skew policy.
const SKEW: u32 = 3;
/// The oldest containerd that mounts images as volumes: 2.1.
const OLDEST_CONTAINERD: [u32; 2] = [2, 1];

/// The first numbers of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    major: u32,
    minor: u32,
    patch: u32,
    is_k3s: bool,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let numbers = text.trim_start_matches('v').split(['.', '+', '-']).take(3);
        let numbers: Vec<u32> = numbers.map_while(|number| number.parse().ok()).collect();
        let &[major, minor, patch] = numbers.as_slice() else { return None };
        Some(Self { major, minor, patch, is_k3s: text.contains("k3s") })
    }

    /// The oldest K3s of this minor that will do, if this one will not.
    fn better_k3s(self) -> Option<String> {
        let (minor, patch) =
            OLDEST_K3S_PATCHES.into_iter().find(|(minor, _)| *minor == self.minor)?;
        (self.is_k3s && self.patch < patch).then(|| format!("1.{minor}.{patch}+k3s1"))
    }
}

pub(super) async fn host(cx: &Context) -> Result<Check, kube::Error> {
    let version = cx.host.client().apiserver_version().await?;
    Ok(judge_host(&version.git_version))
}

fn judge_host(text: &str) -> Check {
    const ADVICE: &str = "update the host cluster to K3s 1.36.5, 1.37.1 or newer";
    let Some(version) = Version::parse(text).filter(|version| version.major == 1) else {
        return Check::bad(HOST, format!("{text} is not a version of Kubernetes 1"), ADVICE);
    };
    if version.minor < OLDEST_MINOR {
        let detail =
            format!("{text}: tenants need user namespaces forced by the host, from 1.36 on");
        return Check::bad(HOST, detail, ADVICE);
    }
    match version.better_k3s() {
        Some(better) => Check::bad(
            HOST,
            format!("{text}: its supervisor lets anonymous callers in"),
            format!("update to K3s {better} or newer"),
        ),
        None => Check::ok(HOST, text),
    }
}

pub(super) async fn nodes(cx: &Context) -> Result<Check, kube::Error> {
    let nodes: Api<Node> = Api::all(cx.host.client());
    let nodes = nodes.list(&ListParams::default()).await?.items;
    let version = cx.host.client().apiserver_version().await?;
    Ok(judge_nodes(&version.git_version, &nodes))
}

fn judge_nodes(host: &str, nodes: &[Node]) -> Check {
    let mut findings = Vec::new();
    for node in nodes {
        let Some(status) = &node.status else { continue };
        let info = status.node_info.as_ref();
        let kubelet = info.map_or("", |info| info.kubelet_version.as_str());
        let runtime = info.map_or("", |info| info.container_runtime_version.as_str());
        let handlers = status.runtime_handlers.iter().flatten();
        // The nameless one is what a pod gets that names none.
        let default =
            handlers.into_iter().find(|handler| handler.name.iter().all(String::is_empty));
        let features = default.and_then(|handler| handler.features.as_ref());
        let has_users = features.and_then(|features| features.user_namespaces);
        let wrong = [
            wrong_kubelet(host, kubelet),
            wrong_runtime(runtime),
            (has_users == Some(false))
                .then(|| "its runtime has no user namespaces (runc 1.2 has)".to_owned()),
        ];
        let name = node.name_any();
        findings.extend(wrong.into_iter().flatten().map(|what| format!("{name}: {what}")));
    }
    if findings.is_empty() {
        let count = nodes.len();
        let detail = format!(
            "{count} node(s) with a kubelet and a containerd that fit; runc's version cannot be seen \
             from the API"
        );
        return Check::ok(NODES, detail);
    }
    let way_out = "update these nodes: to the host's own K3s, which brings containerd and runc";
    Check::bad(NODES, findings.join("; "), way_out)
}

fn wrong_kubelet(host: &str, kubelet: &str) -> Option<String> {
    let Some(node) = Version::parse(kubelet) else {
        return Some(format!("the version of its kubelet, {kubelet:?}, is none"));
    };
    if let Some(better) = node.better_k3s() {
        return Some(format!("{kubelet} is older than {better}"));
    }
    let host_minor = Version::parse(host)?.minor;
    if node.minor > host_minor {
        return Some(format!("{kubelet} is newer than the API server, {host}"));
    }
    (node.minor + SKEW < host_minor)
        .then(|| format!("{kubelet} is more than {SKEW} minors older than the API server, {host}"))
}

fn wrong_runtime(runtime: &str) -> Option<String> {
    let Some(version) = runtime.strip_prefix("containerd://") else {
        return Some(format!("its runtime {runtime:?} is not containerd"));
    };
    let is_old = Version::parse(version)
        .is_none_or(|version| [version.major, version.minor] < OLDEST_CONTAINERD);
    is_old.then(|| format!("containerd {version} is older than 2.1, which image volumes need"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn versions_are_judged_by_what_tenants_need() {
        for (text, is_ok) in [
            ("v1.36.2", true),
            ("v1.36.5+k3s1", true),
            ("v1.36.4+k3s1", false),
            ("v1.37.0", true),
            ("v1.37.0+k3s1", false),
            ("v1.37.0-rc1+k3s1", false),
            ("v1.37.1+k3s1", true),
            ("v1.38.0+k3s1", true),
            ("v1.35.9+k3s1", false),
            ("v2.36.5", false),
            ("unknown", false),
        ] {
            let check = judge_host(text);
            assert_eq!(check.is_ok, is_ok, "{text}");
            assert_eq!(check.way_out.is_empty(), is_ok, "{text}");
        }
        assert!(judge_host("v1.37.0+k3s1").way_out.contains("1.37.1+k3s1"), "of the same minor");
    }

    fn node(kubelet: &str, runtime: &str, handlers: &Value) -> Node {
        let info = json!({
            "kubeletVersion": kubelet, "containerRuntimeVersion": runtime, "architecture": "",
            "bootID": "", "kernelVersion": "", "kubeProxyVersion": "", "machineID": "",
            "operatingSystem": "", "osImage": "", "systemUUID": "",
        });
        let node = json!({ "metadata": { "name": "n1" },
            "status": { "nodeInfo": info, "runtimeHandlers": handlers } });
        serde_json::from_value(node).expect("a node")
    }

    #[test]
    fn a_node_that_does_not_fit_the_host_is_named_with_what_is_wrong() {
        let handler = |has| json!([{ "name": "", "features": { "userNamespaces": has } }]);
        let (good, bad, unsaid) = (handler(true), handler(false), json!(null));
        let other = json!([{ "name": "crun", "features": { "userNamespaces": false } }]);
        let (old, new) = ("containerd://1.7.27", "containerd://2.3.4-k3s1");
        for (kubelet, runtime, handlers, expected) in [
            ("v1.37.1+k3s1", new, &good, ""),
            ("v1.36.5+k3s1", "containerd://2.1.0+unknown", &unsaid, ""),
            ("v1.34.9+k3s1", new, &other, ""),
            ("v1.33.9", new, &good, "more than 3 minors older"),
            ("v1.38.0+k3s1", new, &good, "newer than the API server"),
            ("v1.36.3+k3s1", new, &good, "older than 1.36.5+k3s1"),
            ("v1.37.0+k3s1", new, &good, "older than 1.37.1+k3s1"),
            ("v1.37.1+k3s1", old, &good, "containerd 1.7.27"),
            ("v1.37.1+k3s1", "cri-o://1.36.0", &good, "not containerd"),
            ("v1.37.1+k3s1", new, &bad, "user namespaces"),
            ("", "", &good, "its kubelet"),
        ] {
            let check = judge_nodes("v1.37.1+k3s1", &[node(kubelet, runtime, handlers)]);
            assert_eq!(check.is_ok, expected.is_empty(), "{kubelet} {runtime}: {check:?}");
            assert!(check.detail.contains(expected), "{expected}: {check:?}");
            assert!(check.is_ok || check.detail.starts_with("n1: "), "{check:?}");
        }
    }
}
