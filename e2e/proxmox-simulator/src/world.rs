//! The state of the cluster: what the files and daemons of all its nodes know together.

pub(crate) mod inventory;
pub(crate) mod storage;
pub(crate) mod vm;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::access::login::Ticket;
use crate::access::{Access, Actor, Privileges, Taken};
use crate::failure::Failure;
use crate::release::Release;
use crate::task::Tasks;

use inventory::Inventory;
use storage::{Storage, Volume};
use vm::Vm;

/// Everything that is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct World {
    pub(crate) name: String,
    pub(crate) release: Release,
    pub(crate) has_quorum: bool,
    pub(crate) nodes: BTreeMap<String, Node>,
    pub(crate) bridges: Vec<String>,
    pub(crate) storages: BTreeMap<String, Storage>,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) vms: BTreeMap<u32, Vm>,
    pub(crate) pools: BTreeMap<String, Pool>,
    pub(crate) access: Access,
    pub(crate) tickets: Vec<Ticket>,
    pub(crate) tasks: Tasks,
    pub(crate) inventory: Inventory,
    /// VMs whose guests do not listen to the power button.
    pub(crate) deaf: BTreeSet<u32>,
    /// VMs whose guest agents do not answer.
    pub(crate) silent: BTreeSet<u32>,
    /// How many VMs were ever made.
    pub(crate) made: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) is_online: bool,
    /// `address:port` of its API.
    pub(crate) address: String,
    pub(crate) cores: u32,
    pub(crate) memory_mib: u64,
    /// The hash of its certificate.
    pub(crate) fingerprint: String,
    /// Seconds since 1970.
    pub(crate) booted_s: u64,
    pub(crate) has_expired_certificate: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Pool {
    pub(crate) comment: String,
    pub(crate) vms: BTreeSet<u32>,
    pub(crate) storages: BTreeSet<String>,
}

impl World {
    /// What an actor may do at a path.
    pub(crate) fn privileges(&self, actor: &Actor, path: &str) -> Privileges {
        let pool = self.pool_of_path(path);
        self.access.privileges(self.release, actor, path, pool.as_deref())
    }

    pub(crate) fn require(
        &self,
        actor: &Actor,
        path: &str,
        wanted: &[&str],
    ) -> Result<(), Failure> {
        crate::access::require(&self.privileges(actor, path), path, wanted)
    }

    pub(crate) fn require_any(
        &self,
        actor: &Actor,
        path: &str,
        wanted: &[&str],
    ) -> Result<(), Failure> {
        crate::access::require_any(&self.privileges(actor, path), path, wanted)
    }

    pub(crate) fn may(&self, actor: &Actor, path: &str, privilege: &str) -> bool {
        self.privileges(actor, path).contains_key(privilege)
    }

    fn pool_of_path(&self, path: &str) -> Option<String> {
        if let Some(id) = path.strip_prefix("/vms/") {
            return self.pool_of(id.parse().ok()?).map(str::to_owned);
        }
        let storage = path.strip_prefix("/storage/")?;
        let holder = self.pools.iter().find(|(_, pool)| pool.storages.contains(storage))?;
        Some(holder.0.clone())
    }

    /// The pool that a VM is in.
    pub(crate) fn pool_of(&self, vm: u32) -> Option<&str> {
        let holder = self.pools.iter().find(|(_, pool)| pool.vms.contains(&vm))?;
        Some(holder.0)
    }

    /// A VM on a node, or the daemon's words for one that is not there.
    pub(crate) fn vm(&self, node: &str, id: u32) -> Result<&Vm, Failure> {
        self.vms.get(&id).filter(|vm| vm.node == node).ok_or_else(|| no_such_vm(node, id))
    }

    pub(crate) fn vm_mut(&mut self, node: &str, id: u32) -> Result<&mut Vm, Failure> {
        let vm = self.vms.get_mut(&id).filter(|vm| vm.node == node);
        vm.ok_or_else(|| no_such_vm(node, id))
    }

    /// Puts a new VM into the cluster.
    pub(crate) fn insert_vm(&mut self, id: u32, vm: Vm) {
        self.made += 1;
        let incarnation = self.made;
        self.vms.insert(id, Vm { incarnation, ..vm });
    }

    /// Removes a VM and what belongs to it by name; its volumes stay.
    pub(crate) fn forget_vm(&mut self, id: u32) -> Option<Vm> {
        for pool in self.pools.values_mut() {
            pool.vms.remove(&id);
        }
        let path = format!("/vms/{id}");
        self.access.entries.retain(|entry| entry.path != path);
        self.vms.remove(&id)
    }

    /// Takes a privilege from a user or token at a path and below it.
    pub(crate) fn take_privilege(&mut self, path: &str, who: &str, privilege: &str) {
        self.access.taken.insert(Taken {
            path: path.into(),
            who: who.into(),
            privilege: privilege.into(),
        });
    }
}

/// What the daemon says of a VM that is not there.
pub(crate) fn no_such_vm(node: &str, id: u32) -> Failure {
    Failure::internal(format!(
        "Configuration file 'nodes/{node}/qemu-server/{id}.conf' does not exist"
    ))
}
