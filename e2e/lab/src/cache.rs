//! What was built and fetched: each entry is named after its content, and goes when
//! nobody has used it for a month.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};

use crate::context::Context;
use crate::process::now_ms;

/// Folders of the cache whose children are entries.
const KINDS: [&str; 10] =
    ["bench", "debian", "go", "helm", "images", "imported", "packages", "pause", "python", "tools"];
const KEEP: Duration = Duration::from_hours(30 * 24);

/// Notes that an entry is in use.
pub(crate) fn used(entry: &Path) -> Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    utimensat(CWD, entry, &times, AtFlags::empty())
        .with_context(|| format!("note the use of {}", entry.display()))
}

/// Makes an entry of what is finished. Unpacked packages have the date of their making, which
/// may be years ago: the entry's use begins now.
pub(crate) fn keep(finished: &Path, entry: &Path) -> Result<()> {
    std::fs::rename(finished, entry).with_context(|| format!("make {}", entry.display()))?;
    used(entry)
}

/// Makes a folder empty.
pub(crate) fn renew(folder: &Path) -> Result<()> {
    remove(folder)?;
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))
}

pub(crate) fn remove(path: &Path) -> Result<()> {
    let removed = match path.symlink_metadata() {
        Err(_) => return Ok(()),
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
    };
    removed.with_context(|| format!("remove {}", path.display()))
}

/// Removes what nobody has used for long.
pub(crate) fn prune(cx: &Context) -> Result<()> {
    prune_older(&cx.layout.cache, now_ms() / 1000, |entry| {
        cx.progress.say(format!("{} was not used for a month: removed", entry.display()));
    })
}

fn prune_older(cache: &Path, now_s: u64, mut tell: impl FnMut(&Path)) -> Result<()> {
    let oldest = i64::try_from(now_s.saturating_sub(KEEP.as_secs()))?;
    for kind in KINDS {
        let Ok(entries) = cache.join(kind).read_dir() else { continue };
        for entry in entries {
            let entry = entry?.path();
            if entry.symlink_metadata()?.mtime() < oldest {
                remove(&entry)?;
                tell(&entry);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_just_unpacked_from_an_old_package_is_new_here() {
        let cache = tempfile::tempdir().expect("a folder");
        let (unfinished, entry) = (cache.path().join("a"), cache.path().join("debian/a"));
        renew(&unfinished).expect("a folder");
        renew(entry.parent().expect("it has one")).expect("a folder");
        let old = Timespec { tv_sec: 1_000_000_000, tv_nsec: 0 };
        let times = Timestamps { last_access: old, last_modification: old };
        utimensat(CWD, &unfinished, &times, AtFlags::empty()).expect("it is there");
        keep(&unfinished, &entry).expect("both are there");
        prune_older(cache.path(), now_ms() / 1000, |_| {}).expect("it is a folder");
        assert!(entry.exists(), "nobody could have used it earlier");
    }

    #[test]
    fn an_entry_goes_a_month_after_its_last_use() {
        let cache = tempfile::tempdir().expect("a folder");
        let entry = cache.path().join("go/runc-123");
        renew(&entry).expect("a folder");
        used(&entry).expect("it is there");
        let now_s = now_ms() / 1000;
        prune_older(cache.path(), now_s + KEEP.as_secs() - 60, |_| {}).expect("it is a folder");
        assert!(entry.exists(), "it was used within a month");
        prune_older(cache.path(), now_s + KEEP.as_secs() + 60, |_| {}).expect("it is a folder");
        assert!(!entry.exists(), "it was not");
    }
}
