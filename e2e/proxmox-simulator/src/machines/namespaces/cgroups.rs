//! Control groups of machines, in every hierarchy of version 1 and in version 2.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Makes a group, and lets what is below it use what the machine has.
pub(crate) fn create(group: &str) -> Result<()> {
    for root in hierarchies()? {
        let path = below(&root, group);
        std::fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        let mut level = root.clone();
        for part in group.split('/').filter(|part| !part.is_empty()) {
            delegate(&level);
            level.push(part);
            inherit_cpuset(&root, &level)?;
        }
    }
    Ok(())
}

/// Moves this process into a group.
pub(crate) fn join(group: &str) -> Result<()> {
    for root in hierarchies()? {
        let file = below(&root, group).join("cgroup.procs");
        std::fs::write(&file, "0").with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

/// Numbers of the processes in a group and below it.
pub(crate) fn processes(group: &str) -> Result<BTreeSet<i32>> {
    let mut found = BTreeSet::new();
    for root in hierarchies()? {
        for group in with_children(&below(&root, group)) {
            // A group may vanish while it is read; then it held nothing.
            let list = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            found.extend(list.lines().filter_map(|pid| pid.parse::<i32>().ok()));
        }
    }
    // Zero stands for a process of another process namespace.
    found.remove(&0);
    Ok(found)
}

/// Removes a group and what is below it; all must be empty.
pub(crate) fn delete(group: &str) -> Result<()> {
    for root in hierarchies()? {
        for group in with_children(&below(&root, group)).into_iter().rev() {
            if group.exists() {
                std::fs::remove_dir(&group)
                    .with_context(|| format!("remove {}", group.display()))?;
            }
        }
    }
    Ok(())
}

/// Removes a group if nothing is in it or below it.
pub(crate) fn delete_if_empty(group: &str) {
    for root in hierarchies().unwrap_or_default() {
        // Others may have groups there.
        let _ = std::fs::remove_dir(below(&root, group));
    }
}

/// The names of the groups right below one that begin like this.
pub(crate) fn children(group: &str, prefix: &str) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for root in hierarchies()? {
        let Ok(entries) = below(&root, group).read_dir() else { continue };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        found.extend(names.filter(|name| name.starts_with(prefix)));
    }
    Ok(found)
}

fn below(root: &Path, group: &str) -> PathBuf {
    root.join(group.trim_start_matches('/'))
}

/// A group and all below it, parents first.
fn with_children(group: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut next = vec![group.to_owned()];
    while let Some(group) = next.pop() {
        if let Ok(entries) = group.read_dir() {
            next.extend(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()));
        }
        found.push(group);
    }
    found
}

/// Hands the controllers of a v2 group to those below it, as far as they can be had.
fn delegate(group: &Path) {
    let offered = std::fs::read_to_string(group.join("cgroup.controllers")).unwrap_or_default();
    for controller in offered.split_whitespace() {
        let _ = std::fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// A new cpuset of v1 takes no process until it is filled.
fn inherit_cpuset(root: &Path, group: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let (from, to) = (root.join(file), group.join(file));
        // In v2 the root has no such file and nothing is to be done.
        let Ok(all) = std::fs::read_to_string(&from) else { continue };
        if std::fs::read_to_string(&to).is_ok_and(|own| own.trim().is_empty()) {
            std::fs::write(&to, all).with_context(|| format!("write {}", to.display()))?;
        }
    }
    Ok(())
}

fn hierarchies() -> Result<Vec<PathBuf>> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").context("read the mounts")?;
    Ok(parse(&mounts))
}

fn parse(mounts: &str) -> Vec<PathBuf> {
    let parse_line = |line: &str| {
        let (mount, source) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (shown, point) = (mount.next()?, mount.next()?);
        let is_group = ["cgroup", "cgroup2"].contains(&source.split(' ').next()?);
        let is_usual = shown == "/" && point.starts_with("/sys/fs/cgroup");
        (is_group && is_usual).then(|| PathBuf::from(point))
    };
    mounts.lines().filter_map(parse_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_hierarchies_of_both_versions_are_found() {
        let mounts = "\
30 25 0:26 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
31 25 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
32 25 0:28 /one /sys/fs/cgroup/other rw - cgroup cgroup rw,cpu\n\
33 25 0:29 / /proc rw - proc proc rw\n";
        let expected = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified"].map(PathBuf::from);
        assert_eq!(parse(mounts), expected);
    }
}
