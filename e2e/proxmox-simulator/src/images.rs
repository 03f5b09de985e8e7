//! The bytes of uploaded images: files beside the state, or memory where nothing is kept.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

#[derive(Debug, Default)]
pub(crate) struct Images {
    folder: Option<PathBuf>,
    memory: Mutex<HashMap<String, Arc<Vec<u8>>>>,
}

impl Images {
    pub(crate) fn new(folder: Option<PathBuf>) -> Result<Self> {
        if let Some(folder) = &folder {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("make {}", folder.display()))?;
        }
        Ok(Self { folder, memory: Mutex::default() })
    }

    /// Keeps an image; `node` is empty for a shared storage.
    pub(crate) fn put(&self, node: &str, volume: &str, content: Vec<u8>) -> std::io::Result<()> {
        let key = key(node, volume);
        if let Some(folder) = &self.folder {
            return std::fs::write(folder.join(key), content);
        }
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.insert(key, Arc::new(content));
        Ok(())
    }

    pub(crate) fn get(&self, node: &str, volume: &str) -> Option<Arc<Vec<u8>>> {
        let key = key(node, volume);
        if let Some(folder) = &self.folder {
            return std::fs::read(folder.join(key)).ok().map(Arc::new);
        }
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    pub(crate) fn remove(&self, node: &str, volume: &str) {
        let key = key(node, volume);
        match &self.folder {
            // One that was never written is gone already.
            Some(folder) => drop(std::fs::remove_file(folder.join(key))),
            None => {
                self.memory.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            }
        }
    }
}

/// A file name, whatever the volume is called.
fn key(node: &str, volume: &str) -> String {
    hex::encode(Sha256::digest(format!("{node} {volume}")))
}
