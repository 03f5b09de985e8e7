//! The nodes' mount namespaces, and the mounts that a lab leaves.
//!
//! A node keeps its own `/run`, `/var/lib` and `/var/log`, and its own changes of `/etc`:
//! two kubelets do not share the sockets whose paths are fixed, and whatever is mounted or written there ends
//! with the namespace, also after a crash.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use crate::command::capture;
use crate::layout::Layout;

/// Run as the first program in a node's mount namespace; the arguments are the
/// folders of this machine that the node still needs to see.
const FURNISH: &str = r#"
set -eu
# -n: nothing about it is written to the machine's own /run.
mount -n -t tmpfs -o mode=755 warren-lab /run
mkdir -p /run/netns /run/kept /run/etc/own /run/etc/work
mount -n -t overlay -o lowerdir=/etc,upperdir=/run/etc/own,workdir=/run/etc/work warren-lab /etc
count=0
for folder in "$@"; do
    count=$((count + 1))
    mkdir /run/kept/$count
    mount --bind "$folder" /run/kept/$count
done
for hidden in /var/lib /var/log; do
    mount -t tmpfs -o mode=755 warren-lab $hidden
done
count=0
for folder in "$@"; do
    count=$((count + 1))
    mkdir -p "$folder"
    mount --move /run/kept/$count "$folder"
done
mount --make-rshared /
"#;

/// Makes the private mount that can hold mount namespaces.
pub(crate) fn create_holder(layout: &Layout) -> Result<()> {
    let folder = layout.namespaces();
    std::fs::create_dir_all(&folder)?;
    rustix::mount::mount("warren-lab", &folder, "tmpfs", MountFlags::empty(), None)
        .and_then(|()| rustix::mount::mount_change(&folder, MountPropagationFlags::PRIVATE))
        .with_context(|| format!("mount {}", folder.display()))
}

/// The file that holds the mount namespace of a node.
pub(crate) fn namespace(layout: &Layout, node: &str) -> PathBuf {
    layout.namespaces().join(node)
}

/// Makes and furnishes the mount namespace of a node.
pub(crate) fn create_namespace(layout: &Layout, node: &str) -> Result<()> {
    let file = namespace(layout, node);
    std::fs::write(&file, "")?;
    let mut unshare = Command::new("unshare");
    unshare.arg(format!("--mount={}", file.display())).args(["--propagation", "private"]);
    unshare.args(["--", "sh", "-c", FURNISH, "sh"]).args([&layout.state, &layout.cache]);
    capture(&mut unshare).with_context(|| format!("make the mount namespace of {node}"))?;
    Ok(())
}

/// What is mounted at and below a folder, the last mount first.
pub(crate) fn below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    Ok(mount_points(&mounts).filter(|point| point.starts_with(folder)).rev().collect())
}

/// Unmounts everything at and below a folder.
pub(crate) fn unmount_below(folder: &Path) -> Result<()> {
    for point in below(folder)? {
        rustix::mount::unmount(&point, UnmountFlags::DETACH)
            .with_context(|| format!("unmount {}", point.display()))?;
    }
    Ok(())
}

/// The mount points of proc(5)'s `mountinfo`, in the order they were mounted.
fn mount_points(mounts: &str) -> impl DoubleEndedIterator<Item = PathBuf> {
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    points.map(|point| PathBuf::from(unescape(point)))
}

fn unescape(point: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(point.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_with_a_space_is_read_whole() {
        let line = "36 35 98:0 / /var/lib/my\\040lab/run rw,noatime - tmpfs warren-lab rw\n";
        let points: Vec<_> = mount_points(line).collect();
        assert_eq!(points, [PathBuf::from("/var/lib/my lab/run")]);
    }
}
