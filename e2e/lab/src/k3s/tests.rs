use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::catalogue::Written;
use crate::certificates;
use crate::host::Host;

/// A lab whose two nodes are prepared for K3s, but for what only root can make.
struct Prepared {
    layout: Layout,
    folder: tempfile::TempDir,
}

impl Prepared {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let [cache, state] = ["cache", "state"].map(|name| folder.path().join(name));
        let layout = Layout::new(cache, state).expect("both paths are good");
        layout.create_state().expect("the folder is empty");
        let archive = folder.path().join("pause-0123.tar");
        std::fs::write(&archive, "layers").expect("is written");
        let pause =
            Written { name: "pause".into(), reference: "lab.local/pause:1".into(), archive };
        let plan = Plan {
            host: Host::K3s("/opt/k3s".into()),
            programs: BTreeMap::new(),
            tools: "/tools".into(),
            images: vec![pause],
            store: None,
            warren: None,
            simulator: None,
            runner: None,
            packages: Vec::new(),
        };
        certificates::create(&layout).expect("certificates are made");
        for node in &NODES {
            prepare(&layout, &plan, node).expect("the node is prepared");
        }
        Self { layout, folder }
    }

    fn read(&self, path: &Path) -> String {
        let text = std::fs::read_to_string(path).expect("was written");
        text.replace(&self.folder.path().display().to_string(), "")
    }
}

#[test]
fn what_k3s_is_told_on_each_node() {
    let lab = Prepared::new();
    let mut text = String::new();
    let stages = stages(&lab.layout, Path::new("/opt/k3s"));
    for part in stages.iter().flat_map(|stage| &stage.parts) {
        let arguments = part.arguments.join(" ");
        writeln!(text, "# {}\n{} {arguments}\n", part.name, part.program.display())
            .expect("memory takes everything");
    }
    for node in &NODES {
        let config = lab.read(&config(&lab.layout, node));
        writeln!(text, "# k3s.yaml of {}\n{config}\n", node.name).expect("memory takes everything");
    }
    let text = text.replace(&lab.folder.path().display().to_string(), "");
    insta::assert_snapshot!(text);
}

#[test]
fn containerd_and_kubelet_are_set_as_those_of_the_parts() {
    let lab = Prepared::new();
    let etc = data(&lab.layout, &NODES[1]).join("agent/etc");
    let containerd = lab.read(&etc.join("containerd/config-v3.toml.tmpl"));
    assert!(!containerd.contains('@'), "everything is filled in: {containerd}");
    assert!(!containerd.contains("{{"), "nothing in it is a template: {containerd}");
    assert!(containerd.contains(r#"BinaryName = "/state/bin/runc""#), "{containerd}");
    let kubelet = lab.read(&etc.join("kubelet.conf.d/50-lab.conf"));
    let kubelet: Value = serde_json::from_str(&kubelet).expect("is JSON");
    assert_eq!(kubelet["cgroupRoot"], "/warren-lab/node2");
    assert_eq!(kubelet["failCgroupV1"], false);
    for own in ["containerRuntimeEndpoint", "authentication", "authorization"] {
        assert!(kubelet.get(own).is_none(), "{own} is K3s' own");
    }
}

#[test]
fn images_lie_where_k3s_imports_them_from() {
    let lab = Prepared::new();
    for node in &NODES {
        let image = data(&lab.layout, node).join("agent/images/pause-0123.tar");
        assert_eq!(std::fs::read_to_string(image).expect("is there"), "layers");
    }
}

#[test]
fn what_containerd_logs_is_among_the_logs_of_the_parts() {
    let lab = Prepared::new();
    let own = data(&lab.layout, &NODES[1]).join("agent/containerd/containerd.log");
    std::fs::write(own, "a line").expect("can be written");
    let shown = std::fs::read_to_string(lab.layout.log("containerd-node2")).expect("is there");
    assert_eq!(shown, "a line");
}

#[test]
fn the_labs_authorities_are_those_of_k3s() {
    let lab = Prepared::new();
    let tls = data(&lab.layout, &FIRST).join("server/tls");
    let read = |path: &Path| std::fs::read_to_string(path).expect("is there");
    let ours = read(&lab.layout.pki("ca.crt"));
    assert_eq!(read(&tls.join("server-ca.crt")), ours);
    assert_eq!(read(&tls.join("client-ca.crt")), ours);
    assert!(!data(&lab.layout, &NODES[1]).join("server").exists(), "an agent signs nothing");
}

#[test]
fn secrets_are_in_files_of_their_own_that_only_root_reads() {
    let lab = Prepared::new();
    let secret = |name| std::fs::read_to_string(token(&lab.layout, name)).expect("is written");
    let (server, agent, join) = (secret("server"), secret("agent"), secret("join"));
    assert_ne!(server, agent);
    assert_eq!(join.split_once("::node:").map(|(_, secret)| secret), Some(&*agent));
    let tls = data(&lab.layout, &FIRST).join("server/tls");
    let keys = ["server-ca.key", "client-ca.key", "request-header-ca.key"].map(|key| tls.join(key));
    let tokens = ["server", "agent", "join"].map(|name| token(&lab.layout, name));
    for file in keys.iter().chain(&tokens) {
        let mode = file.metadata().expect("is there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", file.display());
    }
    for node in &NODES {
        let told = std::fs::read_to_string(config(&lab.layout, node)).expect("is written");
        assert!(!told.contains(&server) && !told.contains(&agent), "{told}");
    }
}
