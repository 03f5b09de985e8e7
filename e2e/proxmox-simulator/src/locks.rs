//! Locks of configurations and storages: waited for so long and no longer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use tokio::time::timeout;

/// How long a task waits for the configuration of a VM.
pub(crate) const CONFIG: Duration = Duration::from_secs(10);
/// How long a clone waits for its new id.
pub(crate) const NEW_ID: Duration = Duration::from_secs(1);
/// How long an allocation waits for its storage.
pub(crate) const STORAGE: Duration = Duration::from_secs(10);

/// All locks by name.
#[derive(Debug, Default)]
pub(crate) struct Locks(Mutex<HashMap<String, Arc<RwLock<()>>>>);

/// A lock that is held.
#[derive(Debug)]
#[expect(dead_code, reason = "held, never looked at")]
pub(crate) enum Held {
    Shared(OwnedRwLockReadGuard<()>),
    Alone(OwnedRwLockWriteGuard<()>),
}

/// What is locked, and the words for waiting too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    Vm(u32),
    LocalStorage { node: String, storage: String },
    SharedStorage(String),
}

impl Name {
    fn key(&self) -> String {
        match self {
            Self::Vm(id) => format!("vm-{id}"),
            Self::LocalStorage { node, storage } => format!("storage-{node}-{storage}"),
            Self::SharedStorage(storage) => format!("storage-{storage}"),
        }
    }

    /// What the task says when it waited in vain.
    pub(crate) fn timeout_text(&self) -> String {
        match self {
            Self::Vm(id) => {
                format!("can't lock file '/var/lock/qemu-server/lock-{id}.conf' - got timeout")
            }
            Self::LocalStorage { storage, .. } => {
                format!(
                    "can't lock file '/var/lock/pve-manager/pve-storage-{storage}' - got timeout"
                )
            }
            Self::SharedStorage(storage) => {
                format!("cfs-lock 'storage-{storage}' error: got lock request timeout")
            }
        }
    }
}

impl Locks {
    /// Waits for a lock that nobody else may hold.
    pub(crate) async fn alone(&self, name: &Name, patience: Duration) -> Result<Held, String> {
        match timeout(patience, self.get(name).write_owned()).await {
            Ok(held) => Ok(Held::Alone(held)),
            Err(_) => Err(name.timeout_text()),
        }
    }

    /// Waits for a lock that others may share.
    pub(crate) async fn shared(&self, name: &Name, patience: Duration) -> Result<Held, String> {
        match timeout(patience, self.get(name).read_owned()).await {
            Ok(held) => Ok(Held::Shared(held)),
            Err(_) => Err(name.timeout_text()),
        }
    }

    /// Whether a lock would have to be waited for.
    pub(crate) fn is_busy(&self, name: &Name) -> bool {
        self.get(name).try_write().is_err()
    }

    fn get(&self, name: &Name) -> Arc<RwLock<()>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(name.key()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_the_words_of_the_lock() {
        let locks = Locks::default();
        let name = Name::SharedStorage("ceph".into());
        let held = locks.alone(&name, STORAGE).await.expect("is free");
        assert!(locks.is_busy(&name));
        let text = locks.shared(&name, STORAGE).await.expect_err("is held");
        assert_eq!(text, "cfs-lock 'storage-ceph' error: got lock request timeout");
        drop(held);
        let _one = locks.shared(&name, STORAGE).await.expect("is free");
        let _two = locks.shared(&name, STORAGE).await.expect("is shared");
    }
}
