//! How many calls of a node may be under way.
//!
//! A node has three workers for calls that need its rights, and each works on one call until it
//! is done. More calls than that would only wait there, where nothing can be said about them.

use crate::NodeName;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many workers `pvedaemon` has (pve-manager, `MAX_WORKERS`).
pub(crate) const LIMIT: usize = 3;

/// One semaphore for each node; one more for calls that name none.
#[derive(Debug, Default)]
pub(crate) struct Lanes(Mutex<HashMap<Option<NodeName>, Arc<Semaphore>>>);

impl Lanes {
    /// Waits for a place, at most for `patience`; nothing if there was none in time.
    pub(crate) async fn enter(
        &self,
        node: Option<&NodeName>,
        patience: Duration,
    ) -> Option<OwnedSemaphorePermit> {
        let lane = {
            let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            lanes.entry(node.cloned()).or_insert_with(|| Arc::new(Semaphore::new(LIMIT))).clone()
        };
        tokio::time::timeout(patience, lane.acquire_owned()).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_fourth_call_waits_and_another_node_does_not_mind() {
        let lanes = Lanes::default();
        let (a, b) = (NodeName::new("a").expect("a node"), NodeName::new("b").expect("a node"));
        let second = Duration::from_secs(1);
        let mut places = Vec::new();
        for _ in 0..LIMIT {
            places.push(lanes.enter(Some(&a), second).await.expect("a place"));
        }
        assert!(lanes.enter(Some(&a), second).await.is_none());
        assert!(lanes.enter(Some(&b), second).await.is_some());
        assert!(lanes.enter(None, second).await.is_some());
        places.pop();
        assert!(lanes.enter(Some(&a), second).await.is_some());
    }
}
