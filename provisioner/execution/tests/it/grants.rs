//! Who Warren is to a simulated cluster, and what it may do there.

use proxmox_simulator::EntryConfig;

/// Its user, and that user's token.
pub(crate) const USER: &str = "warren@pve";
pub(crate) const TOKEN: &str = "warren@pve!control";
pub(crate) const SECRET: &str = "5f1b6f6e-0d5e-4c57-9f39-6b1a4d5c7e21";

/// What the token needs beside its templates, and not more; where.
const RIGHTS: [(&str, &str); 4] = [
    (
        "/pool/warren",
        "VM.Allocate,VM.Audit,VM.PowerMgmt,VM.Config.CPU,VM.Config.Memory,VM.Config.Network,VM.Config.Disk,\
         VM.Config.Cloudinit,VM.Config.Options,VM.Config.CDROM,VM.Config.HWType,Pool.Audit",
    ),
    (
        "/storage/local",
        "Datastore.Allocate,Datastore.AllocateSpace,Datastore.AllocateTemplate,Datastore.Audit",
    ),
    ("/storage/local-lvm", "Datastore.AllocateSpace,Datastore.Audit"),
    ("/sdn/zones/localnetwork/vmbr0", "SDN.Use"),
];

/// What the token needs, where: path and role.
pub(crate) fn rights(templates: impl IntoIterator<Item = u32>) -> Vec<(String, String)> {
    let of_template = |id| (format!("/vms/{id}"), "VM.Clone,VM.Audit".to_owned());
    let rest = RIGHTS.map(|(path, role)| (path.to_owned(), role.to_owned()));
    templates.into_iter().map(of_template).chain(rest).collect()
}

/// Gives a role at each path to the token and its user.
pub(crate) fn entries(rights: impl IntoIterator<Item = (String, String)>) -> Vec<EntryConfig> {
    let both = |(path, role): (String, String)| {
        [USER, TOKEN].map(|who| EntryConfig {
            path: path.clone(),
            who: who.into(),
            role: role.clone(),
        })
    };
    rights.into_iter().flat_map(both).collect()
}
