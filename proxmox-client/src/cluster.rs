//! What a cluster says about itself.

use crate::{
    Client, Error, Fault, Fingerprint, NodeName, StorageId, Tags, VmId, form::Form,
    request::Request, scalar,
};
use serde::Deserialize;

/// A node as the list of nodes shows it.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct NodeEntry {
    /// Its name.
    #[serde(rename = "node", deserialize_with = "scalar::parsed")]
    pub name: NodeName,
    /// `online`, `offline` or `unknown`.
    #[serde(default, deserialize_with = "scalar::text")]
    pub status: String,
    /// Of its API's certificate.
    #[serde(default, rename = "ssl_fingerprint", deserialize_with = "scalar::maybe_parsed")]
    pub fingerprint: Option<Fingerprint>,
    /// Processors; only with the right Sys.Audit, as the rest.
    #[serde(default, rename = "maxcpu", deserialize_with = "scalar::maybe_whole")]
    pub processors: Option<u64>,
    /// Which part of them is busy: 0 to 1.
    #[serde(default, deserialize_with = "scalar::maybe_number")]
    pub cpu: Option<f64>,
    /// Memory in use, in bytes.
    #[serde(default, rename = "mem", deserialize_with = "scalar::maybe_whole")]
    pub memory_used: Option<u64>,
    /// Memory, in bytes.
    #[serde(default, rename = "maxmem", deserialize_with = "scalar::maybe_whole")]
    pub memory: Option<u64>,
}

impl NodeEntry {
    /// Whether it takes part in the cluster.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.status == "online"
    }
}

/// What resources are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceKind {
    /// Virtual machines and containers.
    Vm,
    /// Storages, one entry for each node that has one.
    Storage,
    /// Nodes.
    Node,
}

/// One resource of the cluster. What is missing is not known of its kind, or not yet.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Resource {
    /// `qemu`, `lxc`, `node` or `storage`, among others.
    #[serde(rename = "type", deserialize_with = "scalar::text")]
    pub kind: String,
    /// E.g. `qemu/120`.
    #[serde(default, deserialize_with = "scalar::text")]
    pub id: String,
    /// Where it is.
    #[serde(default, deserialize_with = "scalar::maybe_parsed")]
    pub node: Option<NodeName>,
    /// The number of a VM.
    #[serde(default, rename = "vmid", deserialize_with = "scalar::maybe_parsed")]
    pub vm: Option<VmId>,
    /// The name of a VM.
    #[serde(default, deserialize_with = "scalar::maybe_text")]
    pub name: Option<String>,
    /// `running`, `stopped`, `online`, `available`, or `unknown` for the first seconds.
    #[serde(default, deserialize_with = "scalar::text")]
    pub status: String,
    /// Whether a VM is a template.
    #[serde(default, rename = "template", deserialize_with = "scalar::flag")]
    pub is_template: bool,
    #[serde(default, deserialize_with = "scalar::text")]
    tags: String,
    /// The pool of a VM or a storage.
    #[serde(default, deserialize_with = "scalar::maybe_text")]
    pub pool: Option<String>,
    /// What locks a VM.
    #[serde(default, deserialize_with = "scalar::maybe_text")]
    pub lock: Option<String>,
    /// The name of a storage.
    #[serde(default, deserialize_with = "scalar::maybe_parsed")]
    pub storage: Option<StorageId>,
    /// Whether a storage is the same on every node.
    #[serde(default, rename = "shared", deserialize_with = "scalar::flag")]
    pub is_shared: bool,
    /// Processors.
    #[serde(default, rename = "maxcpu", deserialize_with = "scalar::maybe_number")]
    pub processors: Option<f64>,
    /// Which part of them is busy: 0 to 1.
    #[serde(default, deserialize_with = "scalar::maybe_number")]
    pub cpu: Option<f64>,
    /// Memory in use, in bytes.
    #[serde(default, rename = "mem", deserialize_with = "scalar::maybe_whole")]
    pub memory_used: Option<u64>,
    /// Memory, in bytes.
    #[serde(default, rename = "maxmem", deserialize_with = "scalar::maybe_whole")]
    pub memory: Option<u64>,
    /// Space in use, in bytes.
    #[serde(default, rename = "disk", deserialize_with = "scalar::maybe_whole")]
    pub disk_used: Option<u64>,
    /// Space, in bytes.
    #[serde(default, rename = "maxdisk", deserialize_with = "scalar::maybe_whole")]
    pub disk: Option<u64>,
    /// How long it runs, in seconds.
    #[serde(default, deserialize_with = "scalar::maybe_whole")]
    pub uptime: Option<u64>,
}

/// Who belongs to the cluster and whether it can be changed.
#[derive(Debug, Clone)]
pub struct ClusterStatus {
    /// The cluster's name; a single node has none.
    pub name: Option<String>,
    /// Whether it has a majority, without which nothing can be changed. A single node always has.
    pub is_quorate: bool,
    /// Its nodes.
    pub members: Vec<ClusterMember>,
}

/// A node as a member of its cluster.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct ClusterMember {
    /// Its name.
    #[serde(deserialize_with = "scalar::parsed")]
    pub name: NodeName,
    /// Its address in the cluster's network.
    #[serde(default, deserialize_with = "scalar::maybe_text")]
    pub ip: Option<String>,
    /// Whether it takes part.
    #[serde(default, rename = "online", deserialize_with = "scalar::flag")]
    pub is_online: bool,
    /// Whether it is the one that answers.
    #[serde(default, rename = "local", deserialize_with = "scalar::flag")]
    pub is_local: bool,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum StatusEntry {
    Cluster {
        #[serde(default, deserialize_with = "scalar::maybe_text")]
        name: Option<String>,
        #[serde(default, deserialize_with = "scalar::flag")]
        quorate: bool,
    },
    Node(ClusterMember),
    #[serde(other)]
    Other,
}

impl Resource {
    /// The tags of a VM.
    #[must_use]
    pub fn tags(&self) -> Tags {
        Tags::read(&self.tags)
    }
}

impl Client {
    /// The nodes: `GET /nodes`.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn nodes(&self) -> Result<Vec<NodeEntry>, Error> {
        self.fetch(Request::get("/nodes".to_owned())).await
    }

    /// Trusts the certificates of the other nodes from now on, as the trusted one that answers tells them,
    /// and gives those that are new. Does nothing unless fingerprints are what is [trusted](crate::Trust::Pinned).
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn learn_pins(&self) -> Result<Vec<Fingerprint>, Error> {
        let Some(pins) = self.pins() else { return Ok(Vec::new()) };
        let fingerprints = self.nodes().await?.into_iter().filter_map(|node| node.fingerprint);
        Ok(fingerprints.filter(|fingerprint| pins.add(*fingerprint)).collect())
    }

    /// The whole inventory in one call: `GET /cluster/resources`. It is renewed every 10 seconds, so it may
    /// be older than what a task has just done.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn resources(&self, kind: Option<ResourceKind>) -> Result<Vec<Resource>, Error> {
        let mut form = Form::new();
        if let Some(kind) = kind {
            form.set(
                "type",
                match kind {
                    ResourceKind::Vm => "vm",
                    ResourceKind::Storage => "storage",
                    ResourceKind::Node => "node",
                },
            );
        }
        self.fetch(Request::get("/cluster/resources".to_owned()).with(form)).await
    }

    /// Members and majority: `GET /cluster/status`, with the right Sys.Audit on `/`.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn cluster_status(&self) -> Result<ClusterStatus, Error> {
        let entries: Vec<StatusEntry> =
            self.fetch(Request::get("/cluster/status".to_owned()).protected()).await?;
        let mut status = ClusterStatus { name: None, is_quorate: true, members: Vec::new() };
        for entry in entries {
            match entry {
                StatusEntry::Cluster { name, quorate } => {
                    (status.name, status.is_quorate) = (name, quorate);
                }
                StatusEntry::Node(member) => status.members.push(member),
                StatusEntry::Other => {}
            }
        }
        Ok(status)
    }

    /// A number that is free now: `GET /cluster/nextid`. It is **not** reserved: who asks next is told the same.
    ///
    /// # Errors
    /// If it cannot be asked, or all numbers are taken.
    pub async fn next_id(&self) -> Result<VmId, Error> {
        let request = Request::get("/cluster/nextid".to_owned());
        let call = request.call.clone();
        let number: scalar::Scalar = self.fetch(request).await?;
        let id = number.to_string().parse::<VmId>();
        id.map_err(|source| Error::Unreadable { call, source: source.into() })
    }

    /// Whether no VM or container has this number: `GET /cluster/nextid?vmid=`.
    ///
    /// This is the one probe that every token may make. What a token with rights on a pool is refused,
    /// may be there, may be on its way, and may be gone.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn is_free(&self, vm: VmId) -> Result<bool, Error> {
        let mut form = Form::new();
        form.set("vmid", vm);
        let request = Request::get("/cluster/nextid".to_owned()).with(form);
        match self.done(request).await {
            Ok(()) => Ok(true),
            Err(error) if is_taken(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn is_taken(error: &Error) -> bool {
    match error.fault() {
        Some(Fault::BadParameter { fields }) => fields
            .iter()
            .any(|fault| fault.field == "vmid" && fault.text.contains("already exists")),
        Some(Fault::AlreadyExists) => true,
        _ => false,
    }
}
