//! Images for a new machine: hard links to a store that was filled once. containerd never changes layers and blobs in
//! place; its few databases are copied.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::command::capture;

/// Gives a machine the store, unless it has one.
pub(crate) fn link(store: &Path, root: &Path) -> Result<()> {
    if root.exists() {
        return Ok(());
    }
    if capture(Command::new("cp").args(["-a", "--link"]).arg(store).arg(root)).is_err() {
        // Another file system: the machine imports what it lacks, which is all.
        return if root.exists() { Ok(std::fs::remove_dir_all(root)?) } else { Ok(()) };
    }
    for database in databases(store)? {
        let own = root.join(database.strip_prefix(store)?);
        std::fs::remove_file(&own)?;
        std::fs::copy(&database, &own).with_context(|| format!("copy {}", database.display()))?;
    }
    Ok(())
}

/// bolt's databases, which lie outside the snapshots.
fn databases(store: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut next = vec![store.to_owned()];
    while let Some(folder) = next.pop() {
        for entry in folder.read_dir().with_context(|| format!("read {}", folder.display()))? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                if !path.ends_with("snapshots") && !path.ends_with("blobs") {
                    next.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "db") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn machines_share_layers_but_not_databases() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = folder.path().join("store");
        let layer = "overlayfs/snapshots/1/fs/bin/program.db";
        for (name, text) in [("bolt/meta.db", "names"), (layer, "program")] {
            let path = store.join(name);
            std::fs::create_dir_all(path.parent().expect("has one")).expect("a folder");
            std::fs::write(path, text).expect("is written");
        }
        let root = folder.path().join("machine");
        link(&store, &root).expect("one file system");
        let is_shared = |name: &str| {
            let inode = |root: &Path| root.join(name).metadata().expect("is there").ino();
            inode(&store) == inode(&root)
        };
        assert!(is_shared(layer));
        assert!(!is_shared("bolt/meta.db"));
        link(&store, &root).expect("has one already");
    }
}
