//! The server's configuration: a TOML file, and environment variables `WARREN__SECTION__KEY` over it.
//!
//! Unknown keys are refused, so that a misspelt one is not silently without effect. Secrets are paths of
//! files here; only a database's address may hold one, and shows nothing in Debug.

mod proxmox;

pub(crate) use proxmox::Proxmox;

use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer};
use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

/// Everything that `warren serve` can be told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) database: Database,
    pub(crate) secrets: Secrets,
    pub(crate) blobs: Blobs,
    pub(crate) api: Api,
    #[serde(default)]
    pub(crate) portal: Portal,
    pub(crate) metrics: Metrics,
    pub(crate) run_endpoint: RunEndpoint,
    pub(crate) host_cluster: HostCluster,
    pub(crate) images: Images,
    /// Where nodes for tenants are made; without it there are only shared plans.
    pub(crate) proxmox: Option<Proxmox>,
    #[serde(default)]
    pub(crate) provisioner: Provisioner,
    #[serde(default)]
    pub(crate) log: Log,
}

/// The record.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Database {
    /// `sqlite://PATH` or `postgres://…`, which may hold a password.
    #[serde(deserialize_with = "secret")]
    pub(crate) url: SecretString,
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
    String::deserialize(from).map(SecretString::from)
}

/// Encryption of secrets at rest.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Secrets {
    /// Made at first start, readable by its owner only. Without it the database is worth nothing.
    pub(crate) key_file: PathBuf,
}

/// Inputs, logs, results and artifacts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Blobs {
    /// A folder; made when it is not there.
    pub(crate) path: PathBuf,
}

/// The REST API, and on the same port requests to tenants' API servers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Api {
    /// Used unless a socket is inherited (`LISTEN_FDS`, as systemd's socket activation does).
    pub(crate) listen: SocketAddr,
    /// Where the first operator's token is written; printed once if absent.
    pub(crate) bootstrap_token_file: Option<PathBuf>,
    /// Without it somebody else has to end TLS: `kubectl` shows a token to nobody who has no certificate.
    pub(crate) tls: Option<Tls>,
}

/// The pages for people, on the API's port.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Portal {
    /// How browsers reach it, e.g. `https://warren.example.com`: what links begin with that are made without a browser.
    /// If absent, the address that the API listens on.
    pub(crate) url: Option<String>,
    /// Where the link is written with which the first operator makes an account; printed if absent. It is made anew at
    /// each start until somebody has followed one.
    pub(crate) bootstrap_link_file: Option<PathBuf>,
}

/// The API's certificate.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// PEM, the server's own certificate first, then those that lead to an authority.
    pub(crate) certificate_file: PathBuf,
    /// PEM.
    pub(crate) key_file: PathBuf,
    /// Whether connections without TLS are taken on the same port, e.g. from loopback.
    #[serde(default)]
    pub(crate) plaintext: Plaintext,
}

/// What becomes of connections without TLS where there is a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Plaintext {
    /// They are told to use TLS.
    #[default]
    Refused,
    /// They are served.
    Served,
}

/// Prometheus metrics, on a port of their own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metrics {
    pub(crate) listen: SocketAddr,
}

/// Where the runners inside agents' pods report to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunEndpoint {
    pub(crate) listen: SocketAddr,
    /// The address as pods see it; the certificate is made out to it.
    pub(crate) advertise: SocketAddr,
    /// A port that answers anybody and that no tenant's pod may reach: runners test policies with it.
    pub(crate) gate_listen: SocketAddr,
    pub(crate) gate_advertise: SocketAddr,
}

/// The K3s cluster that holds the tenants' virtual clusters.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostCluster {
    /// Absent when Warren runs as a pod of the host cluster.
    pub(crate) kubeconfig: Option<PathBuf>,
    pub(crate) reach: Reach,
    /// The host's service range, which the tenants' clusters share.
    pub(crate) service_cidr: IpNet,
    /// Storage class of the tenants' stores; the host's default class if absent.
    pub(crate) storage_class: Option<String>,
    /// Addresses that tenants must not reach, besides all private ranges, the nodes and the API servers, which
    /// the host names itself: routers, storage and the like.
    #[serde(default)]
    pub(crate) denied_cidrs: Vec<IpNet>,
    /// Addresses from which Warren reaches the tenants' API servers.
    #[serde(default)]
    pub(crate) control_plane_clients: Vec<IpNet>,
    /// Name servers of the nodes with private addresses, which tenants' DNS servers forward to.
    #[serde(default)]
    pub(crate) name_servers: Vec<IpAddr>,
    #[serde(default)]
    pub(crate) user_namespaces: UserNamespaces,
}

/// Whether the host's nodes can give every pod a user namespace of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum UserNamespaces {
    /// They can, and tenants' pods have no choice.
    #[default]
    Forced,
    /// They cannot; only plans that allow this can be used.
    Unavailable,
}

/// How Warren reaches a tenant's API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reach {
    /// Directly; Warren's network knows the host's service addresses.
    ClusterIp,
    /// Through the host's API server.
    PortForward,
}

/// The images of what runs in the host cluster.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Images {
    pub(crate) syncer: String,
    pub(crate) kubernetes: String,
    pub(crate) coredns: String,
    pub(crate) runner: String,
    #[serde(default)]
    pub(crate) kubernetes_delivery: Delivery,
}

/// How the Kubernetes programs get into a control-plane pod.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Delivery {
    /// Mounted from the image: nothing is copied (Kubernetes 1.36, containerd 2.1).
    #[default]
    ImageVolume,
    /// Copied by an init container, as upstream does.
    InitContainer,
}

/// How much is done at once.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Provisioner {
    /// Tenants that are being made at the same time; the others wait.
    pub(crate) tenants_at_once: u32,
    /// Minutes between two looks for what is left over of nodes and nobody needs: 1 to 1440.
    pub(crate) sweep_minutes: u32,
}

impl Provisioner {
    /// Between two looks for what is left over.
    pub(crate) fn sweep_every(&self) -> Duration {
        Duration::from_mins(self.sweep_minutes.into())
    }
}

impl Default for Provisioner {
    fn default() -> Self {
        Self { tenants_at_once: 3, sweep_minutes: 10 }
    }
}

/// What is written to stderr while serving.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    /// Filter directives, e.g. `info,execution=debug`.
    pub(crate) filter: Option<String>,
}

/// One JSON object a line, or text for people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    #[default]
    Json,
    Text,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("read the configuration {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: config::ConfigError,
    },
    #[error("configuration key {key} = {value}: {rule}")]
    Value { key: &'static str, value: String, rule: &'static str },
}

impl Config {
    /// What links to the portal begin with.
    pub(crate) fn portal_url(&self) -> String {
        let scheme = if self.api.tls.is_some() { "https" } else { "http" };
        let listened = || format!("{scheme}://{}", self.api.listen);
        self.portal.url.as_ref().map_or_else(listened, |url| url.trim_end_matches('/').to_owned())
    }

    /// Reads and checks the file, with the environment over it.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let environment = config::Environment::with_prefix("WARREN")
            .prefix_separator("__")
            .separator("__")
            .list_separator(",")
            .with_list_parse_key("host_cluster.denied_cidrs")
            .with_list_parse_key("host_cluster.control_plane_clients")
            .with_list_parse_key("host_cluster.name_servers")
            .with_list_parse_key("proxmox.hosts")
            .with_list_parse_key("proxmox.fingerprints")
            .with_list_parse_key("proxmox.addresses.name_servers")
            .try_parsing(true);
        let config: Self = config::Config::builder()
            .add_source(config::File::from(path).format(config::FileFormat::Toml))
            .add_source(environment)
            .build()
            .and_then(config::Config::try_deserialize)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let url = self.database.url.expose_secret();
        if !["sqlite://", "postgres://", "postgresql://"]
            .iter()
            .any(|scheme| url.starts_with(scheme))
        {
            let scheme = url.split("://").next().unwrap_or_default().to_owned();
            return Err(ConfigError::Value {
                key: "database.url",
                value: format!("{scheme}://…"),
                rule: "starts with sqlite:// or postgres://",
            });
        }
        if self.run_endpoint.advertise.ip().is_unspecified() {
            return Err(ConfigError::Value {
                key: "run_endpoint.advertise",
                value: self.run_endpoint.advertise.to_string(),
                rule: "an address that pods can connect to",
            });
        }
        if self.run_endpoint.advertise == self.run_endpoint.gate_advertise {
            return Err(ConfigError::Value {
                key: "run_endpoint.gate_advertise",
                value: self.run_endpoint.gate_advertise.to_string(),
                rule: "another port than run_endpoint.advertise: tenants may reach one and not the other",
            });
        }
        if self.provisioner.tenants_at_once == 0 {
            return Err(ConfigError::Value {
                key: "provisioner.tenants_at_once",
                value: "0".to_owned(),
                rule: "at least 1",
            });
        }
        if !(1..=1440).contains(&self.provisioner.sweep_minutes) {
            return Err(ConfigError::Value {
                key: "provisioner.sweep_minutes",
                value: self.provisioner.sweep_minutes.to_string(),
                rule: "1 to 1440",
            });
        }
        if let Some(proxmox) = &self.proxmox {
            proxmox.check()?;
        }
        Ok(())
    }
}

/// The API's socket: inherited if there is one, else bound to `listen`.
///
/// # Errors
/// If the inherited descriptor is no TCP socket, or the address cannot be bound.
pub(crate) fn api_listener(listen: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = match listenfd::ListenFd::from_env().take_tcp_listener(0)? {
        Some(inherited) => inherited,
        None => TcpListener::bind(listen)?,
    };
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [database]
        url = "sqlite:///var/lib/warren/warren.db"
        [secrets]
        key_file = "/var/lib/warren/secret.key"
        [blobs]
        path = "/var/lib/warren/blobs"
        [api]
        listen = "127.0.0.1:7080"
        [metrics]
        listen = "127.0.0.1:7081"
        [run_endpoint]
        listen = "0.0.0.0:7443"
        advertise = "192.0.2.1:7443"
        gate_listen = "0.0.0.0:7444"
        gate_advertise = "192.0.2.1:7444"
        [host_cluster]
        reach = "cluster-ip"
        service_cidr = "10.43.0.0/16"
        denied_cidrs = ["192.0.2.0/24"]
        [images]
        syncer = "s"
        kubernetes = "k"
        coredns = "c"
        runner = "r"
    "#;

    fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = folder.path().join("warren.toml");
        std::fs::write(&path, text).map_err(|error| error.to_string())?;
        Config::load(&path).map_err(|error| match error {
            ConfigError::Read { source, .. } => source.to_string(),
            ConfigError::Value { .. } => error.to_string(),
        })
    }

    #[test]
    fn a_complete_file_is_accepted_and_defaults_are_filled_in() {
        let config = load(GOOD).expect("the file is good");
        assert_eq!(config.provisioner.tenants_at_once, 3);
        assert_eq!(config.images.kubernetes_delivery, Delivery::ImageVolume);
    }

    #[test]
    fn the_section_that_people_are_shown_is_a_good_one() {
        let shown = include_str!("../../../templates/host/proxmox.toml");
        let config = load(&format!("{GOOD}{shown}")).expect("it is good");
        let proxmox = config.proxmox.expect("the section is there");
        assert!(proxmox.templates.len() == 2 && proxmox.addresses.is_some());
    }

    #[test]
    fn templates_are_told_by_their_numbers_or_by_their_tag() {
        let shown = include_str!("../../../templates/host/proxmox.toml");
        let tagged = |shown: &str| {
            load(&format!("{GOOD}{shown}").replace("bridge =", "template_tag = \"node\"\nbridge ="))
        };
        let error = tagged(shown).unwrap_err();
        assert!(error.contains("proxmox.template_tag"), "{error}");
        let numbers = "[proxmox.templates]\npve1 = 8001\npve2 = 8002\n";
        let without = shown.replace(numbers, "");
        let proxmox = tagged(&without).expect("one of them is enough").proxmox;
        assert_eq!(proxmox.and_then(|proxmox| proxmox.template_tag).as_deref(), Some("node"));
        let error = load(&format!("{GOOD}{without}")).unwrap_err();
        assert!(error.contains("proxmox.templates"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error =
            load(&GOOD.replace("listen = \"127.0.0.1:7081\"", "listne = \"127.0.0.1:7081\""))
                .unwrap_err();
        assert!(error.contains("listne"), "{error}");
    }

    #[test]
    fn a_database_of_another_kind_is_refused_without_repeating_its_password() {
        let error =
            load(&GOOD.replace("sqlite:///var/lib/warren/warren.db", "mysql://u:secret@h/d"))
                .unwrap_err();
        assert!(error.contains("database.url") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn the_password_of_a_database_is_not_shown() {
        let url = "postgres://warren:hunter2@db.example/warren";
        let config = load(&GOOD.replace("sqlite:///var/lib/warren/warren.db", url));
        let config = config.expect("the file is good");
        assert_eq!(config.database.url.expose_secret(), url);
        assert!(!format!("{config:?} {config:#?}").contains("hunter2"));
    }

    #[test]
    fn a_port_with_a_certificate_refuses_plain_text_unless_it_is_told_to_serve_it() {
        let section = "[api.tls]\ncertificate_file = \"a.crt\"\nkey_file = \"a.key\"\n";
        let tls = |text: &str| load(&format!("{GOOD}{section}{text}")).map(|config| config.api.tls);
        let plaintext = |text| tls(text).ok().flatten().map(|tls| tls.plaintext);
        assert_eq!(plaintext(""), Some(Plaintext::Refused));
        assert_eq!(plaintext("plaintext = \"served\""), Some(Plaintext::Served));
        assert!(tls("plaintext = true").is_err());
    }

    #[test]
    fn the_gate_cannot_be_the_run_endpoint() {
        let error = load(&GOOD.replace("192.0.2.1:7444", "192.0.2.1:7443")).unwrap_err();
        assert!(error.contains("gate_advertise"), "{error}");
    }
}
