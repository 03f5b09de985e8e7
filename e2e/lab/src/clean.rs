//! Removing a lab: in order while its supervisor lives, and whatever is left otherwise.
//!
//! Leftovers are found four ways, so that nothing else is ever touched: processes that
//! the supervisor recorded (number and start time), members of the lab's network and
//! mount namespaces, members of its control groups, and mounts below its state.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use crate::cancel::{Attempt, Cancel};
use crate::cgroups;
use crate::context::Context;
use crate::kernel;
use crate::layout::{Layout, read_json};
use crate::lock::Present;
use crate::mounts;
use crate::namespace;
use crate::network;
use crate::process::{self, Identity};
use crate::record::Record;

/// How long the supervisor may take to stop everything.
const ORDERLY: Duration = Duration::from_mins(1);
/// How long killed processes and their groups may take to vanish.
const VANISH: Duration = Duration::from_secs(20);

/// Stops the lab and removes all that `up` made; what was built stays.
pub(crate) fn down(cx: &Context) -> Result<()> {
    for layout in labs(&cx.layout) {
        let record: Option<Record> = read_json(&layout.record()).ok();
        let supervisor = record.and_then(|record| {
            record.processes().into_iter().find(|process| *process == record.supervisor)
        });
        if let Some(supervisor) = supervisor {
            let _task = cx.progress.task("stop the parts");
            supervisor.stop(ORDERLY)?;
        }
    }
    clean(cx)
}

/// Removes whatever is left of a lab.
pub(crate) fn clean(cx: &Context) -> Result<()> {
    let step = |name: &str| cx.progress.task(name);
    let present = Present::read();
    let layouts = labs(&cx.layout);
    let task = step("end what is left of the lab's processes");
    kill(&layouts)?;
    drop(task);
    let task = step("remove mounts and namespaces");
    for layout in &layouts {
        mounts::unmount_below(&layout.state)?;
    }
    network::delete()?;
    drop(task);
    let task = step("remove control groups");
    Cancel::default()
        .until(VANISH, "the control groups are empty", || Attempt::retry(cgroups::delete()))?;
    drop(task);
    let _task = step("remove the lab's files");
    if let Some(present) = &present {
        kernel::restore(&present.settings)?;
    }
    for layout in layouts.iter().filter(|layout| layout.owns_state()) {
        let state = &layout.state;
        std::fs::remove_dir_all(state).with_context(|| format!("remove {}", state.display()))?;
    }
    Present::remove()
}

/// Whether anything of a lab is there.
pub(crate) fn is_anything_left(layout: &Layout) -> Result<bool> {
    let has_namespace = network::namespaces().any(|name| namespace::path(name).exists());
    let layouts = labs(layout);
    let has_state = layouts.iter().any(Layout::owns_state);
    for layout in &layouts {
        if !mounts::below(&layout.state)?.is_empty() {
            return Ok(true);
        }
    }
    let has_group = cgroups::exist()?;
    let has_process = !leftovers(&layouts)?.is_empty();
    Ok(has_namespace || has_state || has_group || has_process || Present::read().is_some())
}

/// The lab that was asked for and, if it has another state, the one that is present.
fn labs(layout: &Layout) -> Vec<Layout> {
    let other = Present::read().map(|present| present.state).filter(|state| *state != layout.state);
    let other = other.map(|state| Layout { state, ..layout.clone() });
    std::iter::once(layout.clone()).chain(other).collect()
}

fn kill(layouts: &[Layout]) -> Result<()> {
    Cancel::default().until(VANISH, "all processes of the lab end", || match leftovers(layouts) {
        Ok(left) if left.is_empty() => Attempt::Done(()),
        Ok(left) => {
            for process in &left {
                process.signal(Signal::KILL);
            }
            Attempt::Again(format!("{left:?}"))
        }
        Err(error) => Attempt::Failed(error),
    })
}

fn leftovers(layouts: &[Layout]) -> Result<BTreeSet<Identity>> {
    let mut found: BTreeSet<Identity> = layouts
        .iter()
        .filter_map(|layout| read_json::<Record>(&layout.record()).ok())
        .flat_map(|record| record.processes())
        .collect();
    found.extend(cgroups::all_processes()?.into_iter().filter_map(Identity::of));
    found.extend(members(layouts).into_iter().filter_map(Identity::of));
    let ours = ancestry();
    found.retain(|process| !ours.contains(&process.pid));
    Ok(found)
}

/// Processes in the lab's network and mount namespaces.
fn members(layouts: &[Layout]) -> Vec<i32> {
    let networks = network::namespaces().map(namespace::path);
    let holders = layouts.iter().filter_map(|layout| layout.namespaces().read_dir().ok());
    let mounts = holders.flatten().flatten().map(|entry| entry.path());
    // An inode number names a namespace only among the files of the kernel's own
    // file system of namespaces.
    let kernel = inode(Path::new("/proc/self/ns/net")).map(|(device, _)| device);
    let namespaces: BTreeSet<(u64, u64)> = networks
        .chain(mounts)
        .filter_map(|path| inode(&path))
        .filter(|(device, _)| Some(*device) == kernel)
        .collect();
    let is_member = |pid: &i32| {
        let own = ["net", "mnt"].map(|kind| PathBuf::from(format!("/proc/{pid}/ns/{kind}")));
        own.iter().filter_map(|path| inode(path)).any(|own| namespaces.contains(&own))
    };
    process::all().into_iter().filter(is_member).collect()
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// This process and those that it hangs on.
fn ancestry() -> BTreeSet<i32> {
    let own = i32::try_from(std::process::id()).ok();
    std::iter::successors(own, |pid| process::parent(*pid).filter(|parent| *parent > 0)).collect()
}
