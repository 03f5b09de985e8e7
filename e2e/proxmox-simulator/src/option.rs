//! Options of a VM: which there are, who may set them, and when a change takes effect.

pub(crate) mod drive;
pub(crate) mod text;

use crate::params::Kind;
use crate::release::Release;

/// When a change takes effect on a VM that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applies {
    AtOnce,
    /// Until then it is pending.
    AtStart,
}

/// An option, or a family of numbered ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VmOption {
    pub(crate) key: &'static str,
    pub(crate) is_numbered: bool,
    pub(crate) kind: Kind,
    /// What setting it needs; `None` is root's own login.
    pub(crate) privilege: Option<&'static str>,
    pub(crate) applies: Applies,
}

const fn one(key: &'static str, kind: Kind, privilege: &'static str, applies: Applies) -> VmOption {
    VmOption { key, is_numbered: false, kind, privilege: Some(privilege), applies }
}

const fn many(key: &'static str, privilege: &'static str, applies: Applies) -> VmOption {
    VmOption { key, is_numbered: true, kind: Kind::Text, privilege: Some(privilege), applies }
}

const fn of_root(key: &'static str, is_numbered: bool) -> VmOption {
    VmOption { key, is_numbered, kind: Kind::Text, privilege: None, applies: Applies::AtStart }
}

const CPU: &str = "VM.Config.CPU";
const MEMORY: &str = "VM.Config.Memory";
const NETWORK: &str = "VM.Config.Network";
const DISK: &str = "VM.Config.Disk";
const CLOUDINIT: &str = "VM.Config.Cloudinit";
const OPTIONS: &str = "VM.Config.Options";
const HARDWARE: &str = "VM.Config.HWType";
const MOST: i64 = i64::MAX;

use Applies::{AtOnce, AtStart};

const ALL: &[VmOption] = &[
    one("cores", Kind::Integer(1, 8192), CPU, AtStart),
    one("sockets", Kind::Integer(1, 8192), CPU, AtStart),
    one("vcpus", Kind::Integer(1, 8192), CPU, AtStart),
    one("cpu", Kind::Text, CPU, AtStart),
    one("cpulimit", Kind::Number, CPU, AtOnce),
    one("cpuunits", Kind::Integer(1, 262_144), CPU, AtOnce),
    one("affinity", Kind::Text, CPU, AtStart),
    one("numa", Kind::Boolean, CPU, AtStart),
    one("memory", Kind::Text, MEMORY, AtStart),
    one("balloon", Kind::Integer(0, MOST), MEMORY, AtOnce),
    one("shares", Kind::Integer(0, 50_000), MEMORY, AtOnce),
    many("net", NETWORK, AtOnce),
    many("ipconfig", CLOUDINIT, AtStart),
    one("nameserver", Kind::Text, CLOUDINIT, AtStart),
    one("searchdomain", Kind::Text, CLOUDINIT, AtStart),
    one("ciuser", Kind::Text, CLOUDINIT, AtStart),
    one("cipassword", Kind::Text, CLOUDINIT, AtStart),
    one("ciupgrade", Kind::Boolean, CLOUDINIT, AtStart),
    one("sshkeys", Kind::Text, CLOUDINIT, AtStart),
    one("cicustom", Kind::Text, CLOUDINIT, AtStart),
    one("citype", Kind::Choice(&["configdrive2", "nocloud", "opennebula"]), CLOUDINIT, AtStart),
    many("scsi", DISK, AtOnce),
    many("virtio", DISK, AtOnce),
    many("sata", DISK, AtOnce),
    many("ide", DISK, AtOnce),
    many("unused", DISK, AtOnce),
    one("efidisk0", Kind::Text, DISK, AtStart),
    one("tpmstate0", Kind::Text, DISK, AtStart),
    one("name", Kind::Name, OPTIONS, AtOnce),
    one("description", Kind::Short(8192), OPTIONS, AtOnce),
    one("tags", Kind::Text, OPTIONS, AtOnce),
    one("onboot", Kind::Boolean, OPTIONS, AtOnce),
    one("protection", Kind::Boolean, OPTIONS, AtOnce),
    one("agent", Kind::Text, OPTIONS, AtStart),
    one("boot", Kind::Text, OPTIONS, AtStart),
    one("bootdisk", Kind::Text, OPTIONS, AtStart),
    one("startup", Kind::Text, OPTIONS, AtOnce),
    one("hotplug", Kind::Text, OPTIONS, AtStart),
    one("tablet", Kind::Boolean, OPTIONS, AtOnce),
    one("acpi", Kind::Boolean, OPTIONS, AtStart),
    one("ostype", Kind::Text, OPTIONS, AtStart),
    one("localtime", Kind::Boolean, OPTIONS, AtStart),
    one("bios", Kind::Choice(&["seabios", "ovmf"]), OPTIONS, AtStart),
    one("scsihw", Kind::Text, HARDWARE, AtStart),
    one("machine", Kind::Text, HARDWARE, AtStart),
    one("vga", Kind::Text, HARDWARE, AtStart),
    one("kvm", Kind::Boolean, HARDWARE, AtStart),
    one("smbios1", Kind::Text, HARDWARE, AtStart),
    one("vmgenid", Kind::Text, OPTIONS, AtStart),
    many("serial", HARDWARE, AtStart),
    many("hostpci", HARDWARE, AtStart),
    one("audio0", Kind::Text, HARDWARE, AtStart),
    one("rng0", Kind::Text, HARDWARE, AtStart),
    many("usb", HARDWARE, AtOnce),
    many("numa", CPU, AtStart),
    one("hugepages", Kind::Text, MEMORY, AtStart),
    one("autostart", Kind::Boolean, OPTIONS, AtStart),
    one("freeze", Kind::Boolean, OPTIONS, AtStart),
    one("keyboard", Kind::Text, OPTIONS, AtStart),
    one("reboot", Kind::Boolean, OPTIONS, AtStart),
    one("vmstatestorage", Kind::Text, OPTIONS, AtOnce),
    one("watchdog", Kind::Text, OPTIONS, AtStart),
    of_root("hookscript", false),
    of_root("args", false),
    of_root("lock", false),
];

/// The option of this name.
pub(crate) fn find(release: Release, name: &str) -> Option<VmOption> {
    let is_it = |option: &&VmOption| match name.strip_prefix(option.key) {
        Some("") => !option.is_numbered,
        Some(number) => {
            option.is_numbered && number.len() <= 3 && number.bytes().all(|b| b.is_ascii_digit())
        }
        None => false,
    };
    let found = ALL.iter().find(is_it).copied()?;
    (found.key != "ciupgrade" || release.has_upgrade_option()).then_some(found)
}

/// Whether an option is a number on the wire.
pub(crate) fn is_number(release: Release, name: &str) -> bool {
    if name == "memory" {
        return !release.memory_is_text();
    }
    let is_number = |option: VmOption| matches!(option.kind, Kind::Boolean | Kind::Integer(..));
    name == "template" || find(release, name).is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_options_are_found_by_their_family() {
        let key = |name: &str| find(Release::V9_2, name).map(|option| option.key);
        assert_eq!(key("net0"), Some("net"));
        assert_eq!(key("scsi12"), Some("scsi"));
        assert_eq!(key("scsihw"), Some("scsihw"));
        assert_eq!(key("net"), None);
        assert_eq!(key("netx"), None);
        assert_eq!(key("cores1"), None);
    }

    #[test]
    fn memory_became_a_text_and_upgrades_an_option_after_release_7() {
        assert!(is_number(Release::V7_4, "memory"));
        assert!(!is_number(Release::V9_2, "memory"));
        assert!(is_number(Release::V9_2, "cores"));
        assert_eq!(find(Release::V7_4, "ciupgrade"), None);
        assert!(find(Release::V9_2, "ciupgrade").is_some());
    }
}
