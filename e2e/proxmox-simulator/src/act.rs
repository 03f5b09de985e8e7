//! What people and accidents do to the cluster beside the API.

use serde::{Deserialize, Serialize};

use crate::access::Taken;
use crate::simulator::Simulator;
use crate::world::World;
use crate::world::vm::Vm;

/// Something that happens once and stays so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    /// A node loses its power and its VMs with it.
    NodeOffline {
        node: String,
    },
    NodeOnline {
        node: String,
    },
    /// Reads still work, writes do not.
    LoseQuorum,
    RegainQuorum,
    /// Somebody removes a VM; its disks go, too.
    DestroyVm {
        vm: u32,
    },
    /// Somebody removes a VM and makes one of his own with its id.
    RecycleVm {
        vm: u32,
        name: String,
    },
    /// Somebody takes a VM for his own.
    AdoptVm {
        vm: u32,
        name: Option<String>,
        description: Option<String>,
        tags: Option<String>,
    },
    /// Somebody changes an option of a VM, or takes it away.
    SetOption {
        vm: u32,
        key: String,
        value: Option<String>,
    },
    /// A VM goes off.
    StopVm {
        vm: u32,
    },
    /// Somebody moves a VM that is off.
    MoveVm {
        vm: u32,
        node: String,
    },
    /// A VM stays locked, as after a backup that broke off.
    LockVm {
        vm: u32,
        lock: String,
    },
    UnlockVm {
        vm: u32,
    },
    /// Others fill a storage until no node sees more than that free.
    FillStorage {
        storage: String,
        free_mib: u64,
    },
    /// What a storage lies on is away.
    StorageOffline {
        storage: String,
    },
    StorageOnline {
        storage: String,
    },
    /// A privilege is missing at a path and below it, whatever roles say. `who` is a user or `user!token`.
    TakePrivilege {
        path: String,
        who: String,
        privilege: String,
    },
    GivePrivilegeBack {
        path: String,
        who: String,
        privilege: String,
    },
    ExpireCertificate {
        node: String,
    },
    RenewCertificate {
        node: String,
    },
    /// A guest does not listen to the power button, or listens again.
    DeafenVm {
        vm: u32,
        is_deaf: bool,
    },
    /// A guest agent does not answer, or answers again.
    SilenceAgent {
        vm: u32,
        is_silent: bool,
    },
    /// The cable of a machine is taken out, or put back.
    PlugVm {
        vm: u32,
        is_plugged: bool,
    },
    /// All tasks that ended are forgotten.
    RotateTasks,
}

/// Why something could not happen.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    #[error("there is no VM {0}")]
    NoVm(u32),
    #[error("there is no node {0}")]
    NoNode(String),
    #[error("there is no storage {0}")]
    NoStorage(String),
    #[error("the machine of VM {vm}")]
    Machine {
        vm: u32,
        #[source]
        source: crate::machines::MachineError,
    },
    #[error("the certificate of {node}: {text}")]
    Certificate { node: String, text: String },
}

impl Simulator {
    /// Lets something happen.
    ///
    /// # Errors
    /// If what it happens to is not there.
    pub async fn act(&self, act: Act) -> Result<(), ActError> {
        match act {
            Act::NodeOffline { node } => self.set_node(&node, false).await?,
            Act::NodeOnline { node } => self.set_node(&node, true).await?,
            Act::LoseQuorum => self.cluster().world().has_quorum = false,
            Act::RegainQuorum => self.cluster().world().has_quorum = true,
            Act::StopVm { vm } => self.stop_vm(vm).await?,
            Act::DestroyVm { vm } => self.destroy_vm(vm).await?,
            Act::RecycleVm { vm, name } => self.recycle_vm(vm, name).await?,
            Act::PlugVm { vm, is_plugged } => {
                let plugged = self.cluster().machines.plug(vm, is_plugged).await;
                plugged.map_err(|source| ActError::Machine { vm, source })?;
            }
            Act::ExpireCertificate { node } => self.issue(&node, true)?,
            Act::RenewCertificate { node } => self.issue(&node, false)?,
            other @ (Act::AdoptVm { .. }
            | Act::SetOption { .. }
            | Act::MoveVm { .. }
            | Act::LockVm { .. }
            | Act::UnlockVm { .. }
            | Act::FillStorage { .. }
            | Act::StorageOffline { .. }
            | Act::StorageOnline { .. }
            | Act::TakePrivilege { .. }
            | Act::GivePrivilegeBack { .. }
            | Act::DeafenVm { .. }
            | Act::SilenceAgent { .. }
            | Act::RotateTasks) => self.change_state(other)?,
        }
        self.cluster().save();
        Ok(())
    }

    /// What only changes the state.
    fn change_state(&self, act: Act) -> Result<(), ActError> {
        let mut world = self.cluster().world();
        match act {
            Act::AdoptVm { vm, name, description, tags } => {
                let vm = world.vms.get_mut(&vm).ok_or(ActError::NoVm(vm))?;
                for (key, value) in [("name", name), ("description", description), ("tags", tags)] {
                    if let Some(value) = value {
                        vm.config.insert(key.into(), value);
                    }
                }
            }
            Act::SetOption { vm, key, value } => {
                let vm = world.vms.get_mut(&vm).ok_or(ActError::NoVm(vm))?;
                match value {
                    Some(value) => vm.config.insert(key, value),
                    None => vm.config.remove(&key),
                };
            }
            Act::MoveVm { vm, node } => {
                if !world.nodes.contains_key(&node) {
                    return Err(ActError::NoNode(node));
                }
                world.vms.get_mut(&vm).ok_or(ActError::NoVm(vm))?.node.clone_from(&node);
                for volume in world.volumes.iter_mut().filter(|volume| volume.vm == Some(vm)) {
                    volume.node = volume.node.take().map(|_| node.clone());
                }
            }
            Act::LockVm { vm, lock } => {
                let vm = world.vms.get_mut(&vm).ok_or(ActError::NoVm(vm))?;
                vm.config.insert("lock".into(), lock);
            }
            Act::UnlockVm { vm } => {
                world.vms.get_mut(&vm).ok_or(ActError::NoVm(vm))?.config.remove("lock");
            }
            Act::FillStorage { storage, free_mib } => {
                let used = world.nodes.keys().map(|node| world.used(node, &storage)).min();
                let state = world.storages.get_mut(&storage);
                let state = state.ok_or(ActError::NoStorage(storage))?;
                let own = used.unwrap_or(0).saturating_sub(state.foreign);
                state.foreign = state.size.saturating_sub(own).saturating_sub(free_mib << 20);
            }
            Act::StorageOffline { storage } => set_storage(&mut world, storage, true)?,
            Act::StorageOnline { storage } => set_storage(&mut world, storage, false)?,
            Act::TakePrivilege { path, who, privilege } => {
                world.take_privilege(&path, &who, &privilege);
            }
            Act::GivePrivilegeBack { path, who, privilege } => {
                world.access.taken.remove(&Taken { path, who, privilege });
            }
            Act::DeafenVm { vm, is_deaf: true } => drop(world.deaf.insert(vm)),
            Act::DeafenVm { vm, is_deaf: false } => drop(world.deaf.remove(&vm)),
            Act::SilenceAgent { vm, is_silent: true } => drop(world.silent.insert(vm)),
            Act::SilenceAgent { vm, is_silent: false } => drop(world.silent.remove(&vm)),
            Act::RotateTasks => world.tasks.rotate(),
            Act::NodeOffline { .. }
            | Act::NodeOnline { .. }
            | Act::LoseQuorum
            | Act::RegainQuorum
            | Act::StopVm { .. }
            | Act::DestroyVm { .. }
            | Act::RecycleVm { .. }
            | Act::PlugVm { .. }
            | Act::ExpireCertificate { .. }
            | Act::RenewCertificate { .. } => {}
        }
        Ok(())
    }

    async fn set_node(&self, node: &str, is_online: bool) -> Result<(), ActError> {
        let vms: Vec<u32> = {
            let mut world = self.cluster().world();
            let state = world.nodes.get_mut(node).ok_or_else(|| ActError::NoNode(node.into()))?;
            state.is_online = is_online;
            let on = world.vms.iter().filter(|(_, vm)| vm.node == node && vm.run.is_some());
            on.map(|(id, _)| *id).collect()
        };
        if !is_online {
            for vm in vms {
                self.stop_vm(vm).await?;
            }
        }
        self.cluster().announce();
        Ok(())
    }

    async fn stop_vm(&self, vm: u32) -> Result<(), ActError> {
        let stopped = self.cluster().machines.stop(vm).await;
        stopped.map_err(|source| ActError::Machine { vm, source })?;
        self.cluster().world().vms.get_mut(&vm).ok_or(ActError::NoVm(vm))?.run = None;
        Ok(())
    }

    async fn destroy_vm(&self, vm: u32) -> Result<(), ActError> {
        self.stop_vm(vm).await?;
        self.cluster().machines.discard(vm).await;
        let mut world = self.cluster().world();
        world.forget_vm(vm);
        world.volumes.retain(|volume| volume.vm != Some(vm));
        Ok(())
    }

    async fn recycle_vm(&self, id: u32, name: String) -> Result<(), ActError> {
        let node = {
            let world = self.cluster().world();
            world.vms.get(&id).ok_or(ActError::NoVm(id))?.node.clone()
        };
        self.destroy_vm(id).await?;
        let uuid = crate::plan::new_uuid(&mut *self.cluster().random());
        let config = [
            ("name".to_owned(), name),
            ("cores".to_owned(), "1".to_owned()),
            ("memory".to_owned(), "512".to_owned()),
            ("smbios1".to_owned(), format!("uuid={uuid}")),
        ];
        let vm = Vm { node, config: config.into(), ..Vm::default() };
        self.cluster().world().insert_vm(id, vm);
        Ok(())
    }
}

fn set_storage(world: &mut World, storage: String, is_offline: bool) -> Result<(), ActError> {
    let state = world.storages.get_mut(&storage).ok_or(ActError::NoStorage(storage))?;
    state.is_offline = is_offline;
    Ok(())
}
