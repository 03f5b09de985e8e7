//! Settings of the machine's kernel that a kubelet changes for all, and `down` restores.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};

/// The kubelet's container manager sets these (pkg/kubelet/cm, `setupKernelTunables`).
const SETTINGS: [&str; 6] = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

/// Values by name, as they were.
pub(crate) type Settings = BTreeMap<String, String>;

pub(crate) fn read() -> Settings {
    let read = |name: &str| {
        let value = std::fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
        Some((name.to_owned(), value.trim().to_owned()))
    };
    SETTINGS.into_iter().filter_map(read).collect()
}

/// Writes back what has changed.
pub(crate) fn restore(before: &Settings) -> Result<()> {
    let now = read();
    for (name, value) in before.iter().filter(|(name, value)| now.get(*name) != Some(value)) {
        let path = Path::new("/proc/sys").join(name);
        std::fs::write(&path, value).with_context(|| format!("restore {}", path.display()))?;
    }
    Ok(())
}
