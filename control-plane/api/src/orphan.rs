//! What is left over of nodes, on Proxmox VE and in the host cluster.

use crate::openapi::words;
use domain::{Orphan, OrphanKind, OrphanProof, OrphanState, SweptArea};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) mod list;
pub(crate) mod looks;
pub(crate) mod remove;

/// Something that is there and that nobody needs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Orphan)]
pub(crate) struct OrphanBody {
    #[schema(examples("orph_01893f2ec3a77d6ab54bd0a2d0c1c1f5"))]
    id: String,
    #[schema(schema_with = words::orphan_kind)]
    kind: OrphanKind,
    /// The name of a machine, a volume or an object.
    #[schema(examples("wn-f3k9x2m7q8hbvt5n"))]
    name: String,
    /// The number of a machine, or of the machine of a disk.
    vm: Option<u32>,
    /// The node of Proxmox VE that it is on; null for what is the same on all of them.
    place: Option<String>,
    storage: Option<String>,
    /// The namespace of the host cluster that it is in.
    namespace: Option<String>,
    size_bytes: Option<u64>,
    #[schema(schema_with = words::orphan_proof)]
    proof: OrphanProof,
    /// Why it is known whose it is, or why not.
    reason: String,
    /// The node that it was made for.
    node: Option<String>,
    #[schema(schema_with = words::orphan_state)]
    state: OrphanState,
    /// What is in the way of its removal.
    cause: Option<String>,
    first_seen_at: Timestamp,
    last_seen_at: Timestamp,
    /// When an operator asked for its removal.
    asked_at: Option<Timestamp>,
    /// When it was removed, or not there any more.
    ended_at: Option<Timestamp>,
}

/// When one part of the world was looked at last.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OrphanLook)]
pub(crate) struct LookBody {
    #[schema(examples("machines"))]
    area: String,
    at: Timestamp,
    /// Why not all of it could be seen; null if all of it was.
    obstacle: Option<String>,
}

impl From<Orphan> for OrphanBody {
    fn from(orphan: Orphan) -> Self {
        let seen = orphan.seen;
        Self {
            id: orphan.id.to_string(),
            kind: seen.kind,
            name: seen.name,
            vm: seen.vm.map(|vm| vm.0),
            place: seen.place,
            storage: seen.storage,
            namespace: seen.namespace,
            size_bytes: seen.size.map(|size| size.0),
            proof: seen.proof,
            reason: seen.reason,
            node: seen.node.map(|node| node.to_string()),
            state: orphan.state,
            cause: orphan.cause,
            first_seen_at: orphan.first_seen_at,
            last_seen_at: orphan.last_seen_at,
            asked_at: orphan.asked_at,
            ended_at: orphan.ended_at,
        }
    }
}

impl From<SweptArea> for LookBody {
    fn from(SweptArea { area, at, obstacle }: SweptArea) -> Self {
        Self { area, at, obstacle }
    }
}
