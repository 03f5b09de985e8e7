use super::*;
use serde_json::json;

/// The arguments of a server that is as it should be, as K3s publishes them.
const GOOD: [&str; 13] = [
    "server",
    "--secrets-encryption",
    "true",
    "--disable",
    "servicelb,traefik",
    "--agent-token",
    "********",
    "--kube-apiserver-arg",
    "audit-policy-file=/etc/rancher/k3s/audit.yaml",
    "--kube-apiserver-arg",
    "admission-control-config-file=/etc/rancher/k3s/psa.yaml",
    "--node-taint",
    "CriticalAddonsOnly=true:NoExecute",
];

fn node(name: &str, arguments: &[&str], environment: &str, taint: Option<(&str, &str)>) -> Node {
    let arguments = serde_json::to_string(arguments).expect("texts are JSON");
    let taints: Vec<_> =
        taint.iter().map(|(key, effect)| json!({ "key": key, "effect": effect })).collect();
    let node = json!({
        "metadata": { "name": name, "annotations": {
            "k3s.io/node-args": arguments, "k3s.io/node-env": environment } },
        "spec": { "taints": taints },
    });
    serde_json::from_value(node).expect("a node")
}

fn server(arguments: &[&str]) -> Node {
    node("s1", arguments, "{}", Some(("CriticalAddonsOnly", "NoExecute")))
}

fn agent() -> Node {
    node("a1", &["agent", "--server", "https://s1:6443"], "{}", None)
}

/// The good arguments with one of them replaced by others.
fn with<'a>(old: &str, new: &[&'a str]) -> Vec<&'a str> {
    let new = |word: &&'a str| if *word == old { new.to_vec() } else { vec![*word] };
    GOOD.iter().flat_map(new).collect()
}

#[test]
fn a_server_as_it_should_be_is_all_right_in_every_way_to_write_its_arguments() {
    let written = [
        GOOD.to_vec(),
        with("true", &[]),
        with("servicelb,traefik", &["traefik", "--disable", "servicelb"]),
        with("servicelb,traefik", &["traefik, servicelb"]),
        // An argument that was cut at every equals sign.
        with(
            "audit-policy-file=/etc/rancher/k3s/audit.yaml",
            &["audit-policy-file", "/etc/rancher/k3s/audit.yaml"],
        ),
        vec![
            "server",
            "--secrets-encryption=true",
            "--disable=servicelb",
            "--disable=traefik",
            "--agent-token-file=/etc/rancher/k3s/agent-token",
            "--kube-apiserver-arg=audit-policy-file=/audit.yaml",
            "--kube-apiserver-arg=admission-control-config-file=/psa.yaml",
        ],
    ];
    for arguments in written {
        let check = judge(&[server(&arguments), agent()], false);
        assert!(check.is_ok, "{arguments:?}: {check:?}");
        assert!(check.detail.contains("cannot be seen"), "nothing is claimed: {check:?}");
    }
    let without = with("--agent-token", &["--data-dir"]);
    let environment = r#"{"K3S_AGENT_TOKEN":"********"}"#;
    let taint = Some(("CriticalAddonsOnly", "NoExecute"));
    assert!(judge(&[node("s1", &without, environment, taint), agent()], false).is_ok);
}

#[test]
fn each_thing_that_a_server_lacks_is_named_with_the_server() {
    for (arguments, expected) in [
        (with("--secrets-encryption", &["--cluster-init"]), "secrets-encryption: true"),
        (with("true", &["false"]), "secrets-encryption: true"),
        (with("servicelb,traefik", &["traefik"]), "the end of servicelb"),
        // Words that only contain it.
        (with("servicelb,traefik", &["servicelb-other"]), "the end of servicelb"),
        (
            with("--disable", &["--servicelb-namespace", "servicelb", "--not-disable"]),
            "the end of servicelb",
        ),
        (with("--agent-token", &["--token"]), "an agent-token"),
        (with("audit-policy-file=/etc/rancher/k3s/audit.yaml", &["v=2"]), "an audit policy"),
        (
            with("audit-policy-file=/etc/rancher/k3s/audit.yaml", &["audit-policy-file="]),
            "an audit policy",
        ),
        (
            with("admission-control-config-file=/etc/rancher/k3s/psa.yaml", &["v=2"]),
            "a default level of pod security",
        ),
    ] {
        let check = judge(&[server(&arguments), agent()], false);
        assert!(!check.is_ok && check.detail.starts_with("s1 lacks "), "{arguments:?}: {check:?}");
        assert!(check.detail.contains(expected), "{expected}: {check:?}");
        let words: Vec<_> = arguments.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(Arguments::new(&words, "{}").missing().len(), 1, "and nothing else: {check:?}");
    }
}

#[test]
fn a_server_that_tenants_can_be_put_on_is_a_finding_unless_there_is_no_other_node() {
    let server = |taint| node("s1", &GOOD, "{}", taint);
    for (taint, is_ok) in [
        (Some(("CriticalAddonsOnly", "NoExecute")), true),
        (Some(("node-role.kubernetes.io/control-plane", "NoSchedule")), true),
        (Some(("node-role.kubernetes.io/control-plane", "PreferNoSchedule")), false),
        (Some(("node.kubernetes.io/unreachable", "NoExecute")), false),
        (None, false),
    ] {
        assert_eq!(judge(&[server(taint), agent()], false).is_ok, is_ok, "{taint:?}");
    }
    assert!(judge(&[server(None)], false).is_ok, "it has to bear everything");
}

#[test]
fn traefik_and_arguments_that_cannot_be_read_are_findings_and_other_hosts_have_none() {
    assert!(!judge(&[server(&GOOD)], true).is_ok);
    let mut odd = server(&GOOD);
    odd.annotations_mut().insert(ARGUMENTS.to_owned(), "server --disable servicelb".to_owned());
    assert!(!judge(&[odd], false).is_ok);
    let mut other = agent();
    other.annotations_mut().clear();
    for nodes in [vec![other], vec![agent()], vec![]] {
        let check = judge(&nodes, false);
        assert!(check.is_ok && check.detail.contains("nothing to check"), "{check:?}");
    }
}
