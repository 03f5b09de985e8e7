//! What lies on the simulated cluster: machines, and what is on its storages.

use proxmox_simulator::Simulator;
use serde_json::Value;
use std::collections::BTreeMap;

/// Machines by number, volumes by name, each with all that is known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Inventory {
    pub(super) vms: BTreeMap<String, Value>,
    pub(super) volumes: BTreeMap<String, Value>,
}

impl Inventory {
    pub(super) fn of(simulator: &Simulator) -> Self {
        let state = simulator.state();
        let vms = state["vms"].as_object().cloned().unwrap_or_default();
        let volumes = state["volumes"].as_array().cloned().unwrap_or_default();
        let name = |volume: &Value| {
            let part = |key: &str| volume[key].as_str().unwrap_or("everywhere").to_owned();
            format!("{} {}:{}", part("node"), part("storage"), part("name"))
        };
        Self {
            vms: vms.into_iter().collect(),
            volumes: volumes.into_iter().map(|volume| (name(&volume), volume)).collect(),
        }
    }

    /// From now on this machine is somebody else's as it is.
    pub(super) fn adopt(&mut self, simulator: &Simulator, vm: u32) {
        let now = Self::of(simulator);
        let is_of = |volume: &Value| volume["vm"] == vm;
        self.vms.extend(now.vms.into_iter().filter(|(number, _)| *number == vm.to_string()));
        self.volumes.extend(now.volumes.into_iter().filter(|(_, volume)| is_of(volume)));
    }

    /// What is there now and is not in `self`, and what of `self` is not as it was.
    pub(super) fn compare(&self, simulator: &Simulator) -> (Self, Vec<String>) {
        let Self { mut vms, mut volumes } = Self::of(simulator);
        let mut touched = Vec::new();
        for (kind, known, now) in
            [("machine", &self.vms, &mut vms), ("volume", &self.volumes, &mut volumes)]
        {
            for (name, before) in known {
                let after = now.remove(name);
                if after.as_ref() != Some(before) {
                    touched.push(format!(
                        "{kind} {name} is somebody else's and was touched: {before} became {after:?}"
                    ));
                }
            }
        }
        (Self { vms, volumes }, touched)
    }
}
