//! What `GET /cluster/resources` knows: a picture of the cluster that is taken every ten seconds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::World;

/// How often the picture is taken.
pub(crate) const EVERY_S: u64 = 10;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Inventory {
    /// Which ten seconds the picture is of.
    period: u64,
    pub(crate) vms: BTreeMap<u32, Seen>,
}

/// A VM in the picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) incarnation: u64,
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) uptime_s: u64,
}

impl World {
    /// Takes the picture if its time has come. Called before anything changes, it shows what was there at the end
    /// of the last ten seconds.
    pub(crate) fn take_inventory(&mut self, now_s: u64) {
        let period = now_s / EVERY_S;
        if period == self.inventory.period {
            return;
        }
        let taken_s = period * EVERY_S;
        let seen = self.vms.iter().filter(|(_, vm)| {
            self.nodes.get(&vm.node).is_some_and(|node| node.is_online)
                && vm.lock() != Some("clone")
        });
        let seen = seen.map(|(id, vm)| {
            let seen = Seen {
                incarnation: vm.incarnation,
                name: vm.name().to_owned(),
                status: if vm.run.is_some() { "running".into() } else { "stopped".into() },
                uptime_s: vm.run.map_or(0, |run| taken_s.saturating_sub(run.since_s)),
            };
            (*id, seen)
        });
        self.inventory = Inventory { period, vms: seen.collect() };
    }

    /// A VM as the picture shows it, unless it was made since.
    pub(crate) fn seen(&self, id: u32) -> Option<&Seen> {
        let vm = self.vms.get(&id)?;
        self.inventory.vms.get(&id).filter(|seen| seen.incarnation == vm.incarnation)
    }
}
