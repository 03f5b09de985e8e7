//! The lab's control groups, in every hierarchy of cgroup v1 and in v2.
//!
//! `warren-lab/parts` holds the supervisor and all it starts, `warren-lab/NODE` the
//! pods of a node. A process that the lab started can leave neither, so these groups
//! find what a crash left behind.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::network::NODES;

/// Below the root of each hierarchy.
const TREE: &str = "warren-lab";
const PARTS: &str = "parts";

#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    root: PathBuf,
    is_v2: bool,
}

/// The path of a node's group as the kubelet names it.
pub(crate) fn node(node: &str) -> String {
    format!("/{TREE}/{node}")
}

/// Makes the groups.
pub(crate) fn create() -> Result<()> {
    for hierarchy in hierarchies()? {
        let tree = hierarchy.root.join(TREE);
        let groups = NODES.iter().map(|node| node.name).chain([PARTS]);
        for group in groups.map(|name| tree.join(name)) {
            std::fs::create_dir_all(&group).with_context(|| format!("make {}", group.display()))?;
        }
        if hierarchy.is_v2 {
            delegate(&hierarchy.root);
            delegate(&tree);
        } else if hierarchy.root.join("cpuset.cpus").exists() {
            inherit_cpuset(&hierarchy.root)?;
        }
    }
    Ok(())
}

/// Moves this process and all it will start into the group of parts.
pub(crate) fn join() -> Result<()> {
    for hierarchy in hierarchies()? {
        let file = hierarchy.root.join(TREE).join(PARTS).join("cgroup.procs");
        std::fs::write(&file, "0").with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

/// Numbers of the processes in the pods of a node.
pub(crate) fn pod_processes(node: &str) -> Result<BTreeSet<i32>> {
    processes(&Path::new(TREE).join(node))
}

/// Numbers of all processes of the lab.
pub(crate) fn all_processes() -> Result<BTreeSet<i32>> {
    processes(Path::new(TREE))
}

/// Whether any of the groups is there, empty or not.
pub(crate) fn exist() -> Result<bool> {
    Ok(hierarchies()?.iter().any(|hierarchy| hierarchy.root.join(TREE).exists()))
}

/// Removes the groups, which must be empty.
pub(crate) fn delete() -> Result<()> {
    for hierarchy in hierarchies()? {
        let tree = hierarchy.root.join(TREE);
        for group in groups_below(&tree).into_iter().rev() {
            std::fs::remove_dir(&group).with_context(|| format!("remove {}", group.display()))?;
        }
    }
    Ok(())
}

fn processes(below: &Path) -> Result<BTreeSet<i32>> {
    let mut found = BTreeSet::new();
    for hierarchy in hierarchies()? {
        for group in groups_below(&hierarchy.root.join(below)) {
            // A group may vanish while it is read; then it held nothing.
            let list = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            found.extend(list.lines().filter_map(|pid| pid.parse::<i32>().ok()));
        }
    }
    // Zero stands for a process of another process namespace.
    found.remove(&0);
    Ok(found)
}

/// The group and all below it, parents first.
fn groups_below(group: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut next = vec![group.to_owned()];
    while let Some(group) = next.pop() {
        let Ok(entries) = group.read_dir() else { continue };
        next.extend(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()));
        found.push(group);
    }
    found
}

/// Hands the controllers of a v2 group to the groups below it. What the machine
/// withholds from us it withholds; the kubelet says what it misses.
fn delegate(group: &Path) {
    let offered = std::fs::read_to_string(group.join("cgroup.controllers")).unwrap_or_default();
    for controller in offered.split_whitespace() {
        let _ = std::fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// A new cpuset of v1 is empty and takes no process until it is filled, top-down.
fn inherit_cpuset(root: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let all = std::fs::read_to_string(root.join(file))?;
        for group in groups_below(&root.join(TREE)) {
            let path = group.join(file);
            std::fs::write(&path, &all).with_context(|| format!("write {}", path.display()))?;
        }
    }
    Ok(())
}

fn hierarchies() -> Result<Vec<Hierarchy>> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    Ok(parse(&mounts))
}

fn parse(mounts: &str) -> Vec<Hierarchy> {
    let parse_line = |line: &str| {
        let (mount, source) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (shown, point) = (mount.next()?, mount.next()?);
        let is_v2 = match source.split(' ').next()? {
            "cgroup" => false,
            "cgroup2" => true,
            _ => return None,
        };
        // Only whole hierarchies, in their usual place.
        let is_usual = shown == "/" && point.starts_with("/sys/fs/cgroup");
        is_usual.then(|| Hierarchy { root: point.into(), is_v2 })
    };
    mounts.lines().filter_map(parse_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_found_in_a_hybrid_machine() {
        let mounts = "\
30 25 0:26 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n\
31 25 0:27 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n\
32 25 0:28 /one /sys/fs/cgroup/elsewhere rw,relatime - cgroup cgroup rw,cpu\n\
33 25 0:29 / /proc rw,relatime - proc proc rw\n";
        let found = parse(mounts);
        let expected = [("/sys/fs/cgroup/pids", false), ("/sys/fs/cgroup/unified", true)]
            .map(|(root, is_v2)| Hierarchy { root: root.into(), is_v2 });
        assert_eq!(found, expected);
    }
}
