use crate::{Bytes, NodeId, NodeName, TenantId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, net::Ipv4Addr};
use uuid::Uuid;

/// How large an exclusive node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeShape {
    /// 4 CPUs, 16 GiB, 200 GiB.
    S,
    /// 8 CPUs, 32 GiB, 500 GiB.
    M,
    /// 16 CPUs, 64 GiB, 1000 GiB.
    L,
}

/// What a machine consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hardware {
    /// Virtual CPUs.
    pub cpus: u32,
    /// Memory.
    pub memory: Bytes,
    /// The size of its disk.
    pub disk: Bytes,
}

/// The number of a virtual machine on Proxmox VE, from 100 to 999,999,999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VmNumber(pub u32);

/// How far a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Its machine is being made, or joins.
    Attaching,
    /// It was proven to be the machine that was made, and takes pods of its tenant.
    Ready,
    /// It is emptied and then switched off, because somebody asked for that.
    Stopping,
    /// Its machine is off because somebody asked for that. It stays its tenant's.
    Stopped,
    /// Its machine is switched on and proven again.
    Starting,
    /// It is emptied, switched off and on, and proven again.
    Rebooting,
    /// Its pods go, then it goes.
    Releasing,
    /// Nothing of it is left.
    Released,
}

/// Whether a node's machine is to run, and what is being done about that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodePower {
    /// It is to run.
    On,
    /// It is to be off in a while.
    Stopping,
    /// It is to be off.
    Off,
    /// It is to run again in a while.
    Starting,
    /// It is to be off for a moment.
    Rebooting,
}

/// What becomes of volumes on the disk of a node that is replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumesOnDisk {
    /// They are in the way: it is not replaced while there are any. One that comes in the meantime is copied.
    #[default]
    Stop,
    /// They are copied to where their pods go.
    Copy,
    /// They are lost with the disk.
    Lose,
}

/// What a tenant may want of a node's machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerChange {
    /// To empty it and switch it off.
    Stop,
    /// To switch it on and use it again.
    Start,
    /// Both, one after the other.
    Reboot,
}

/// An exclusive node of a tenant: one virtual machine, one node of the host cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its identifier.
    pub id: NodeId,
    /// Whose it is.
    pub tenant: TenantId,
    /// How large it is.
    pub shape: NodeShape,
    /// What it is called, as a machine and in the host cluster.
    pub name: NodeName,
    /// What its machine's description says; nothing without it is ever touched.
    pub mark: String,
    /// The identifier that its firmware tells (SMBIOS).
    pub machine: Uuid,
    /// The hardware address of its network card.
    pub hardware_address: String,
    /// The Proxmox VE node that it is on; nothing before it was decided.
    pub place: Option<String>,
    /// Its number; nothing before it was reserved.
    pub vm: Option<VmNumber>,
    /// Its address; nothing before it was reserved, or where it asks for one.
    pub address: Option<Ipv4Addr>,
    /// Whether its machine is to run.
    pub power: NodePower,
    /// What becomes of volumes on its disk, if another one is to take its place; nothing if that was not asked for.
    pub volumes: Option<VolumesOnDisk>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was proven.
    pub ready_at: Option<Timestamp>,
    /// When it was given up.
    pub release_requested_at: Option<Timestamp>,
    /// When nothing of it was left.
    pub released_at: Option<Timestamp>,
}

/// A volume on the disk of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalVolume {
    /// The claim as its tenant knows it: `namespace/name`.
    pub claim: String,
    /// Why it cannot be copied; nothing if it can.
    pub obstacle: Option<String>,
}

/// What one look found about who runs on a tenant's own nodes. Pods are told as `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusivity {
    /// When it was looked at.
    pub at: Timestamp,
    /// The nodes that are the tenant's.
    pub nodes: Vec<NodeName>,
    /// Pods on them that belong to the nodes themselves.
    pub system: Vec<String>,
    /// Pods on them that are somebody else's.
    pub foreign: Vec<String>,
    /// Pods of the tenant on other nodes.
    pub elsewhere: Vec<String>,
}

impl Exclusivity {
    /// Whether nobody else runs there and the tenant runs nowhere else.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.foreign.is_empty() && self.elsewhere.is_empty()
    }
}

impl NodeState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Attaching,
        Self::Ready,
        Self::Stopping,
        Self::Stopped,
        Self::Starting,
        Self::Rebooting,
        Self::Releasing,
        Self::Released,
    ];

    /// The word as users see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attaching => "attaching",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Rebooting => "rebooting",
            Self::Releasing => "releasing",
            Self::Released => "released",
        }
    }

    /// Whether it was proven and is off, or for a while not to be used, because somebody asked for that.
    #[must_use]
    pub const fn is_off_on_purpose(self) -> bool {
        match self {
            Self::Stopping | Self::Stopped | Self::Starting | Self::Rebooting => true,
            Self::Attaching | Self::Ready | Self::Releasing | Self::Released => false,
        }
    }
}

impl VolumesOnDisk {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Stop, Self::Copy, Self::Lose];

    /// The word as users write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Copy => "copy",
            Self::Lose => "lose",
        }
    }
}

impl PowerChange {
    /// The word as users write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Reboot => "reboot",
        }
    }

    /// The state in which a node has to be for it.
    #[must_use]
    pub const fn needs(self) -> NodeState {
        match self {
            Self::Stop | Self::Reboot => NodeState::Ready,
            Self::Start => NodeState::Stopped,
        }
    }
}

impl NodeShape {
    /// Every shape, smallest first.
    pub const ALL: [Self; 3] = [Self::S, Self::M, Self::L];

    /// The word as users write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::S => "s",
            Self::M => "m",
            Self::L => "l",
        }
    }

    /// What a machine of this shape consists of.
    #[must_use]
    pub const fn hardware(self) -> Hardware {
        let (cpus, memory, disk) = match self {
            Self::S => (4, 16, 200),
            Self::M => (8, 32, 500),
            Self::L => (16, 64, 1000),
        };
        Hardware { cpus, memory: Bytes::gibi(memory), disk: Bytes::gibi(disk) }
    }
}

impl fmt::Display for NodeShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for VmNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Node {
    /// How far it is.
    #[must_use]
    pub const fn state(&self) -> NodeState {
        match (self.released_at, self.release_requested_at, self.ready_at) {
            (Some(_), ..) => NodeState::Released,
            (None, Some(_), _) => NodeState::Releasing,
            (None, None, Some(_)) => match self.power {
                NodePower::On => NodeState::Ready,
                NodePower::Stopping => NodeState::Stopping,
                NodePower::Off => NodeState::Stopped,
                NodePower::Starting => NodeState::Starting,
                NodePower::Rebooting => NodeState::Rebooting,
            },
            (None, None, None) => NodeState::Attaching,
        }
    }

    /// Whether it is being replaced, and the volumes on its disk come along.
    #[must_use]
    pub const fn is_copied(&self) -> bool {
        matches!(self.state(), NodeState::Releasing)
            && matches!(self.volumes, Some(VolumesOnDisk::Stop | VolumesOnDisk::Copy))
    }
}
