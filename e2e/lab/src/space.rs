//! Room on the disk: a kubelet whose disk is full takes no pods, and nothing that the
//! lab is asked for then works or says why.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rustix::fs::statvfs;

use crate::layout::Layout;

/// What a lab writes while it is up, with as much again to stay clear of the kubelets'
/// thresholds.
const NEEDED: u64 = 2 << 30;

/// Fails where the lab has too little room.
pub(crate) fn check(layout: &Layout) -> Result<()> {
    [&layout.state, &layout.cache].into_iter().try_for_each(|folder| check_folder(folder))
}

fn check_folder(folder: &Path) -> Result<()> {
    let existing = folder.ancestors().find(|path| path.exists()).unwrap_or(folder);
    let disk = statvfs(existing).with_context(|| format!("ask {}", existing.display()))?;
    let free = disk.f_bavail * disk.f_frsize;
    ensure!(
        free >= NEEDED,
        "{} has {} MiB free, the lab needs {} MiB: make room, or name another folder with --state and --cache",
        folder.display(),
        free >> 20,
        NEEDED >> 20
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_room_is_named() {
        // Nothing can be stored there.
        let error = check_folder(Path::new("/proc/warren")).expect_err("it has no room");
        assert!(error.to_string().starts_with("/proc/warren has 0 MiB free"), "{error}");
    }
}
