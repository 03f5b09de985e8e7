//! How the servers of a K3s host are set up, as far as their nodes tell.
//!
//! K3s publishes its arguments, those of `config.yaml` among them, in two annotations of each node:
//! `k3s.io/node-args`, a JSON list, and `k3s.io/node-env`, a JSON object. Tokens, keys and the address of
//! the datastore are masked. Nothing else of a server can be seen by a client of its API.

use super::Check;
use crate::Context;
use k8s_openapi::api::core::v1::{Node, Service};
use kube::{
    Api,
    api::{ListParams, ResourceExt},
};
use std::collections::BTreeMap;

const NAME: &str = "k3s-baseline";
const ARGUMENTS: &str = "k3s.io/node-args";
const ENVIRONMENT: &str = "k3s.io/node-env";
/// What the wished-for state has that no client can see; a verdict that kept silent would claim it.
const UNSEEN: &str = "cannot be seen from the API: what the audit and admission files say, who knows \
                      agent-token, a pooler before a datastore, ipset on the nodes";

/// The arguments of one K3s process.
#[derive(Debug)]
struct Arguments {
    flags: Vec<(String, String)>,
    environment: BTreeMap<String, String>,
}

pub(super) async fn check(cx: &Context) -> Result<Check, kube::Error> {
    let nodes: Api<Node> = Api::all(cx.host.client());
    let nodes = nodes.list(&ListParams::default()).await?.items;
    let services: Api<Service> = Api::namespaced(cx.host.client(), "kube-system");
    let has_traefik = services.get_opt("traefik").await?.is_some();
    Ok(judge(&nodes, has_traefik))
}

fn judge(nodes: &[Node], has_traefik: bool) -> Check {
    let mut servers = 0;
    let mut findings = Vec::new();
    for node in nodes {
        let Some(text) = node.annotations().get(ARGUMENTS) else { continue };
        let name = node.name_any();
        let Ok(words) = serde_json::from_str::<Vec<String>>(text) else {
            findings.push(format!("{name}: its annotation {ARGUMENTS} is no list of arguments"));
            continue;
        };
        if words.first().is_none_or(|word| word != "server") {
            continue;
        }
        servers += 1;
        let environment = node.annotations().get(ENVIRONMENT);
        let mut missing = Arguments::new(&words, environment.map_or("{}", |text| text)).missing();
        if nodes.len() > 1 && !keeps_others_away(node) {
            missing.push("a taint that keeps tenants off it (node-taint)");
        }
        findings
            .extend((!missing.is_empty()).then(|| format!("{name} lacks {}", missing.join(", "))));
    }
    if has_traefik {
        findings.push("traefik is installed (disable: [servicelb, traefik])".to_owned());
    }
    if !findings.is_empty() {
        let way_out =
            "change /etc/rancher/k3s/config.yaml on the servers and restart them, one at a time";
        return Check::bad(NAME, format!("{}; {UNSEEN}", findings.join("; ")), way_out);
    }
    if servers == 0 {
        let count = nodes.len();
        return Check::ok(
            NAME,
            format!("{count} node(s), none of them a K3s server: nothing to check"),
        );
    }
    Check::ok(NAME, format!("{servers} server(s) as they should be; {UNSEEN}"))
}

impl Arguments {
    /// A flag's value is behind its `=` or is what follows up to the next flag.
    fn new(words: &[String], environment: &str) -> Self {
        let mut flags: Vec<(String, String)> = Vec::new();
        for word in words.iter().skip(1) {
            match (word.strip_prefix("--"), flags.last_mut()) {
                (Some(flag), _) => {
                    let (flag, value) = flag.split_once('=').unwrap_or((flag, ""));
                    flags.push((flag.to_owned(), value.to_owned()));
                }
                (None, Some((_, value))) => {
                    let equals = if value.is_empty() { "" } else { "=" };
                    *value = format!("{value}{equals}{word}");
                }
                (None, None) => {}
            }
        }
        Self { flags, environment: serde_json::from_str(environment).unwrap_or_default() }
    }

    fn values(&self, wanted: &str) -> impl Iterator<Item = &str> {
        self.flags.iter().filter(move |(flag, _)| flag == wanted).map(|(_, value)| value.as_str())
    }

    fn is_on(&self, flag: &str) -> bool {
        self.values(flag).last().is_some_and(|value| value != "false")
    }

    fn is_disabled(&self, part: &str) -> bool {
        self.values("disable").flat_map(|parts| parts.split(',')).any(|one| one.trim() == part)
    }

    /// Whether the API server of this process is given a file for `argument`.
    fn gives_api_server(&self, argument: &str) -> bool {
        let file = |value: &str| {
            let value = value.strip_prefix(argument).and_then(|rest| rest.strip_prefix('='));
            value.is_some_and(|file| !file.is_empty())
        };
        self.values("kube-apiserver-arg").any(file)
    }

    fn has_agent_token(&self) -> bool {
        let is_given = |flag| self.values(flag).any(|value| !value.is_empty());
        let is_set =
            |name| self.environment.get(name).is_some_and(|value: &String| !value.is_empty());
        ["agent-token", "agent-token-file"].into_iter().any(is_given)
            || ["K3S_AGENT_TOKEN", "K3S_AGENT_TOKEN_FILE"].into_iter().any(is_set)
    }

    /// What a server should be told and is not.
    fn missing(&self) -> Vec<&'static str> {
        let wishes = [
            (
                self.is_on("secrets-encryption"),
                "encryption of secrets at rest (secrets-encryption: true)",
            ),
            (self.is_disabled("servicelb"), "the end of servicelb (disable: [servicelb, traefik])"),
            (
                self.has_agent_token(),
                "an agent-token of its own: without it the token that joins agents joins servers too",
            ),
            (
                self.gives_api_server("audit-policy-file"),
                "an audit policy (kube-apiserver-arg: audit-policy-file=…)",
            ),
            (
                self.gives_api_server("admission-control-config-file"),
                "a default level of pod security (kube-apiserver-arg: admission-control-config-file=…)",
            ),
        ];
        wishes.into_iter().filter(|(is_met, _)| !is_met).map(|(_, wish)| wish).collect()
    }
}

/// A taint that somebody set; those of Kubernetes itself come and go with the node's health.
fn keeps_others_away(node: &Node) -> bool {
    let taints = node.spec.iter().filter_map(|spec| spec.taints.as_ref()).flatten();
    let mut ours = taints.filter(|taint| !taint.key.starts_with("node.kubernetes.io/"));
    ours.any(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"))
}

#[cfg(test)]
mod tests;
