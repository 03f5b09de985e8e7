use super::Templates;
use planning::machine::Network;
use proxmox_client::{Bridge, PoolId, StorageId};
use std::{
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
};

/// How machines are made.
#[derive(Debug, Clone)]
pub struct MachineSettings {
    /// Names this Warren in the descriptions of its machines: what carries another name is never touched.
    pub installation: String,
    /// The pool of all machines; the token's rights hang on it.
    pub pool: PoolId,
    /// What they are copies of.
    pub templates: Templates,
    /// Where their disks are; nothing leaves them with their template, as its linked clones.
    pub storage: Option<StorageId>,
    /// Where the image is put that a machine reads at its first start.
    pub seed_storage: StorageId,
    /// The bridge of their network card.
    pub bridge: Bridge,
    /// The VLAN of their network card.
    pub vlan: Option<u16>,
    /// Their numbers.
    pub vms: RangeInclusive<u32>,
    /// Their addresses; nothing lets them ask for one.
    pub addresses: Option<Addresses>,
    /// Clones that may be under way at the same time on one storage; each node's part of one that is not shared counts by
    /// itself.
    pub clones_at_once: usize,
    /// Where the host's servers take new nodes, e.g. `https://10.0.0.1:6443`.
    pub server: String,
}

/// Addresses for machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// Those that are Warren's to give.
    pub range: RangeInclusive<Ipv4Addr>,
    /// How many bits of them name their network.
    pub prefix: u8,
    /// Where everything else is.
    pub gateway: Ipv4Addr,
    /// Who knows names.
    pub name_servers: Vec<IpAddr>,
}

impl MachineSettings {
    /// The network of a machine; nothing if its address is not reserved yet.
    pub(super) fn network(&self, address: Option<Ipv4Addr>) -> Option<Network> {
        let Some(addresses) = &self.addresses else { return Some(Network::Dhcp) };
        let Addresses { prefix, gateway, name_servers, .. } = addresses;
        Some(Network::Static {
            address: address?,
            prefix: *prefix,
            gateway: *gateway,
            name_servers: name_servers.clone(),
        })
    }
}
