//! Waiting for the record to change, without polling it.

use crate::App;
use std::time::Duration;
use store::Change;
use tokio::{sync::broadcast, time::Instant};

/// Hears of changes until its time is up.
#[derive(Debug)]
pub(crate) struct Waiter {
    changes: broadcast::Receiver<Change>,
    deadline: Instant,
}

impl Waiter {
    /// Made before the first look, so that nothing is missed between looking and waiting.
    pub(crate) fn new(app: &App, time: Duration) -> Self {
        Self { changes: app.store.changes(), deadline: Instant::now() + time }
    }

    /// Whether to look again: waits for a change that `matters`. False when the time is up.
    pub(crate) async fn is_worth_a_look(&mut self, matters: impl Fn(Change) -> bool) -> bool {
        let change = async {
            // An error means that changes were missed: look again.
            while let Ok(change) = self.changes.recv().await {
                if matters(change) {
                    break;
                }
            }
        };
        tokio::time::timeout_at(self.deadline, change).await.is_ok()
    }
}
