//! Storages and their volumes.

use serde::{Deserialize, Serialize};

use super::World;
use crate::failure::Failure;
use crate::params::size_text;

/// A storage as the whole cluster knows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Storage {
    pub(crate) kind: String,
    pub(crate) is_shared: bool,
    pub(crate) content: Vec<String>,
    pub(crate) size: u64,
    /// Empty means all.
    pub(crate) nodes: Vec<String>,
    /// Filled by somebody else.
    pub(crate) foreign: u64,
    /// Its server or its disks are away.
    #[serde(default)]
    pub(crate) is_offline: bool,
}

/// What lies on a storage: a disk, an image of a CD.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Volume {
    pub(crate) storage: String,
    /// `None` on a shared storage.
    pub(crate) node: Option<String>,
    /// What follows the storage and the colon.
    pub(crate) name: String,
    pub(crate) vm: Option<u32>,
    pub(crate) size: u64,
    pub(crate) used: u64,
    pub(crate) format: String,
    pub(crate) content: String,
    /// The volume that this one is a layer on.
    pub(crate) parent: Option<String>,
    pub(crate) made_s: u64,
}

impl Volume {
    pub(crate) fn id(&self) -> String {
        format!("{}:{}", self.storage, self.name)
    }

    pub(crate) fn is_on(&self, node: &str) -> bool {
        self.node.as_deref().is_none_or(|own| own == node)
    }
}

impl Storage {
    pub(crate) fn is_on(&self, node: &str) -> bool {
        self.nodes.is_empty() || self.nodes.iter().any(|name| name == node)
    }

    pub(crate) fn holds(&self, content: &str) -> bool {
        self.content.iter().any(|known| known == content)
    }

    /// Whether volumes are files with a folder for each VM.
    fn has_files(&self) -> bool {
        matches!(self.kind.as_str(), "dir" | "nfs" | "cephfs")
    }

    pub(crate) fn can_link(&self) -> bool {
        self.kind != "lvm"
    }

    /// Whether the whole size of a disk is taken when it is made.
    pub(crate) fn is_thick(&self) -> bool {
        self.kind == "lvm"
    }

    pub(crate) fn format(&self) -> &'static str {
        if self.has_files() { "qcow2" } else { "raw" }
    }

    /// The name of a volume of a VM, such as `vm-100-disk-0`.
    pub(crate) fn name(&self, vm: u32, stem: &str) -> String {
        if self.has_files() { format!("{vm}/{stem}.{}", self.format()) } else { stem.to_owned() }
    }

    /// The name of a layer on another volume.
    fn layer_name(&self, parent: &str, vm: u32, stem: &str) -> String {
        let own = self.name(vm, stem);
        if self.kind == "lvmthin" { own } else { format!("{parent}/{own}") }
    }
}

impl World {
    /// A storage that a node has.
    pub(crate) fn storage(&self, node: &str, name: &str) -> Result<&Storage, Failure> {
        let storage = self
            .storages
            .get(name)
            .ok_or_else(|| Failure::internal(format!("storage '{name}' does not exist")))?;
        if storage.is_on(node) {
            return Ok(storage);
        }
        Err(Failure::internal(format!("storage '{name}' is not available on node '{node}'")))
    }

    /// Bytes that are taken, as a node sees them.
    pub(crate) fn used(&self, node: &str, storage: &str) -> u64 {
        let own = self.volumes.iter().filter(|volume| volume.storage == storage);
        let own: u64 = own.filter(|volume| volume.is_on(node)).map(|volume| volume.used).sum();
        own + self.storages.get(storage).map_or(0, |storage| storage.foreign)
    }

    pub(crate) fn volume(&self, node: &str, id: &str) -> Option<&Volume> {
        self.volumes.iter().find(|volume| volume.id() == id && volume.is_on(node))
    }

    /// Volumes that are named after a VM, wherever they lie.
    pub(crate) fn volumes_of(&self, vm: u32) -> impl Iterator<Item = &Volume> {
        self.volumes.iter().filter(move |volume| volume.vm == Some(vm))
    }

    /// Makes a volume for a VM, and says which. `stem` is `disk` or `cloudinit`.
    pub(crate) fn allocate(&mut self, wish: &Wish<'_>) -> Result<String, String> {
        let Wish { node, storage: name, vm, size, stem, parent, now_s } = *wish;
        let storage = self.storage(node, name).map_err(|failure| failure.reason)?.clone();
        if storage.is_offline {
            return Err(format!("storage '{name}' is not online"));
        }
        if !storage.holds("images") {
            return Err(format!("storage '{name}' does not support content-type 'images'"));
        }
        let used = if parent.is_some() { 0 } else { size };
        if self.used(node, name) + used > storage.size {
            return Err(format!("unable to allocate image on '{name}': No space left on device"));
        }
        let is_taken = |stem: &str| {
            let same = |volume: &&Volume| volume.storage == name && volume.is_on(node);
            let named = |volume: &Volume| {
                let last = volume.name.rsplit('/').next().unwrap_or_default();
                last.split('.').next() == Some(stem)
            };
            self.volumes.iter().filter(same).any(named)
        };
        let stem = match stem {
            "cloudinit" => format!("vm-{vm}-cloudinit"),
            _ => (0..1000)
                .map(|number| format!("vm-{vm}-{stem}-{number}"))
                .find(|stem| !is_taken(stem))
                .unwrap_or_default(),
        };
        let file = match parent {
            Some(parent) => {
                let parent = parent.split_once(':').map_or(parent, |(_, name)| name);
                storage.layer_name(parent, vm, &stem)
            }
            None => storage.name(vm, &stem),
        };
        let volume = Volume {
            storage: name.into(),
            node: (!storage.is_shared).then(|| node.into()),
            name: file,
            vm: Some(vm),
            size,
            used,
            format: storage.format().into(),
            content: "images".into(),
            parent: parent.map(str::to_owned),
            made_s: now_s,
        };
        let id = volume.id();
        if self.volume(node, &id).is_some() {
            return Err(format!("volume '{id}' already exists"));
        }
        self.volumes.push(volume);
        Ok(id)
    }

    /// Removes a volume. One that others are layers on stays.
    pub(crate) fn free(&mut self, node: &str, id: &str) -> Result<(), String> {
        let Some(at) =
            self.volumes.iter().position(|volume| volume.id() == id && volume.is_on(node))
        else {
            return Err(format!("volume '{id}' does not exist"));
        };
        let is_parent = |volume: &Volume| volume.parent.as_deref() == Some(id);
        if self.volumes.iter().any(is_parent) {
            return Err(format!("base volume '{id}' is still in use by linked clones"));
        }
        self.volumes.remove(at);
        Ok(())
    }
}

/// A volume that is to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub(crate) node: &'a str,
    pub(crate) storage: &'a str,
    pub(crate) vm: u32,
    pub(crate) size: u64,
    pub(crate) stem: &'a str,
    pub(crate) parent: Option<&'a str>,
    pub(crate) now_s: u64,
}

/// A drive's property string for a volume.
pub(crate) fn drive_text(volume: &str, size: u64, rest: &[(String, String)]) -> String {
    let kept = rest.iter().filter(|(key, _)| key != "size" && key != "file");
    let kept = kept.map(|(key, value)| format!("{key}={value}"));
    let size = format!("size={}", size_text(size));
    std::iter::once(volume.to_owned()).chain(kept).chain([size]).collect::<Vec<_>>().join(",")
}
