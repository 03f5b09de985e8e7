//! What a cluster is made of: nodes, storages, templates, users, how long things take.
//!
//! Everything has a default, so `{}` is a cluster of three nodes with a template on each storage.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::release::Release;

/// A cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The name of the cluster.
    pub name: String,
    pub release: Release,
    pub nodes: Vec<NodeConfig>,
    pub storages: Vec<StorageConfig>,
    pub bridges: Vec<String>,
    pub templates: Vec<TemplateConfig>,
    pub pools: Vec<String>,
    pub users: Vec<UserConfig>,
    pub entries: Vec<EntryConfig>,
    pub times: Times,
    /// The same seed gives the same ids, addresses and lengths of time.
    pub seed: u64,
    /// Where the cluster is kept over a restart.
    pub folder: Option<PathBuf>,
    /// Whether the API is served without TLS.
    pub is_plain: bool,
    /// A 401 comes this much later, milliseconds.
    pub refusal_ms: u64,
}

/// A node, with an API of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    pub name: String,
    /// Where its API listens; port 0 takes a free one.
    #[serde(default = "any_port")]
    pub listen: SocketAddr,
    #[serde(default = "cores")]
    pub cores: u32,
    #[serde(default = "memory_mib")]
    pub memory_mib: u64,
}

/// A storage.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    pub name: String,
    /// `dir`, `lvm`, `lvmthin`, `zfspool`, `nfs`, `cephfs` or `rbd`.
    pub kind: String,
    #[serde(default)]
    pub is_shared: bool,
    /// `images`, `iso`, `vztmpl`, `snippets`.
    pub content: Vec<String>,
    /// Of each node, if it is not shared.
    pub size_gib: u64,
    /// The nodes that have it; empty means all.
    #[serde(default)]
    pub nodes: Vec<String>,
}

/// A VM that is a template from the beginning.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateConfig {
    pub id: u32,
    pub name: String,
    pub node: String,
    pub storage: String,
    pub disk_gib: u64,
    #[serde(default)]
    pub pool: Option<String>,
    #[serde(default)]
    pub tags: String,
    /// Whether it has the built-in cloud-init drive at `ide2`.
    #[serde(default)]
    pub has_cloudinit: bool,
}

/// A user with tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserConfig {
    pub name: String,
    #[serde(default)]
    pub password: Option<String>,
    #[serde(default)]
    pub tokens: Vec<TokenConfig>,
}

/// A token.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    pub id: String,
    pub secret: String,
    /// Whether it has rights of its own, and none that its user lacks.
    #[serde(default)]
    pub is_separate: bool,
}

/// Somebody has a role somewhere.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryConfig {
    pub path: String,
    /// `user@realm` or `user@realm!token`.
    pub who: String,
    /// A built-in role, or privileges with commas between them.
    pub role: String,
}

/// How long things take, milliseconds. Every length varies by a tenth either way.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Times {
    /// Until a task has begun its work: the window in which two clones to one id both get a task.
    pub task_start_ms: u64,
    pub linked_clone_ms: u64,
    /// For each GiB of a copy.
    pub copy_gib_ms: u64,
    /// How long an allocation holds the lock of its storage.
    pub allocation_ms: u64,
    pub start_ms: u64,
    pub stop_ms: u64,
    /// From the order to shut down until the guest is off.
    pub shutdown_ms: u64,
    pub destroy_ms: u64,
    pub resize_ms: u64,
    pub config_ms: u64,
    pub upload_ms: u64,
    /// From the start until the guest agent of a virtual machine answers.
    pub boot_ms: u64,
    /// How long the daemon asks for an agent that does not answer.
    pub agent_patience_ms: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            task_start_ms: 60,
            linked_clone_ms: 300,
            copy_gib_ms: 200,
            allocation_ms: 100,
            start_ms: 800,
            stop_ms: 400,
            shutdown_ms: 2_000,
            destroy_ms: 300,
            resize_ms: 200,
            config_ms: 50,
            upload_ms: 50,
            boot_ms: 5_000,
            agent_patience_ms: 3_000,
        }
    }
}

impl Times {
    /// As short as can be, for tests in real time.
    #[must_use]
    pub fn short() -> Self {
        Self {
            task_start_ms: 5,
            linked_clone_ms: 10,
            copy_gib_ms: 2,
            allocation_ms: 1,
            start_ms: 10,
            stop_ms: 5,
            shutdown_ms: 20,
            destroy_ms: 5,
            resize_ms: 5,
            config_ms: 1,
            upload_ms: 1,
            boot_ms: 50,
            agent_patience_ms: 30,
        }
    }
}

/// Milliseconds as a duration.
pub(crate) const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn cores() -> u32 {
    16
}

fn memory_mib() -> u64 {
    64 * 1024
}

impl NodeConfig {
    /// A node of the usual size that listens on a free port of this machine.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.into(), listen: any_port(), cores: cores(), memory_mib: memory_mib() }
    }
}

impl Default for Config {
    fn default() -> Self {
        let names = ["pve1", "pve2", "pve3"];
        let storage =
            |name: &str, kind: &str, is_shared, content: &[&str], size_gib| StorageConfig {
                name: name.into(),
                kind: kind.into(),
                is_shared,
                content: content.iter().map(|&content| content.into()).collect(),
                size_gib,
                nodes: Vec::new(),
            };
        let template = |id, node: &str, storage: &str| TemplateConfig {
            id,
            name: format!("k3s-node-{id}"),
            node: node.into(),
            storage: storage.into(),
            disk_gib: 4,
            pool: None,
            tags: "k3s;template".into(),
            has_cloudinit: false,
        };
        let token = TokenConfig { id: "test".into(), secret: "secret".into(), is_separate: false };
        Self {
            name: "simulated".into(),
            release: Release::default(),
            nodes: names.map(NodeConfig::named).into(),
            storages: vec![
                storage("local", "dir", false, &["iso", "vztmpl", "snippets"], 100),
                storage("local-lvm", "lvmthin", false, &["images"], 500),
                storage("shared", "nfs", true, &["images", "iso"], 1000),
            ],
            bridges: vec!["vmbr0".into()],
            templates: vec![
                template(9000, "pve1", "shared"),
                template(9001, "pve1", "local-lvm"),
                template(9002, "pve2", "local-lvm"),
                template(9003, "pve3", "local-lvm"),
            ],
            pools: Vec::new(),
            users: vec![UserConfig {
                name: crate::access::ROOT.into(),
                password: Some("secret".into()),
                tokens: vec![token],
            }],
            entries: Vec::new(),
            times: Times::default(),
            seed: 1,
            folder: None,
            is_plain: false,
            refusal_ms: 3_000,
        }
    }
}
