use crate::{
    Begun, Client, Error, FileName, NodeName, StorageId, Task, VmId, VolumeId,
    form::Form,
    request::{self, File, Request},
    scalar,
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::path::Path;

/// One storage as one node sees it. Cheap to copy.
#[derive(Debug, Clone)]
pub struct Storage {
    client: Client,
    node: NodeName,
    id: StorageId,
}

/// A storage as a node lists it. Sizes are in bytes.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct StorageEntry {
    /// Its name.
    #[serde(rename = "storage", deserialize_with = "scalar::parsed")]
    pub id: StorageId,
    /// How it stores, e.g. `dir`, `lvmthin`, `zfspool`, `rbd`.
    #[serde(default, rename = "type", deserialize_with = "scalar::text")]
    pub kind: String,
    #[serde(default, deserialize_with = "scalar::text")]
    content: String,
    /// Whether it can be used now.
    #[serde(default, rename = "active", deserialize_with = "scalar::flag")]
    pub is_active: bool,
    /// Whether it is switched on.
    #[serde(default, rename = "enabled", deserialize_with = "scalar::flag")]
    pub is_enabled: bool,
    /// Whether it is the same on every node.
    #[serde(default, rename = "shared", deserialize_with = "scalar::flag")]
    pub is_shared: bool,
    /// All space.
    #[serde(default, deserialize_with = "scalar::maybe_whole")]
    pub total: Option<u64>,
    /// Space in use.
    #[serde(default, deserialize_with = "scalar::maybe_whole")]
    pub used: Option<u64>,
    /// Space that is left.
    #[serde(default, rename = "avail", deserialize_with = "scalar::maybe_whole")]
    pub available: Option<u64>,
}

/// What a volume is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentKind {
    /// Disks of VMs.
    Images,
    /// Images for CD-ROM drives.
    Iso,
    /// Files for cloud-init; they cannot be uploaded by the API.
    Snippets,
    /// Backups.
    Backup,
    /// Images to make disks from, from 8.2 on.
    Import,
}

/// A volume.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct ContentEntry {
    /// Its name.
    #[serde(rename = "volid", deserialize_with = "scalar::parsed")]
    pub volume: VolumeId,
    /// What it is for, e.g. `images` or `iso`.
    #[serde(default, rename = "content", deserialize_with = "scalar::text")]
    pub kind: String,
    /// E.g. `qcow2`, `raw`, `iso`.
    #[serde(default, deserialize_with = "scalar::text")]
    pub format: String,
    /// How large it is to its user, in bytes.
    #[serde(default, deserialize_with = "scalar::maybe_whole")]
    pub size: Option<u64>,
    /// The VM that it belongs to; that VM may be gone.
    #[serde(default, rename = "vmid", deserialize_with = "scalar::maybe_parsed")]
    pub vm: Option<VmId>,
    /// When it was made, in seconds of Unix time.
    #[serde(default, rename = "ctime", deserialize_with = "scalar::maybe_whole")]
    pub created: Option<u64>,
    /// The volume that it is a linked clone of.
    #[serde(default, deserialize_with = "scalar::maybe_text")]
    pub parent: Option<String>,
}

impl StorageEntry {
    /// Whether it takes such volumes.
    #[must_use]
    pub fn takes(&self, kind: ContentKind) -> bool {
        self.content.split(',').any(|word| word.trim() == kind.word())
    }
}

impl ContentKind {
    fn word(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Iso => "iso",
            Self::Snippets => "snippets",
            Self::Backup => "backup",
            Self::Import => "import",
        }
    }
}

impl Storage {
    pub(crate) fn new(client: Client, node: NodeName, id: StorageId) -> Self {
        Self { client, node, id }
    }

    fn path(&self, rest: &[&str]) -> String {
        let base = ["nodes", self.node.as_str(), "storage", self.id.as_str()];
        request::path(&base.iter().chain(rest).copied().collect::<Vec<_>>())
    }

    /// What lies on it: `GET /nodes/{node}/storage/{storage}/content`, of one kind or of one VM or all.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn content(
        &self,
        kind: Option<ContentKind>,
        vm: Option<VmId>,
    ) -> Result<Vec<ContentEntry>, Error> {
        let mut form = Form::new();
        if let Some(kind) = kind {
            form.set("content", kind.word());
        }
        if let Some(vm) = vm {
            form.set("vmid", vm);
        }
        let request = Request::get(self.path(&["content"])).on(&self.node).protected().with(form);
        self.client.fetch(request).await
    }

    /// Uploads an image for CD-ROM drives, which the task then checks and puts in its place as
    /// `STORAGE:iso/NAME`: `POST /nodes/{node}/storage/{storage}/upload`.
    ///
    /// It is held in memory: meant for what a VM is started with, not for installation media.
    ///
    /// # Errors
    /// If the server refuses it, or the name does not end in `.iso`.
    pub async fn upload_iso(&self, name: &FileName, content: &[u8]) -> Result<Task, Error> {
        if Path::new(name.as_str()).extension().is_none_or(|extension| extension != "iso") {
            return Err(crate::Invalid::new("file name", name, "a name that ends in .iso").into());
        }
        let digest = hex::encode(Sha256::digest(content));
        let fields = [("content", "iso"), ("checksum-algorithm", "sha256"), ("checksum", &*digest)];
        let boundary = format!("proxmox-client-{}", &digest[..32]);
        let mut request = Request::post(self.path(&["upload"])).on(&self.node).begins("imgcopy");
        request.file = Some(File::new(&boundary, &fields, name, content)?);
        self.client.begin(request).await
    }

    /// The volume that [`Storage::upload_iso`] makes.
    ///
    /// # Errors
    /// Never in practice: both names are checked.
    pub fn iso(&self, name: &FileName) -> Result<VolumeId, Error> {
        Ok(VolumeId::new(format!("{}:iso/{name}", self.id))?)
    }

    /// Removes a volume: `DELETE /nodes/{node}/storage/{storage}/content/{volume}`.
    ///
    /// # Errors
    /// If the server refuses it, or the volume lies on another storage.
    pub async fn delete(&self, volume: &VolumeId) -> Result<Begun, Error> {
        if volume.storage() != self.id.as_str() {
            let rule = format!("a volume of the storage {}", self.id);
            return Err(crate::Invalid::new("volume", volume, rule).into());
        }
        let path = self.path(&["content", volume.as_str()]);
        let request = Request::delete(path).on(&self.node).begins("imgdel");
        self.client.begin_or_do(request).await
    }
}
