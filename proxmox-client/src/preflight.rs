//! Which rights a token needs, and which of them it lacks: what a setup command grants and a doctor checks.
//!
//! These were found by running the whole life of a VM against the real daemons with a token that had no
//! other right. The names depend on the release: making a role with a name that the release does not know
//! is refused as a whole.

use crate::{Bridge, Client, Error, NodeName, Permissions, PoolId, StorageId, Version, VmId};
use std::collections::BTreeMap;

/// What a token is to work with.
#[derive(Debug, Clone)]
pub struct Site {
    /// The templates that it clones.
    pub templates: Vec<VmId>,
    /// The pool that its VMs are in.
    pub pool: PoolId,
    /// The storages that their disks are on.
    pub storages: Vec<StorageId>,
    /// The networks that they are in: the zone (`localnetwork` for a plain bridge) and the bridge.
    pub networks: Vec<(String, Bridge)>,
    /// The nodes that they run on.
    pub nodes: Vec<NodeName>,
    /// What else it does.
    pub extras: Extras,
}

/// What else a token is to do; each needs more rights.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
pub struct Extras {
    /// Reads the addresses of guests from their agent.
    pub reads_guest_addresses: bool,
    /// Runs commands and writes files in guests.
    pub commands_guests: bool,
    /// Starts VMs with an image that it uploads to this storage.
    pub uploads_images_to: Option<StorageId>,
    /// Sets the machine's own identity, processor type, serial port or display.
    pub sets_hardware: bool,
    /// Makes snapshots.
    pub takes_snapshots: bool,
    /// Makes, changes and removes the pool.
    pub makes_pools: bool,
    /// Reads how much room the nodes have.
    pub reads_capacity: bool,
    /// Reads who belongs to the cluster and whether it has a majority.
    pub reads_cluster: bool,
    /// Passes devices of these mappings through.
    pub mappings: Vec<String>,
}

/// A part of the cluster that a role is given on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RolePart {
    /// `/vms/{template}`.
    Template,
    /// `/pool/{pool}`.
    Pool,
    /// `/storage/{storage}` of the disks.
    Storage,
    /// `/storage/{storage}` of the images.
    ImageStorage,
    /// `/sdn/zones/{zone}/{bridge}`.
    Network,
    /// `/nodes/{node}`.
    Node,
    /// `/`.
    Cluster,
    /// `/mapping/pci/{mapping}`.
    Mapping,
}

impl RolePart {
    /// Every part.
    pub const ALL: [Self; 8] = [
        Self::Template,
        Self::Pool,
        Self::Storage,
        Self::ImageStorage,
        Self::Network,
        Self::Node,
        Self::Cluster,
        Self::Mapping,
    ];
}

/// A right that is needed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Need {
    /// On which path.
    pub path: String,
    /// Which privilege.
    pub privilege: &'static str,
    /// What the path stands for.
    pub part: RolePart,
}

/// The privileges of a role for one part, by release; none if it needs no role there.
#[must_use]
pub fn role(part: RolePart, extras: &Extras, version: Version) -> Vec<&'static str> {
    let when = |is_needed: bool, privileges: &[&'static str]| -> Vec<&'static str> {
        if is_needed { privileges.to_vec() } else { Vec::new() }
    };
    match part {
        RolePart::Template => vec!["VM.Audit", "VM.Clone"],
        RolePart::Pool => pool_role(extras, version),
        RolePart::Storage => vec!["Datastore.AllocateSpace", "Datastore.Audit"],
        RolePart::ImageStorage => when(
            extras.uploads_images_to.is_some(),
            // What was uploaded is removed, for which the right to allocate templates is not enough
            // (pve-storage, API2/Storage/Content.pm).
            &[
                "Datastore.Allocate",
                "Datastore.AllocateSpace",
                "Datastore.AllocateTemplate",
                "Datastore.Audit",
            ],
        ),
        RolePart::Network => when(version >= Version::V8_0, &["SDN.Use"]),
        RolePart::Node => when(extras.reads_capacity, &["Sys.Audit"]),
        RolePart::Cluster => when(extras.reads_cluster, &["Sys.Audit"]),
        RolePart::Mapping => {
            when(!extras.mappings.is_empty() && version >= Version::V8_0, &["Mapping.Use"])
        }
    }
}

fn pool_role(extras: &Extras, version: Version) -> Vec<&'static str> {
    let mut privileges = vec![
        "Pool.Audit",
        "VM.Allocate",
        "VM.Audit",
        "VM.Config.CPU",
        "VM.Config.Cloudinit",
        "VM.Config.Disk",
        "VM.Config.Memory",
        "VM.Config.Network",
        "VM.Config.Options",
        "VM.PowerMgmt",
    ];
    let has_agent_rights = version >= Version::V9_0;
    if (extras.reads_guest_addresses || extras.commands_guests) && !has_agent_rights {
        privileges.push("VM.Monitor");
    }
    if extras.reads_guest_addresses && has_agent_rights {
        privileges.push("VM.GuestAgent.Audit");
    }
    if extras.commands_guests && has_agent_rights {
        privileges.extend(["VM.GuestAgent.FileWrite", "VM.GuestAgent.Unrestricted"]);
    }
    if extras.uploads_images_to.is_some() {
        privileges.push("VM.Config.CDROM");
    }
    if extras.sets_hardware || !extras.mappings.is_empty() {
        privileges.push("VM.Config.HWType");
    }
    if extras.takes_snapshots {
        privileges.extend(["VM.Snapshot", "VM.Snapshot.Rollback"]);
    }
    if extras.makes_pools {
        privileges.push("Pool.Allocate");
    }
    privileges.sort_unstable();
    privileges
}

/// Every right that a token needs for a site, by release; sorted, each once.
#[must_use]
pub fn needs(site: &Site, version: Version) -> Vec<Need> {
    let mut places: Vec<(RolePart, String)> =
        vec![(RolePart::Pool, format!("/pool/{}", site.pool))];
    places.extend(site.templates.iter().map(|vm| (RolePart::Template, format!("/vms/{vm}"))));
    let storage = |part, id: &StorageId| (part, format!("/storage/{id}"));
    places.extend(site.storages.iter().map(|id| storage(RolePart::Storage, id)));
    let images = site.extras.uploads_images_to.iter();
    places.extend(images.map(|id| storage(RolePart::ImageStorage, id)));
    let networks = site.networks.iter();
    places.extend(
        networks.map(|(zone, bridge)| (RolePart::Network, format!("/sdn/zones/{zone}/{bridge}"))),
    );
    places.extend(site.nodes.iter().map(|node| (RolePart::Node, format!("/nodes/{node}"))));
    places.push((RolePart::Cluster, "/".to_owned()));
    let mappings = site.extras.mappings.iter();
    places.extend(mappings.map(|name| (RolePart::Mapping, format!("/mapping/pci/{name}"))));

    let mut needs = BTreeMap::new();
    for (part, path) in places {
        for privilege in role(part, &site.extras, version) {
            needs.entry((path.clone(), privilege)).or_insert(part);
        }
    }
    let need = |((path, privilege), part)| Need { path, privilege, part };
    needs.into_iter().map(need).collect()
}

/// Those needs that the permissions do not meet.
#[must_use]
pub fn missing(needs: &[Need], permissions: &Permissions) -> Vec<Need> {
    let is_missing = |need: &&Need| !permissions.has(&need.path, need.privilege);
    needs.iter().filter(is_missing).cloned().collect()
}

impl Client {
    /// The rights that the token lacks for a site: asks the release, and for each path the token's rights there.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn missing(&self, site: &Site) -> Result<Vec<Need>, Error> {
        let needs = needs(site, self.version().await?);
        let mut lacking = Vec::new();
        for of_path in needs.chunk_by(|one, next| one.path == next.path) {
            let path = of_path.first().map(|need| need.path.as_str());
            lacking.extend(missing(of_path, &self.permissions(path).await?));
        }
        Ok(lacking)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> Extras {
        let storage = StorageId::new("local").ok();
        Extras {
            reads_guest_addresses: true,
            commands_guests: true,
            uploads_images_to: storage,
            sets_hardware: true,
            takes_snapshots: true,
            makes_pools: true,
            reads_capacity: true,
            reads_cluster: true,
            mappings: vec!["gpu".to_owned()],
        }
    }

    fn site(extras: Extras) -> Site {
        Site {
            templates: vec![VmId::new(9000).expect("a number")],
            pool: PoolId::new("warren").expect("a pool"),
            storages: vec![StorageId::new("local").expect("a storage")],
            networks: vec![("localnetwork".to_owned(), Bridge::new("vmbr0").expect("a bridge"))],
            nodes: vec![NodeName::new("pve1").expect("a node")],
            extras,
        }
    }

    #[test]
    fn no_release_is_asked_for_a_privilege_that_it_does_not_know() {
        let all = |version: Version| -> Vec<&str> {
            RolePart::ALL.iter().flat_map(|part| role(*part, &everything(), version)).collect()
        };
        let (old, middle, new) =
            (all(Version::new(7, 4)), all(Version::new(8, 4)), all(Version::new(9, 2)));
        assert!(
            old.contains(&"VM.Monitor")
                && middle.contains(&"VM.Monitor")
                && !new.contains(&"VM.Monitor")
        );
        let is_agent = |privilege: &&str| privilege.starts_with("VM.GuestAgent");
        assert!(
            !old.iter().any(is_agent) && !middle.iter().any(is_agent) && new.iter().any(is_agent)
        );
        assert!(
            !old.contains(&"SDN.Use") && middle.contains(&"SDN.Use") && new.contains(&"SDN.Use")
        );
        assert!(!old.contains(&"Mapping.Use") && middle.contains(&"Mapping.Use"));
    }

    #[test]
    fn the_least_that_a_pool_of_nodes_needs() {
        let needs = needs(&site(Extras::default()), Version::new(9, 2));
        let on = |path: &str| -> Vec<&str> {
            needs.iter().filter(|need| need.path == path).map(|need| need.privilege).collect()
        };
        assert_eq!(on("/vms/9000"), ["VM.Audit", "VM.Clone"]);
        assert_eq!(on("/storage/local"), ["Datastore.AllocateSpace", "Datastore.Audit"]);
        assert_eq!(on("/sdn/zones/localnetwork/vmbr0"), ["SDN.Use"]);
        assert_eq!(on("/pool/warren").len(), 10);
        assert!(on("/nodes/pve1").is_empty() && on("/").is_empty());
    }

    #[test]
    fn a_path_with_two_roles_is_asked_for_once() {
        let needs = needs(&site(everything()), Version::new(9, 2));
        let on_storage = needs.iter().filter(|need| need.path == "/storage/local").count();
        assert_eq!(on_storage, 4);
        assert!(needs.is_sorted());
    }

    #[test]
    fn what_is_missing_is_named() {
        let needs = needs(&site(everything()), Version::new(8, 4));
        assert_eq!(missing(&needs, &Permissions::default()), needs);
    }
}
