//! The machines that VMs are when they run.

pub mod imaginary;
pub mod namespaces;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// What a machine is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    /// The id of the VM.
    pub vm: u32,
    pub name: String,
    pub node: String,
    pub cores: u64,
    pub memory_mib: u64,
    pub disk_bytes: u64,
    /// What the firmware says the machine is (`smbios1`).
    pub uuid: Option<String>,
    pub cards: Vec<Card>,
    /// The CD in the drive.
    #[serde(skip)]
    pub cd: Option<Arc<Vec<u8>>>,
    /// `ipconfigN` of the built-in cloud-init.
    pub ip_configs: BTreeMap<String, String>,
}

/// A network card.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Such as `net0`.
    pub key: String,
    pub mac: String,
    pub bridge: String,
}

/// What the guest agent says of a network card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Interface {
    pub name: String,
    pub mac: String,
    /// Addresses with their prefixes.
    pub addresses: Vec<(std::net::IpAddr, u8)>,
}

/// What a command in the guest led to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Why a machine did not do what it was told; the text stands in the task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MachineError(pub String);

/// Machines by the id of their VM.
#[async_trait]
pub trait Machines: Send + Sync + std::fmt::Debug {
    /// Turns a machine on. It boots afterwards.
    ///
    /// # Errors
    /// If it cannot be turned on.
    async fn start(&self, hardware: Hardware) -> Result<(), MachineError>;

    /// Cuts its power.
    ///
    /// # Errors
    /// If it still runs.
    async fn stop(&self, vm: u32) -> Result<(), MachineError>;

    /// Presses its power button; whether and when it goes off is its own affair.
    ///
    /// # Errors
    /// If it cannot be told.
    async fn shut_down(&self, vm: u32) -> Result<(), MachineError>;

    /// Whether it is on.
    fn is_running(&self, vm: u32) -> bool;

    /// Whether a machine that ran when the simulator ended runs still, or again.
    async fn resume(&self, hardware: Hardware) -> bool;

    /// Takes the cable out of its first card, or puts it back.
    ///
    /// # Errors
    /// If there is no such machine.
    async fn plug(&self, vm: u32, is_plugged: bool) -> Result<(), MachineError>;

    /// What its guest agent says of the network; `None` if it does not answer.
    async fn interfaces(&self, vm: u32) -> Option<Vec<Interface>>;

    /// Runs a command in the guest.
    ///
    /// # Errors
    /// If it cannot be started.
    async fn run(&self, vm: u32, command: &[String], input: &str) -> Result<Output, MachineError>;

    /// Writes a file in the guest.
    ///
    /// # Errors
    /// If it cannot be written.
    async fn write_file(&self, vm: u32, path: &str, content: &[u8]) -> Result<(), MachineError>;

    /// Throws away what a machine that is off kept on its disk.
    async fn discard(&self, vm: u32);

    /// Ends all machines.
    async fn end(&self);
}
