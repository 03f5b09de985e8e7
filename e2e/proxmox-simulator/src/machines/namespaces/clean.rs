//! Removing what machines left, after a simulator that was killed.
//!
//! Their processes end with the simulator and take mounts and networks with them. What stays are empty control groups,
//! routes of others to pods, and disks.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::settings::{Route, Settings};
use super::{cable, cgroups};
use crate::nocloud::Seed;

/// How long killed processes and their groups may take to vanish.
const VANISH: Duration = Duration::from_secs(20);

/// Removes everything, the disks too.
///
/// # Errors
/// If something cannot be removed.
pub fn clean(settings: &Settings) -> Result<()> {
    end_leftovers(settings)?;
    if settings.folder.exists() {
        std::fs::remove_dir_all(&settings.folder)
            .with_context(|| format!("remove {}", settings.folder.display()))?;
    }
    Ok(())
}

/// Ends processes of machines that no simulator knows, and removes their groups and routes.
pub(super) fn end_leftovers(settings: &Settings) -> Result<()> {
    let began = Instant::now();
    let parent = settings.cgroup.trim_end_matches('/');
    for name in cgroups::children(parent, "vm-")? {
        let group = format!("{parent}/{name}");
        loop {
            for pid in cgroups::processes(&group)? {
                // It may be gone already.
                let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
            }
            let Err(error) = cgroups::delete(&group) else { break };
            ensure!(began.elapsed() < VANISH, "{error:#}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
    cgroups::delete_if_empty(parent);
    for route in routes(settings) {
        cable::withdraw(settings, &route);
    }
    Ok(())
}

/// Where pods of machines were that have a disk.
fn routes(settings: &Settings) -> Vec<Route> {
    let Ok(disks) = settings.folder.read_dir() else { return Vec::new() };
    let seeds = disks.flatten().filter_map(|disk| {
        let text = std::fs::read(disk.path().join("seed.json")).ok()?;
        serde_json::from_slice::<Seed>(&text).ok()
    });
    let cards = seeds.flat_map(|seed| {
        let macs = seed.network.values().filter_map(|card| card.matches.macaddress.clone());
        macs.filter_map(|mac| cable::address(&seed, &mac)).collect::<Vec<_>>()
    });
    cards.map(|via| Route { network: settings.pods_of(via), via }).collect()
}
