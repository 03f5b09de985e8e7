//! The mounts of a machine. It sees this machine's programs and cannot change them; `/run`, `/etc`, `/var/lib`,
//! `/var/log` and `/tmp` are its own; its firmware says which machine it is.

use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind_recursive, mount_change, mount_move,
    mount_remount,
};
use sha2::{Digest as _, Sha256};

use super::inside::Order;

/// Where folders are kept while those above them are hidden.
const KEPT: &str = "/run/kept";
const HIDDEN: [&str; 3] = ["/var/lib", "/var/log", "/tmp"];

/// Furnishes the mount namespace that this process is in, which must be its own.
pub(crate) fn furnish(order: &Order) -> Result<()> {
    tmpfs(Path::new("/run"))?;
    std::fs::create_dir_all("/run/netns")?;
    overlay("/etc")?;
    let kept = &order.settings.kept;
    for (number, folder) in kept.iter().enumerate() {
        let place = format!("{KEPT}/{number}");
        std::fs::create_dir_all(&place)?;
        mount_bind_recursive(folder, &place)
            .with_context(|| format!("keep {}", folder.display()))?;
    }
    for hidden in HIDDEN {
        tmpfs(Path::new(hidden))?;
    }
    mount_remount("/", MountFlags::BIND | MountFlags::RDONLY, "").context("make / read-only")?;
    for (number, folder) in kept.iter().enumerate() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{} lies below none of {HIDDEN:?}", folder.display()))?;
        let place = format!("{KEPT}/{number}");
        mount_move(&place, folder).with_context(|| format!("show {}", folder.display()))?;
    }
    identify(order)?;
    mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC)
        .context("share the mounts with containers")
}

/// What a program that is to see the machine's firmware is started by. Nobody else may see it: the kernel lets a user
/// namespace have a `/sys` of its own only where nothing of the machine's is covered. What is mounted elsewhere is
/// still shared.
pub(crate) const SEES_FIRMWARE: &str = "mount --make-private /sys && mount -t overlay machine -o \
    lowerdir=/sys/class,upperdir=/run/overlay/sys/class/own,workdir=/run/overlay/sys/class/work /sys/class && exec \"$@\"";

/// The kubelet reads who its machine is from the firmware and from a file. Where the kernel shows no firmware, its
/// folder is laid over what there is.
fn identify(order: &Order) -> Result<()> {
    let uuid = order.hardware.uuid.clone().unwrap_or_default().to_lowercase();
    let firmware = Path::new("/run/overlay/sys/class/own/dmi/id");
    std::fs::create_dir_all(firmware)?;
    std::fs::write(firmware.join("product_uuid"), format!("{uuid}\n"))?;
    std::fs::write(firmware.join("product_serial"), format!("{}\n", order.hardware.name))?;
    std::fs::write(firmware.join("product_name"), "Standard PC (Q35 + ICH9, 2009)\n")?;
    std::fs::write(firmware.join("sys_vendor"), "QEMU\n")?;
    std::fs::create_dir_all("/run/overlay/sys/class/work")?;
    std::fs::write("/etc/machine-id", format!("{}\n", machine_id(&uuid)))
        .context("write the machine id")
}

/// Another one for each machine, and the same at each of its starts.
pub(crate) fn machine_id(uuid: &str) -> String {
    let mut text = hex::encode(Sha256::digest(format!("machine-id {uuid}")));
    text.truncate(32);
    text
}

fn tmpfs(folder: &Path) -> Result<()> {
    mount("machine", folder, "tmpfs", MountFlags::empty(), Some(c"mode=755"))
        .with_context(|| format!("mount {}", folder.display()))
}

/// Lets changes of a folder be seen by this machine only.
fn overlay(folder: &str) -> Result<()> {
    let (own, work) = (format!("/run/overlay{folder}/own"), format!("/run/overlay{folder}/work"));
    for place in [&own, &work] {
        std::fs::create_dir_all(place)?;
    }
    let options = format!("lowerdir={folder},upperdir={own},workdir={work}");
    let options = std::ffi::CString::new(options)?;
    mount("machine", folder, "overlay", MountFlags::empty(), Some(options.as_c_str()))
        .with_context(|| format!("mount {folder}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_has_its_own_id() {
        let (one, two) = (machine_id("a"), machine_id("b"));
        assert_eq!(one.len(), 32);
        assert_ne!(one, two);
        assert_eq!(one, machine_id("a"));
    }
}
