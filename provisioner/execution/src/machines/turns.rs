//! Copies of templates take turns: a storage takes few at the same time and refuses the others, by letting them wait for
//! its lock in vain.

use proxmox_client::{NodeName, StorageEntry, StorageId};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What has a lock of its own: a storage that all nodes share, or one node's part of a storage that they do not.
/// What may not be known is taken for one.
type Lock = Option<(StorageId, Option<NodeName>)>;

/// How many copies are made on each storage.
#[derive(Debug)]
pub(super) struct Turns {
    at_once: usize,
    storages: Mutex<HashMap<Lock, Arc<Semaphore>>>,
}

impl Turns {
    /// Turns for `at_once` copies on each storage.
    pub(super) fn new(at_once: usize) -> Self {
        Self { at_once, storages: Mutex::default() }
    }

    /// Waits until one more copy may be made on a storage, as a node has it. The turn is over when it is dropped.
    pub(super) async fn wait(
        &self,
        node: &NodeName,
        storage: Option<&StorageEntry>,
    ) -> Option<OwnedSemaphorePermit> {
        let lock = storage.map(|found| {
            let owner = (!found.is_shared).then(|| node.clone());
            (found.id.clone(), owner)
        });
        let turns = {
            let mut storages = self.storages.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(self.at_once));
            Arc::clone(storages.entry(lock).or_insert_with(new))
        };
        // Nobody closes it.
        turns.acquire_owned().await.ok()
    }
}
