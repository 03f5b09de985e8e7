//! What the body of a task works with: its log, its warnings, the locks, and the faults it was given.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::fault::{Effect, Lock, Moment};
use crate::locks::{self, Held, Name};
use crate::world::World;

type Undo = Box<dyn FnOnce(&mut World) + Send>;

/// A task at work.
#[derive(Clone)]
pub(crate) struct Work {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) node: String,
    pub(crate) upid: String,
    pub(crate) faults: Arc<Vec<Effect>>,
    warnings: Arc<AtomicU32>,
    undo: Arc<Mutex<Vec<Undo>>>,
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work").field("upid", &self.upid).finish_non_exhaustive()
    }
}

impl Work {
    pub(crate) fn new(
        cluster: Arc<Cluster>,
        node: String,
        upid: String,
        faults: Vec<Effect>,
    ) -> Self {
        let (warnings, undo) = (Arc::default(), Arc::default());
        Self { cluster, node, upid, faults: Arc::new(faults), warnings, undo }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.cluster.world()
    }

    pub(crate) fn log(&self, line: &str) {
        self.world().tasks.log(&self.upid, line);
    }

    /// Logs something that does not end the task, and counts it.
    pub(crate) fn warn(&self, line: &str) {
        self.log(&format!("WARN: {line}"));
        self.warnings.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn warnings(&self) -> u32 {
        self.warnings.load(Ordering::Relaxed)
    }

    pub(crate) async fn pause(&self, ms: u64) {
        self.cluster.pause(ms).await;
    }

    /// What is to be undone if the task fails or is aborted; the last first.
    pub(crate) fn on_failure(&self, undo: impl FnOnce(&mut World) + Send + 'static) {
        self.undo.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(undo));
    }

    pub(crate) fn undo(&self) {
        let undo = std::mem::take(&mut *self.undo.lock().unwrap_or_else(PoisonError::into_inner));
        let mut world = self.world();
        for step in undo.into_iter().rev() {
            step(&mut world);
        }
    }

    /// Keeps all as it is from here on.
    pub(crate) fn keep(&self) {
        self.undo.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Fails if the task is meant to fail at this moment.
    pub(crate) fn reach(&self, moment: Moment) -> Result<(), String> {
        for effect in self.faults.iter() {
            if let Effect::TaskFails { text, at } = effect
                && *at == moment
            {
                return Err(text.clone());
            }
        }
        Ok(())
    }

    /// How many warnings the task is meant to end with.
    pub(crate) fn wanted_warnings(&self) -> u32 {
        let wanted = self
            .faults
            .iter()
            .map(|effect| if let Effect::TaskWarns { count } = effect { *count } else { 0 });
        wanted.sum()
    }

    /// Locks the configuration of a VM.
    pub(crate) async fn lock_vm(&self, id: u32) -> Result<Held, String> {
        self.lock(&Name::Vm(id), locks::CONFIG, Lock::Vm).await
    }

    /// Locks the id that a clone is to have.
    pub(crate) async fn lock_new_id(&self, id: u32) -> Result<Held, String> {
        self.lock(&Name::Vm(id), locks::NEW_ID, Lock::NewId).await
    }

    /// Shares the configuration of a template with others that clone it.
    pub(crate) async fn share_vm(&self, id: u32) -> Result<Held, String> {
        self.starve(&Name::Vm(id), locks::CONFIG, Lock::Vm).await?;
        self.cluster.locks.shared(&Name::Vm(id), locks::CONFIG).await
    }

    /// Locks a storage for an allocation.
    pub(crate) async fn lock_storage(&self, storage: &str) -> Result<Held, String> {
        let is_shared = self.world().storages.get(storage).is_some_and(|storage| storage.is_shared);
        let name = if is_shared {
            Name::SharedStorage(storage.into())
        } else {
            Name::LocalStorage { node: self.node.clone(), storage: storage.into() }
        };
        self.lock(&name, locks::STORAGE, Lock::Storage).await
    }

    async fn lock(&self, name: &Name, patience: Duration, kind: Lock) -> Result<Held, String> {
        self.starve(name, patience, kind).await?;
        if self.cluster.locks.is_busy(name) {
            self.log("trying to acquire lock...");
            let held = self.cluster.locks.alone(name, patience).await?;
            self.log(" OK");
            return Ok(held);
        }
        self.cluster.locks.alone(name, patience).await
    }

    /// Waits in vain, if the task is meant to.
    async fn starve(&self, name: &Name, patience: Duration, kind: Lock) -> Result<(), String> {
        if self.faults.contains(&Effect::LockTimeout { lock: kind }) {
            self.log("trying to acquire lock...");
            tokio::time::sleep(patience).await;
            return Err(name.timeout_text());
        }
        Ok(())
    }
}
