use crate::{Bytes, NodeId, OrphanId, VmNumber};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What kind of thing is left over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrphanKind {
    /// A virtual machine.
    Machine,
    /// A disk whose machine is gone.
    Disk,
    /// An image that a machine read at its first start.
    Image,
    /// What a node joins with.
    JoinToken,
    /// The password of a node's name.
    NodePassword,
    /// A node of the host cluster.
    Node,
}

/// Whether it is known whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrphanProof {
    /// It was made for a node that the record knows to need it no more.
    Ours,
    /// Something of that is missing: it is left alone.
    Unproven,
    /// It says itself that it is another installation's: it is left alone.
    Foreign,
}

/// What is being done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrphanState {
    /// It is reported, and nothing is done.
    Found,
    /// An operator wants it to be removed.
    Asked,
    /// It is being removed.
    Removing,
    /// It could not be removed; it can be asked for again.
    Failed,
    /// Warren removed it, and proved that it is gone.
    Removed,
    /// It was not there any more at a later look.
    Gone,
}

/// One thing as one look saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// What it is.
    pub kind: OrphanKind,
    /// What it is called: a machine's name, a volume's, an object's.
    pub name: String,
    /// The number of a machine, or of the machine of a disk.
    pub vm: Option<VmNumber>,
    /// The node of Proxmox VE that it is on; nothing for what is the same on all of them.
    pub place: Option<String>,
    /// The storage that it is on.
    pub storage: Option<String>,
    /// The namespace that it is in.
    pub namespace: Option<String>,
    /// Tells it from a later object of the host cluster with the same name.
    pub uid: Option<String>,
    /// How large it is.
    pub size: Option<Bytes>,
    /// Whether it is known whose it is.
    pub proof: OrphanProof,
    /// Why that is known, or why not, for people.
    pub reason: String,
    /// The node of the record that it was made for.
    pub node: Option<NodeId>,
}

/// What one look at one part of the world found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepLook {
    /// Which part, for people: always the same words for the same part.
    pub area: String,
    /// What is there and nobody needs.
    pub sightings: Vec<Sighting>,
    /// Why not all of it could be seen; then what was not seen may still be there.
    pub obstacle: Option<String>,
}

/// When a part of the world was looked at last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweptArea {
    /// Which part.
    pub area: String,
    /// When.
    pub at: Timestamp,
    /// Why not all of it could be seen.
    pub obstacle: Option<String>,
}

/// Something that is there and that nobody needs, as it was reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// Its identifier.
    pub id: OrphanId,
    /// What was seen at the last look.
    pub seen: Sighting,
    /// What is being done about it.
    pub state: OrphanState,
    /// What is in the way of its removal.
    pub cause: Option<String>,
    /// The look that saw it first.
    pub first_seen_at: Timestamp,
    /// The look that saw it last.
    pub last_seen_at: Timestamp,
    /// When an operator asked for its removal.
    pub asked_at: Option<Timestamp>,
    /// When it was removed or not there any more.
    pub ended_at: Option<Timestamp>,
}

impl OrphanKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Machine, Self::Disk, Self::Image, Self::JoinToken, Self::NodePassword, Self::Node];

    /// The word as users see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Disk => "disk",
            Self::Image => "image",
            Self::JoinToken => "join-token",
            Self::NodePassword => "node-password",
            Self::Node => "node",
        }
    }
}

impl OrphanProof {
    /// Every class.
    pub const ALL: [Self; 3] = [Self::Ours, Self::Unproven, Self::Foreign];

    /// The word as users see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Unproven => "unproven",
            Self::Foreign => "foreign",
        }
    }
}

impl OrphanState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Found, Self::Asked, Self::Removing, Self::Failed, Self::Removed, Self::Gone];

    /// The word as users see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Asked => "asked",
            Self::Removing => "removing",
            Self::Failed => "failed",
            Self::Removed => "removed",
            Self::Gone => "gone",
        }
    }

    /// Whether it is not there any more.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Removed | Self::Gone)
    }
}

impl Sighting {
    /// The same text at every look that sees the same thing. People move machines, so where one is does not count.
    #[must_use]
    pub fn key(&self) -> String {
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        let vm = self.vm.map(|vm| vm.to_string()).unwrap_or_default();
        let is_moved = self.kind == OrphanKind::Machine;
        let place = if is_moved { String::new() } else { text(&self.place) };
        let parts = [
            self.kind.as_str().to_owned(),
            place,
            text(&self.storage),
            text(&self.namespace),
            vm,
            self.name.clone(),
            text(&self.uid),
        ];
        parts.join("\n")
    }
}
