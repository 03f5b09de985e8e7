//! A typed client of the Proxmox VE API, versions 7.4 to 9.x, that knows no tenant.
//!
//! What it adds to HTTP:
//!
//! - **Every fault has a kind.** [`Fault`] is read from status, reason phrase, message and field errors alike,
//!   and from the text that a task ended with, because the same fault can arrive either way.
//! - **Nothing is sent twice.** Reads are repeated; a write only while nothing of it has left. A write
//!   whose answer was lost is [`Error::OutcomeUnknown`] with what is needed to look for it.
//! - **A task is watched to its end**, with progress and a deadline: [`Task`].
//! - **Several API hosts**: it stays with one while that answers, and tries a lost one again by itself.
//! - **No text that is not valid**: names, property strings and options are types.
//! - **One bad token is one slow refusal**: see [`Error::Unauthorized`].
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use proxmox_client::{ApiToken, Client, CloneOptions, Settings, Trust, VmId};
//! use std::time::Duration;
//!
//! let hosts = vec!["https://pve1.example:8006".parse()?, "https://pve2.example:8006".parse()?];
//! let authority = std::fs::read("/etc/warren/proxmox-ca.pem")?;
//! let token = ApiToken::new("warren@pve!control", std::fs::read_to_string("/etc/warren/proxmox-token")?)?;
//! let client = Client::new(Settings::new(hosts, Trust::Authority(authority), token))?;
//!
//! let node = client.node(&"pve1".parse()?);
//! let task = node.vm(VmId::new(9000)?).clone_to(VmId::new(120)?, &CloneOptions::new()).await?;
//! let warnings = task.finish(Duration::from_secs(600)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Facts that shape its use
//!
//! - An accepted clone proves nothing: several clones to one free number are all accepted and one of
//!   them wins, in its task. Whoever cleans up must first prove that the VM is its own.
//! - [`Client::next_id`] reserves nothing.
//! - While a token with rights on a pool clones into it, it is refused on the new VM until the
//!   task has ended, and after the VM is gone it is refused again. [`Client::is_free`] is what tells whether a number is taken.
//! - A destroy that ended with warnings may have left disks behind: [`Storage::content`] of that VM shows them.
#![warn(missing_docs)]

mod access;
mod agent;
mod client;
mod cluster;
mod config;
mod credentials;
mod error;
mod fault;
mod form;
mod id;
mod node;
mod options;
mod pool;
mod preflight;
mod property;
mod request;
mod scalar;
mod snapshot;
mod storage;
mod task;
mod transport;
mod trust;
mod upid;
mod version;
mod vm;

pub use access::Permissions;
pub use agent::{Address, CommandEnd, CommandState, Guest, GuestCommand, Interface};
pub use client::{Begun, Client, Greeting, Settings, SettingsError, Timing};
pub use cluster::{ClusterMember, ClusterStatus, NodeEntry, Resource, ResourceKind};
pub use config::{ConfigChange, PendingOption, VmConfig};
pub use credentials::ApiToken;
pub use error::{Call, Error, Method, Repeat, Sent};
pub use fault::{Fault, FieldFault, Missing};
pub use id::{
    Bridge, FileName, Invalid, MacAddress, NodeName, PoolId, SnapshotName, StorageId, Tag, Tags,
    VmId, VmName, VolumeId,
};
pub use node::{BridgeEntry, Node, NodeStatus, Processors, Space};
pub use options::{CloneOptions, Destroy, Shutdown};
pub use pool::{PoolEntry, PoolMember};
pub use preflight::{Extras, Need, RolePart, Site, missing, needs, role};
pub use property::{
    Agent, Boot, CustomCloudInit, Drive, Fields, HostPci, Ip4, Ip6, IpConfig, Net, NetModel, Slot,
    Smbios,
};
pub use snapshot::Snapshot;
pub use storage::{ContentEntry, ContentKind, Storage, StorageEntry};
pub use task::{
    Progress, Task, TaskEnd, TaskEntry, TaskEvent, TaskFilter, TaskLine, TaskLog, TaskStatus,
};
pub use transport::{ApiHost, HostHealth};
pub use trust::{Fingerprint, Pins, Trust, TrustError};
pub use upid::Upid;
pub use version::Version;
pub use vm::{CloudInitPart, Vm, VmEntry, VmState, VmStatus};
