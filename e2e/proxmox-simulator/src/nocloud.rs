//! What a machine finds on its CD at its first start: the files of cloud-init's `NoCloud` source.

use std::collections::BTreeMap;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::iso::{Disc, IsoError};

/// The name that the volume must have.
const LABEL: &str = "cidata";

/// A seed: who the machine is, its network, and what it is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    pub meta: Meta,
    /// By the names of the configuration.
    pub network: BTreeMap<String, Ethernet>,
    pub user: UserData,
}

/// The file `meta-data`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Meta {
    pub instance_id: String,
    #[serde(default)]
    pub local_hostname: Option<String>,
}

/// A network card of the file `network-config`, version 2.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ethernet {
    #[serde(rename = "match", default)]
    pub matches: Match,
    #[serde(rename = "set-name", default)]
    pub name: Option<String>,
    /// With their prefixes.
    #[serde(default)]
    pub addresses: Vec<String>,
    #[serde(default)]
    pub gateway4: Option<String>,
    #[serde(default)]
    pub routes: Vec<Route>,
    #[serde(default)]
    pub nameservers: Nameservers,
    #[serde(default)]
    pub mtu: Option<u32>,
}

/// Which card is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    #[serde(default)]
    pub macaddress: Option<String>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub to: String,
    pub via: String,
}

/// Whom to ask for names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nameservers {
    #[serde(default)]
    pub addresses: Vec<String>,
    #[serde(default)]
    pub search: Vec<String>,
}

/// What is done of the file `user-data`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserData {
    #[serde(default)]
    pub write_files: Vec<WrittenFile>,
    #[serde(default)]
    pub runcmd: Vec<Command>,
    #[serde(default)]
    pub hostname: Option<String>,
}

/// A file that is to be written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenFile {
    pub path: String,
    #[serde(default)]
    pub content: String,
    #[serde(default)]
    pub permissions: Option<String>,
    #[serde(default)]
    pub encoding: Option<String>,
}

/// A command: a line for a shell, or words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Command {
    Line(String),
    Words(Vec<String>),
}

/// Why a CD is no seed.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    #[error("the CD")]
    Iso(#[from] IsoError),
    #[error("the volume is called {0}, not {LABEL}")]
    Label(String),
    #[error("there is no file {0}")]
    Missing(&'static str),
    #[error("the file {name}: {text}")]
    Unreadable { name: &'static str, text: String },
    #[error("user-data does not begin with #cloud-config")]
    Header,
}

#[derive(Deserialize)]
struct NetworkFile {
    #[serde(default)]
    network: Option<NetworkBody>,
    #[serde(flatten)]
    own: NetworkBody,
}

#[derive(Default, Deserialize)]
struct NetworkBody {
    #[serde(default)]
    version: u32,
    #[serde(default)]
    ethernets: BTreeMap<String, Ethernet>,
}

impl Seed {
    /// Reads the image of a CD.
    ///
    /// # Errors
    /// If it is none, or no seed.
    pub fn read(image: &[u8]) -> Result<Self, SeedError> {
        let disc = Disc::read(image)?;
        if !disc.label.eq_ignore_ascii_case(LABEL) {
            return Err(SeedError::Label(disc.label));
        }
        let text = |name: &'static str| {
            let bytes = disc.files.get(name).ok_or(SeedError::Missing(name))?;
            Ok::<_, SeedError>(String::from_utf8_lossy(bytes).into_owned())
        };
        let meta: Meta = parse("meta-data", &text("meta-data")?)?;
        let user = text("user-data")?;
        if !user.starts_with("#cloud-config") {
            return Err(SeedError::Header);
        }
        let network = if disc.files.contains_key("network-config") {
            let file: NetworkFile = parse("network-config", &text("network-config")?)?;
            let body = file.network.unwrap_or(file.own);
            if body.version != 2 {
                let text = format!("version {} is not understood here", body.version);
                return Err(SeedError::Unreadable { name: "network-config", text });
            }
            body.ethernets
        } else {
            BTreeMap::new()
        };
        Ok(Self { meta, network, user: parse("user-data", &user)? })
    }

    /// The configuration of the card with this hardware address.
    #[must_use]
    pub fn card(&self, mac: &str) -> Option<&Ethernet> {
        self.network.values().find(|card| {
            card.matches.macaddress.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(mac))
        })
    }

    /// The addresses of the card with this hardware address.
    #[must_use]
    pub fn addresses(&self, mac: &str) -> Option<Vec<(IpAddr, u8)>> {
        let parse = |text: &String| {
            let (address, prefix) = text.split_once('/')?;
            Some((address.parse().ok()?, prefix.parse().ok()?))
        };
        Some(self.card(mac)?.addresses.iter().filter_map(parse).collect())
    }

    /// What the machine calls itself.
    #[must_use]
    pub fn hostname(&self) -> &str {
        let given = self.user.hostname.as_deref().or(self.meta.local_hostname.as_deref());
        given.unwrap_or("localhost")
    }

    /// The content of a file that is to be written.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<Vec<u8>> {
        self.user
            .write_files
            .iter()
            .rev()
            .find(|file| file.path == path)
            .and_then(WrittenFile::bytes)
    }
}

impl WrittenFile {
    /// What stands in it; nothing if its encoding is not known here.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match self.encoding.as_deref() {
            None | Some("text/plain") => Some(self.content.clone().into_bytes()),
            Some("b64" | "base64") => {
                let text: String = self.content.chars().filter(|c| !c.is_whitespace()).collect();
                STANDARD.decode(text).ok()
            }
            Some(_) => None,
        }
    }

    /// Its mode.
    #[must_use]
    pub fn mode(&self) -> u32 {
        let digits = self.permissions.as_deref().map(|text| text.trim_start_matches("0o"));
        digits.and_then(|digits| u32::from_str_radix(digits, 8).ok()).unwrap_or(0o644)
    }
}

fn parse<T: serde::de::DeserializeOwned>(name: &'static str, text: &str) -> Result<T, SeedError> {
    serde_saphyr::from_str(text)
        .map_err(|error| SeedError::Unreadable { name, text: error.to_string() })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::image::{Names, image};

    pub(crate) const META: &str = "instance-id: warren-1\nlocal-hostname: acme-1\n";
    pub(crate) const NETWORK: &str = "\
version: 2
ethernets:
  net0:
    match:
      macaddress: \"bc:24:11:00:00:01\"
    addresses: [25.77.0.113/24]
    routes:
      - to: default
        via: 25.77.0.1
    nameservers:
      addresses: [25.77.0.1]
";
    pub(crate) const USER: &str = "\
#cloud-config
package_update: false
write_files:
  - path: /etc/rancher/k3s/config.yaml
    permissions: \"0600\"
    content: |
      server: https://25.77.0.11:6443
      token: K10aa::abcdef.0123456789abcdef
      node-name: acme-1
  - path: /etc/rancher/node/password
    permissions: \"0600\"
    encoding: b64
    content: c2VjcmV0
runcmd:
  - [systemctl, start, --no-block, k3s-agent]
  - echo done
";

    #[test]
    fn a_seed_is_read_whole() {
        let files = [("meta-data", META), ("network-config", NETWORK), ("user-data", USER)];
        let seed = Seed::read(&image("cidata", &files, Names::RockRidge)).expect("is a seed");
        assert_eq!(seed.meta.instance_id, "warren-1");
        assert_eq!(seed.hostname(), "acme-1");
        let addresses = seed.addresses("BC:24:11:00:00:01").expect("matches");
        assert_eq!(addresses, [(IpAddr::from([25, 77, 0, 113]), 24)]);
        assert_eq!(seed.addresses("BC:24:11:00:00:02"), None);
        assert_eq!(seed.file("/etc/rancher/node/password").as_deref(), Some(&b"secret"[..]));
        assert_eq!(seed.user.write_files[0].mode(), 0o600);
        assert_eq!(seed.user.runcmd[1], Command::Line("echo done".into()));
    }

    #[test]
    fn a_network_below_a_key_of_its_own_is_the_same() {
        let nested = format!("network:\n  {}\n", NETWORK.trim_end().replace('\n', "\n  "));
        let files = [("meta-data", META), ("network-config", &*nested), ("user-data", USER)];
        let seed = Seed::read(&image("CIDATA", &files, Names::Joliet)).expect("is a seed");
        assert!(seed.card("bc:24:11:00:00:01").is_some());
    }

    #[test]
    fn another_cd_is_no_seed() {
        let files = [("meta-data", META), ("user-data", USER)];
        let wrong = Seed::read(&image("debian", &files, Names::Joliet)).expect_err("is none");
        assert!(matches!(wrong, SeedError::Label(_)));
        let files = [("meta-data", META), ("user-data", "users: []\n")];
        let wrong = Seed::read(&image("cidata", &files, Names::Joliet)).expect_err("is none");
        assert!(matches!(wrong, SeedError::Header));
        let wrong = Seed::read(&image("cidata", &[("meta-data", META)], Names::Joliet));
        assert!(matches!(wrong.expect_err("is none"), SeedError::Missing("user-data")));
    }
}
