use super::ConfigError;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
    path::PathBuf,
    str::FromStr,
};

/// A cluster of Proxmox VE on which nodes for tenants are made.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proxmox {
    /// API hosts of the cluster, the one to begin with first, e.g. `https://pve1.example:8006`.
    pub(crate) hosts: Vec<String>,
    /// The full name of the API token, e.g. `warren@pve!control`.
    pub(crate) token_id: String,
    /// A file with its secret.
    pub(crate) token_file: PathBuf,
    /// The certificate of the cluster's authority; the system's authorities are asked if neither this nor
    /// fingerprints are given.
    pub(crate) ca_file: Option<PathBuf>,
    /// SHA-256 fingerprints of the hosts' certificates, as the cluster shows them.
    #[serde(default)]
    pub(crate) fingerprints: Vec<String>,
    /// The pool of all machines.
    pub(crate) pool: String,
    /// The template on each node that machines are made on.
    #[serde(default)]
    pub(crate) templates: BTreeMap<String, u32>,
    /// Instead of them: the tag of templates; of several on a node the one with the highest number is meant.
    pub(crate) template_tag: Option<String>,
    /// Where machines have their disks; beside the template's, as its linked clones, if absent.
    pub(crate) storage: Option<String>,
    /// Where the images are put that machines read at their first start.
    pub(crate) seed_storage: String,
    /// The bridge of their network card.
    pub(crate) bridge: String,
    /// The VLAN of their network card.
    pub(crate) vlan: Option<u16>,
    /// The numbers that are Warren's to give, e.g. `9000-9999`.
    pub(crate) vms: String,
    /// Clones that may be under way at the same time on one storage; a storage that nodes do not share is one for each.
    #[serde(default = "clones_at_once")]
    pub(crate) clones_at_once: usize,
    /// Where the host cluster's servers take new nodes, e.g. `https://10.0.0.1:6443`.
    pub(crate) join_server: String,
    /// The host cluster's own nodes: whoever else wants to register as a node has to be a machine that Warren made.
    #[serde(default)]
    pub(crate) own_nodes: Vec<String>,
    /// Their addresses; absent where they ask for one.
    pub(crate) addresses: Option<Addresses>,
}

/// Addresses for machines.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Addresses {
    /// Those that are Warren's to give, e.g. `10.0.0.100-10.0.0.199`.
    pub(crate) range: String,
    /// How many bits of them name their network.
    pub(crate) prefix: u8,
    pub(crate) gateway: Ipv4Addr,
    #[serde(default)]
    pub(crate) name_servers: Vec<IpAddr>,
}

/// A storage takes a few clones at the same time, and the others time out.
const fn clones_at_once() -> usize {
    3
}

/// Reads `FIRST-LAST`.
fn range<T: FromStr + PartialOrd>(
    key: &'static str,
    text: &str,
    rule: &'static str,
) -> Result<RangeInclusive<T>, ConfigError> {
    let ends = text
        .split_once('-')
        .and_then(|(first, last)| Some((first.trim().parse().ok()?, last.trim().parse().ok()?)));
    match ends {
        Some((first, last)) if first <= last => Ok(first..=last),
        Some(_) | None => Err(ConfigError::Value { key, value: text.to_owned(), rule }),
    }
}

impl Proxmox {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key, value: &dyn ToString, rule| {
            Err(ConfigError::Value { key, value: value.to_string(), rule })
        };
        self.vms()?;
        if self.hosts.is_empty() {
            return refuse("proxmox.hosts", &"[]", "at least one API host");
        }
        if self.ca_file.is_some() && !self.fingerprints.is_empty() {
            let rule = "either this or proxmox.ca_file: one of them decides whom to trust";
            return refuse("proxmox.fingerprints", &self.fingerprints.join(", "), rule);
        }
        match &self.template_tag {
            None if self.templates.is_empty() => {
                let rule = "a template for at least one node, or proxmox.template_tag";
                return refuse("proxmox.templates", &"{}", rule);
            }
            Some(tag) if !self.templates.is_empty() => {
                let rule = "either this or proxmox.templates: one of them says what machines are copies of";
                return refuse("proxmox.template_tag", tag, rule);
            }
            None | Some(_) => {}
        }
        if self.clones_at_once == 0 {
            return refuse("proxmox.clones_at_once", &0, "at least 1");
        }
        if let Some(addresses) = &self.addresses {
            addresses.range()?;
            if addresses.prefix > 32 {
                return refuse("proxmox.addresses.prefix", &addresses.prefix, "at most 32");
            }
        }
        Ok(())
    }

    /// The numbers that are Warren's to give.
    pub(crate) fn vms(&self) -> Result<RangeInclusive<u32>, ConfigError> {
        const RULE: &str = "FIRST-LAST, both from 100 to 999999999";
        let key = "proxmox.vms";
        let range: RangeInclusive<u32> = range(key, &self.vms, RULE)?;
        if *range.start() < 100 || *range.end() > 999_999_999 {
            return Err(ConfigError::Value { key, value: self.vms.clone(), rule: RULE });
        }
        Ok(range)
    }
}

impl Addresses {
    /// The addresses that are Warren's to give.
    pub(crate) fn range(&self) -> Result<RangeInclusive<Ipv4Addr>, ConfigError> {
        range("proxmox.addresses.range", &self.range, "FIRST-LAST, both IPv4 addresses")
    }
}
