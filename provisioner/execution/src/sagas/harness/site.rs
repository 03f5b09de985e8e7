//! The simulated cluster of Proxmox VE that a history happens on, and what of it Warren may use.

use super::{
    it::grants::{SECRET, USER, entries, rights},
    world::NUMBER,
};
use crate::{Addresses, MachineSettings, Templates};
use proxmox_client::{Tag, VmId};
use proxmox_simulator::{
    Config, NodeConfig, StorageConfig, TemplateConfig, Times, TokenConfig, UserConfig,
};
use std::net::Ipv4Addr;

/// A node of Proxmox VE and its template.
type Place = (&'static str, u32);

/// Where other people's machines are made, and of which template.
pub(super) const ELSEWHERE: Place = ("pve3", 9003);
/// The first address of machines.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 101);

#[derive(Debug, Clone)]
pub(super) struct Site {
    /// Where Warren makes machines.
    pub(super) places: Vec<Place>,
    /// How many numbers are Warren's to give, two of which are other people's by now.
    pub(super) numbers: u32,
    /// How many addresses are.
    pub(super) addresses: u32,
    /// Of each node, in GiB.
    pub(super) memory_gib: u64,
    pub(super) storage: Storage,
    pub(super) clones_at_once: usize,
    /// The tag of the templates, if that is all that Warren is told of them.
    pub(super) tag: Option<&'static str>,
    pub(super) times: Times,
    /// What Warren's token may do beyond what it has to.
    pub(super) more: Vec<(&'static str, &'static str)>,
}

/// What machines' disks are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Storage {
    /// Each node's own, with layers on the template's.
    Thin,
    /// Each node's own, with whole copies that take their whole size at once.
    Thick,
    /// One of all nodes, with layers on the template's.
    Shared,
}

impl Default for Site {
    fn default() -> Self {
        Self {
            places: vec![("pve1", 9001), ("pve2", 9002)],
            numbers: 11,
            addresses: 8,
            memory_gib: 64,
            storage: Storage::Thin,
            clones_at_once: 2,
            tag: None,
            times: Times::default(),
            more: Vec::new(),
        }
    }
}

impl Site {
    /// What Warren is configured with.
    pub(super) fn settings(&self) -> MachineSettings {
        let templates = self.places.iter().map(|(place, template)| {
            (place.parse().expect("a name"), VmId::new(*template).expect("a number"))
        });
        let last = Ipv4Addr::from_bits(FIRST.to_bits() + self.addresses - 1);
        MachineSettings {
            installation: "test".to_owned(),
            pool: "warren".parse().expect("a name"),
            templates: match self.tag {
                Some(tag) => Templates::Tagged(Tag::new(tag).expect("a tag")),
                None => Templates::Named(templates.collect()),
            },
            storage: (self.storage == Storage::Thick).then(|| "local-lvm".parse().expect("a name")),
            seed_storage: "local".parse().expect("a name"),
            bridge: "vmbr0".parse().expect("a name"),
            vlan: None,
            vms: NUMBER - 1..=NUMBER + self.numbers - 2,
            addresses: Some(Addresses {
                range: FIRST..=last,
                prefix: 24,
                gateway: Ipv4Addr::new(10, 0, 0, 1),
                name_servers: vec![Ipv4Addr::new(10, 0, 0, 1).into()],
            }),
            clones_at_once: self.clones_at_once,
            server: "https://10.0.0.11:6443".to_owned(),
        }
    }

    /// What is simulated.
    pub(super) fn cluster(&self, seed: u64) -> Config {
        let more = self.more.iter().map(|(path, role)| ((*path).to_owned(), (*role).to_owned()));
        let needed = rights(self.places.iter().map(|(_, template)| *template));
        let mut places = self.places.clone();
        places.extend((!places.contains(&ELSEWHERE)).then_some(ELSEWHERE));
        let taken = (places[0].0, NUMBER - 1);
        let templates = places.iter().chain([&taken]);
        let memory_mib = self.memory_gib << 10;
        let (kind, is_shared) = match self.storage {
            Storage::Thin => ("lvmthin", false),
            Storage::Thick => ("lvm", false),
            Storage::Shared => ("rbd", true),
        };
        let disks = StorageConfig { is_shared, ..storage("local-lvm", kind, "images", 4000) };
        let node = |place| NodeConfig { memory_mib, ..NodeConfig::named(place) };
        Config {
            nodes: places.iter().map(|(place, _)| node(place)).collect(),
            storages: vec![storage("local", "dir", "iso", 100), disks],
            templates: templates.map(|(place, id)| template(*id, place, self.tag)).collect(),
            pools: vec!["warren".to_owned()],
            users: vec![user("root@pam", "test", false), user(USER, "control", true)],
            entries: entries(needed.into_iter().chain(more)),
            times: self.times,
            seed,
            ..Config::default()
        }
    }
}

fn template(id: u32, node: &str, tag: Option<&str>) -> TemplateConfig {
    TemplateConfig {
        id,
        name: format!("template-{id}"),
        node: node.to_owned(),
        storage: "local-lvm".to_owned(),
        disk_gib: 4,
        pool: None,
        tags: tag.unwrap_or_default().to_owned(),
        has_cloudinit: false,
    }
}

fn storage(name: &str, kind: &str, content: &str, size_gib: u64) -> StorageConfig {
    StorageConfig {
        name: name.to_owned(),
        kind: kind.to_owned(),
        is_shared: false,
        content: vec![content.to_owned()],
        size_gib,
        nodes: Vec::new(),
    }
}

fn user(name: &str, token: &str, is_separate: bool) -> UserConfig {
    UserConfig {
        name: name.to_owned(),
        password: None,
        tokens: vec![TokenConfig { id: token.to_owned(), secret: SECRET.to_owned(), is_separate }],
    }
}
