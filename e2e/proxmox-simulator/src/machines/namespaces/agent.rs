//! What a K3s agent would do with its files, in terms of the parts that it is made of.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::nocloud::Seed;

const CONFIG: &str = "/etc/rancher/k3s/config.yaml";
/// Files in it are read after the configuration, by name.
const MORE: &str = "/etc/rancher/k3s/config.yaml.d/";
const PASSWORD: &str = "/etc/rancher/node/password";

/// An agent that is to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agent {
    pub(crate) server: String,
    pub(crate) token: Token,
    pub(crate) name: String,
    pub(crate) address: Option<String>,
    /// `key=value:effect`.
    pub(crate) taints: Vec<String>,
    /// `key=value`.
    pub(crate) labels: Vec<String>,
    /// `name=value`, for the kubelet.
    pub(crate) kubelet: Vec<String>,
    pub(crate) password: Option<String>,
}

/// What it joins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// The hash of the authority that it expects.
    pub(crate) authority: Option<String>,
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// Why a seed makes no agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AgentError {
    #[error("there is no {CONFIG}")]
    NoConfig,
    #[error("{0} is no configuration: {1}")]
    Unreadable(String, String),
    #[error("{CONFIG} has no {0}")]
    Missing(&'static str),
    #[error("the token is no bootstrap token: K10<hash>::<id>.<secret>")]
    Token,
    #[error("the server's authority has the hash {found}, the token expects {expected}")]
    Authority { expected: String, found: String },
}

type Keys = BTreeMap<String, Value>;

impl Agent {
    /// Reads what the files of a seed say.
    pub(crate) fn of(seed: &Seed) -> Result<Self, AgentError> {
        let mut keys = parse(CONFIG, &seed.file(CONFIG).ok_or(AgentError::NoConfig)?)?;
        let mut more: Vec<&str> = seed
            .user
            .write_files
            .iter()
            .map(|file| file.path.as_str())
            .filter(|path| path.starts_with(MORE))
            .collect();
        more.sort_unstable();
        for path in more {
            keys.extend(parse(path, &seed.file(path).unwrap_or_default())?);
        }
        let text = |key: &'static str| {
            keys.get(key).and_then(Value::as_str).map(str::to_owned).ok_or(AgentError::Missing(key))
        };
        let password =
            seed.file(PASSWORD).map(|bytes| String::from_utf8_lossy(&bytes).trim().into());
        Ok(Self {
            server: text("server")?.trim_end_matches('/').to_owned(),
            token: Token::parse(&text("token")?)?,
            name: text("node-name").unwrap_or_else(|_| seed.hostname().to_owned()).to_lowercase(),
            address: text("node-ip").ok(),
            taints: list(&keys, "node-taint"),
            labels: list(&keys, "node-label"),
            kubelet: list(&keys, "kubelet-arg"),
            password,
        })
    }

    /// Checks the authority that the server gave against the token.
    pub(crate) fn check_authority(&self, pem: &[u8]) -> Result<(), AgentError> {
        let found = hex::encode(Sha256::digest(pem));
        match &self.token.authority {
            Some(expected) if *expected != found => {
                Err(AgentError::Authority { expected: expected.clone(), found })
            }
            _ => Ok(()),
        }
    }

    /// What the kubelet asks for a certificate with.
    pub(crate) fn bootstrap_kubeconfig(&self, authority: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "host", "cluster": {
                "server": self.server, "certificate-authority": authority,
            }}],
            "users": [{"name": "bootstrap", "user": {
                "token": format!("{}.{}", self.token.id, self.token.secret),
            }}],
            "contexts": [{"name": "host", "context": {"cluster": "host", "user": "bootstrap"}}],
            "current-context": "host",
        })
    }

    /// The kubelet's flags beside those that every machine has.
    pub(crate) fn kubelet_flags(&self) -> Vec<String> {
        let mut flags = vec![format!("--hostname-override={}", self.name)];
        flags.extend(self.address.iter().map(|address| format!("--node-ip={address}")));
        if !self.labels.is_empty() {
            flags.push(format!("--node-labels={}", self.labels.join(",")));
        }
        if !self.taints.is_empty() {
            flags.push(format!("--register-with-taints={}", self.taints.join(",")));
        }
        flags.extend(self.kubelet.iter().map(|argument| {
            if argument.starts_with("--") { argument.clone() } else { format!("--{argument}") }
        }));
        flags
    }
}

impl Token {
    fn parse(text: &str) -> Result<Self, AgentError> {
        let (authority, rest) = match text.strip_prefix("K10") {
            Some(rest) => {
                let (hash, rest) = rest.split_once("::").ok_or(AgentError::Token)?;
                (Some(hash.to_owned()), rest)
            }
            None => (None, text),
        };
        let (id, secret) = rest.split_once('.').ok_or(AgentError::Token)?;
        let is_good = |part: &str, length: usize| {
            part.len() == length
                && part.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
        };
        if !is_good(id, 6) || !is_good(secret, 16) {
            return Err(AgentError::Token);
        }
        Ok(Self { authority, id: id.into(), secret: secret.into() })
    }
}

fn parse(path: &str, bytes: &[u8]) -> Result<Keys, AgentError> {
    serde_saphyr::from_str(&String::from_utf8_lossy(bytes))
        .map_err(|error| AgentError::Unreadable(path.into(), error.to_string()))
}

/// A list, or one text in place of it.
fn list(keys: &Keys, key: &str) -> Vec<String> {
    match keys.get(key) {
        Some(Value::Array(list)) => {
            list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        Some(Value::String(one)) => vec![one.clone()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nocloud::{Meta, UserData, WrittenFile};

    const WHOLE: &str = "\
server: https://25.77.0.11:6443/
token: K10HASH::abcdef.0123456789abcdef
node-name: Acme-1
node-ip: 25.77.0.113
node-taint: [warren.dev/tenant=acme:NoSchedule, \"warren.dev/pending=:NoExecute\"]
node-label: [warren.dev/pool=small]
kubelet-arg:
  - provider-id=proxmox://simulated/100
";

    fn seed(files: &[(&str, &str)]) -> Seed {
        let write_files = files.iter().map(|(path, content)| WrittenFile {
            path: (*path).into(),
            content: (*content).into(),
            ..WrittenFile::default()
        });
        let user = UserData { write_files: write_files.collect(), ..UserData::default() };
        Seed { meta: Meta::default(), network: BTreeMap::new(), user }
    }

    fn agent(config: &str) -> Result<Agent, AgentError> {
        Agent::of(&seed(&[(CONFIG, config), (PASSWORD, "0123\n")]))
    }

    #[test]
    fn a_whole_configuration_is_understood() {
        let agent = agent(WHOLE).expect("is whole");
        assert_eq!(agent.server, "https://25.77.0.11:6443");
        assert_eq!(agent.token.id, "abcdef");
        assert_eq!(agent.token.authority.as_deref(), Some("HASH"));
        assert_eq!(agent.password.as_deref(), Some("0123"));
        let flags = [
            "--hostname-override=acme-1",
            "--node-ip=25.77.0.113",
            "--node-labels=warren.dev/pool=small",
            "--register-with-taints=warren.dev/tenant=acme:NoSchedule,warren.dev/pending=:NoExecute",
            "--provider-id=proxmox://simulated/100",
        ];
        assert_eq!(agent.kubelet_flags(), flags);
        let config = agent.bootstrap_kubeconfig("/ca.crt");
        assert_eq!(config["users"][0]["user"]["token"], "abcdef.0123456789abcdef");
        assert_eq!(config["clusters"][0]["cluster"]["server"], "https://25.77.0.11:6443");
    }

    #[test]
    fn later_files_win_and_one_text_is_a_list() {
        let more = format!("{MORE}10-more.yaml");
        let files = [(CONFIG, WHOLE), (&more, "node-name: other\nkubelet-arg: v=4\n")];
        let agent = Agent::of(&seed(&files)).expect("is whole");
        assert_eq!((agent.name.as_str(), agent.kubelet), ("other", vec!["v=4".to_owned()]));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        assert_eq!(Agent::of(&seed(&[])), Err(AgentError::NoConfig));
        assert_eq!(agent("token: a\n"), Err(AgentError::Missing("server")));
        for wrong in
            ["K10aa::server:password", "K10aa", "abc.def", "K10aa::ABCDEF.0123456789abcdef"]
        {
            let config = format!("server: https://x\ntoken: {wrong}\n");
            assert_eq!(agent(&config), Err(AgentError::Token), "{wrong}");
        }
        assert!(matches!(agent("- a\n"), Err(AgentError::Unreadable(..))));
    }

    #[test]
    fn an_authority_that_the_token_does_not_name_is_refused() {
        let pem = b"-----BEGIN CERTIFICATE-----\n";
        let hash = hex::encode(Sha256::digest(pem));
        let right = agent(&WHOLE.replace("HASH", &hash)).expect("is whole");
        assert_eq!(right.check_authority(pem), Ok(()));
        // A lost line break is another authority.
        assert!(right.check_authority(&pem[..pem.len() - 1]).is_err());
        let unpinned = agent(&WHOLE.replace("K10HASH::", "")).expect("is whole");
        assert_eq!(unpinned.check_authority(b"any"), Ok(()));
    }
}
