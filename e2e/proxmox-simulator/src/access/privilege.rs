//! Privileges by release, and the roles that are built in.

use std::collections::BTreeSet;

use crate::release::Release;

/// In every release.
const COMMON: [&str; 32] = [
    "Datastore.Allocate",
    "Datastore.AllocateSpace",
    "Datastore.AllocateTemplate",
    "Datastore.Audit",
    "Group.Allocate",
    "Permissions.Modify",
    "Pool.Allocate",
    "Pool.Audit",
    "Realm.Allocate",
    "Realm.AllocateUser",
    "SDN.Allocate",
    "SDN.Audit",
    "Sys.Audit",
    "Sys.Console",
    "Sys.Modify",
    "Sys.PowerMgmt",
    "User.Modify",
    "VM.Allocate",
    "VM.Audit",
    "VM.Backup",
    "VM.Clone",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Cloudinit",
    "VM.Config.Disk",
    "VM.Config.HWType",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.Console",
    "VM.Migrate",
    "VM.PowerMgmt",
];

const SNAPSHOT: [&str; 2] = ["VM.Snapshot", "VM.Snapshot.Rollback"];
/// Up to 8.
const MONITOR: &str = "VM.Monitor";
/// From 8 on.
const NETWORKS: [&str; 5] =
    ["SDN.Use", "Mapping.Audit", "Mapping.Modify", "Mapping.Use", "Sys.AccessNetwork"];
/// From 9 on.
const AGENT: [&str; 5] = [
    "VM.GuestAgent.Audit",
    "VM.GuestAgent.FileRead",
    "VM.GuestAgent.FileSystemMgmt",
    "VM.GuestAgent.FileWrite",
    "VM.GuestAgent.Unrestricted",
];

/// All privileges of a release.
pub(crate) fn all(release: Release) -> BTreeSet<&'static str> {
    let mut all: BTreeSet<_> = COMMON.into_iter().chain(SNAPSHOT).collect();
    if release.guards_bridges() {
        all.extend(NETWORKS);
    }
    if release.has_agent_rights() {
        all.extend(AGENT);
    } else {
        all.insert(MONITOR);
    }
    all
}

/// The names of the built-in roles.
pub(crate) const ROLES: [&str; 14] = [
    "Administrator",
    "NoAccess",
    "PVEAdmin",
    "PVEAuditor",
    "PVEDatastoreAdmin",
    "PVEDatastoreUser",
    "PVEMappingUser",
    "PVEPoolAdmin",
    "PVEPoolUser",
    "PVESDNUser",
    "PVESysAdmin",
    "PVETemplateUser",
    "PVEVMAdmin",
    "PVEVMUser",
];

/// The privileges of a built-in role.
pub(crate) fn role(release: Release, name: &str) -> Option<BTreeSet<String>> {
    let user = ["VM.Audit", "VM.Backup", "VM.Config.CDROM", "VM.Config.Cloudinit", "VM.Console"];
    let has = |privilege: &str| match name {
        "Administrator" => true,
        "PVEAdmin" => {
            let withheld = ["Permissions.Modify", "Sys.Modify", "Sys.PowerMgmt", "Realm.Allocate"];
            !withheld.contains(&privilege)
        }
        "PVEAuditor" => privilege.ends_with(".Audit"),
        "PVEDatastoreAdmin" => privilege.starts_with("Datastore."),
        "PVEDatastoreUser" => ["Datastore.AllocateSpace", "Datastore.Audit"].contains(&privilege),
        "PVEMappingUser" => privilege == "Mapping.Use",
        "PVEPoolAdmin" => privilege.starts_with("Pool."),
        "PVEPoolUser" => privilege == "Pool.Audit",
        "PVESDNUser" => ["SDN.Use", "SDN.Audit"].contains(&privilege),
        "PVESysAdmin" => privilege.starts_with("Sys.") && privilege != "Sys.Modify",
        "PVETemplateUser" => ["VM.Audit", "VM.Clone"].contains(&privilege),
        "PVEVMAdmin" => privilege.starts_with("VM."),
        "PVEVMUser" => user.contains(&privilege) || privilege == "VM.PowerMgmt",
        _ => false,
    };
    let found = all(release).into_iter().filter(|privilege| has(privilege)).map(str::to_owned);
    ROLES.contains(&name).then(|| found.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_on_the_agent_changed_their_names_with_release_9() {
        assert!(all(Release::V8_4).contains("VM.Monitor"));
        assert!(!all(Release::V8_4).contains("VM.GuestAgent.Audit"));
        assert!(!all(Release::V9_2).contains("VM.Monitor"));
        assert!(all(Release::V9_2).contains("VM.GuestAgent.Audit"));
        assert!(!all(Release::V7_4).contains("SDN.Use"));
    }

    #[test]
    fn every_built_in_role_has_privileges_but_one() {
        for name in ROLES {
            let role = role(Release::V9_2, name).expect("is built in");
            assert_eq!(role.is_empty(), name == "NoAccess", "{name}");
        }
        assert_eq!(role(Release::V9_2, "Other"), None);
    }
}
