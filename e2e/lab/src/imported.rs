//! containerd's store with the images in it, made once for a set of images.
//!
//! Importing takes seconds on every node of every lab. Instead each node gets hard
//! links to one store: containerd never changes layers and blobs in place, and its
//! few databases are copied.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use crate::cache;
use crate::cancel::{Attempt, Cancel};
use crate::catalogue::Written;
use crate::command::{capture, open_log};
use crate::context::Context;
use crate::digest::{Digest, files};
use crate::golang::Built;
use crate::namespace::probe_unix;
use crate::process::Identity;

/// containerd's name for what Kubernetes runs.
const CRI: &str = "k8s.io";
const START: Duration = Duration::from_secs(20);

/// Makes the store, unless the cache holds it. Images that change often are left out:
/// nodes import what they lack.
pub(crate) fn prepare(
    cx: &Context,
    containerd: &Built,
    ctr: &Built,
    images: &[Written],
) -> Result<PathBuf> {
    let images: Vec<_> = images.iter().filter(|image| image.name != "runner").collect();
    let mut digest = Digest::default();
    digest.add(&containerd.key);
    for image in &images {
        digest.add(&image.reference);
    }
    let store = cx.layout.cache.join("imported").join(digest.key());
    if store.exists() {
        cache::used(&store)?;
        return Ok(store);
    }
    let _task = cx.progress.task("import images into a store for all nodes");
    let unfinished = store.with_extension("unfinished");
    let run = store.with_extension("run");
    for folder in [&unfinished, &run] {
        cache::renew(folder)?;
    }
    let socket = run.join("containerd.sock");
    let config = run.join("containerd.toml");
    let value = |path: &Path| serde_json::to_string(path).context("paths are text");
    let text = format!(
        "version = 3\nroot = {}\nstate = {}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
         [grpc]\naddress = {}\n[ttrpc]\naddress = {}\n\
         [plugins.\"io.containerd.internal.v1.opt\"]\npath = {}\n",
        value(&unfinished)?,
        value(&run)?,
        value(&socket)?,
        value(&run.join("ttrpc.sock"))?,
        value(&run.join("opt"))?,
    );
    std::fs::write(&config, text)?;
    let log = open_log(&cx.layout.build_log("import"))?;
    let mut command = Command::new(&containerd.path);
    command.arg("--config").arg(&config);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let mut child = command.spawn().context("start containerd")?;
    let done = cx
        .cancel
        .until(START, "containerd answers", || Attempt::retry(probe_unix(&socket)))
        .and_then(|()| import(&cx.cancel, &ctr.path, &socket, images));
    end(&mut child)?;
    done?;
    cache::keep(&unfinished, &store)?;
    std::fs::remove_dir_all(run)?;
    Ok(store)
}

fn end(child: &mut Child) -> Result<()> {
    Identity::of_child(child)?.signal(Signal::TERM);
    child.wait().context("wait for containerd")?;
    Ok(())
}

/// Imports the images that a containerd lacks.
pub(crate) fn import<'a>(
    cancel: &Cancel,
    ctr: &Path,
    socket: &Path,
    images: impl IntoIterator<Item = &'a Written>,
) -> Result<()> {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(ctr);
        command.arg("--address").arg(socket).args(["--namespace", CRI, "images"]);
        capture(command.args(arguments))
    };
    let present = run(&["list", "--quiet"])?;
    for image in images {
        cancel.check()?;
        if !present.lines().any(|line| line == image.reference) {
            let archive = image.archive.to_str().context("paths of the cache are text")?;
            run(&["import", "--local", archive])
                .with_context(|| format!("import {}", image.name))?;
        }
    }
    Ok(())
}

/// Gives a node the store.
pub(crate) fn link(store: &Path, root: &Path) -> Result<()> {
    let mut copy = Command::new("cp");
    if capture(copy.args(["-a", "--link"]).arg(store).arg(root)).is_err() {
        // Another file system: the node imports what it lacks, which is all.
        if root.exists() {
            std::fs::remove_dir_all(root)?;
        }
        return Ok(());
    }
    for database in files(store)?.iter().filter(|file| is_written_in_place(file)) {
        let own = root.join(database.strip_prefix(store)?);
        std::fs::remove_file(&own)?;
        let length = std::fs::copy(database, &own)?;
        ensure!(length > 0, "{} is empty", database.display());
    }
    Ok(())
}

fn is_written_in_place(file: &Path) -> bool {
    // bolt's databases lie outside the snapshots.
    let in_snapshot = file.components().any(|part| part.as_os_str() == "snapshots");
    !in_snapshot && file.extension().is_some_and(|extension| extension == "db")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn nodes_share_layers_but_not_databases() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = folder.path().join("store");
        let layer = "overlayfs/snapshots/1/fs/bin/program";
        for (name, text) in [("bolt/meta.db", "names"), (layer, "program")] {
            let path = store.join(name);
            std::fs::create_dir_all(path.parent().expect("has one")).expect("a folder");
            std::fs::write(path, text).expect("is written");
        }
        let node = folder.path().join("node");
        link(&store, &node).expect("one file system");
        let is_shared = |name: &str| {
            let inode = |root: &Path| root.join(name).metadata().expect("is there").ino();
            inode(&store) == inode(&node)
        };
        assert!(is_shared(layer));
        assert!(!is_shared("bolt/meta.db"));
    }
}
