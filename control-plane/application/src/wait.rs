//! Waiting for the record to change, without polling it.

use crate::App;
use std::time::Duration;
use store::Change;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, timeout_at},
};

/// Hears of changes.
#[derive(Debug)]
pub(crate) struct Listener(Receiver<Change>);

/// This process ends: there is nothing more to hear.
#[derive(Debug)]
pub(crate) struct Closed;

/// Hears of changes until its time is up.
#[derive(Debug)]
pub(crate) struct Waiter {
    listener: Listener,
    deadline: Instant,
}

impl Listener {
    /// Made before the first look, so that nothing is missed between looking and waiting.
    pub(crate) fn new(app: &App) -> Self {
        Self(app.store.changes())
    }

    /// Waits for a change that `matters`, or that may have been missed: it is time to look again.
    pub(crate) async fn hear(&mut self, matters: impl Fn(Change) -> bool) -> Result<(), Closed> {
        loop {
            match self.0.recv().await {
                Ok(change) if !matters(change) => {}
                Ok(_) | Err(RecvError::Lagged(_)) => return Ok(()),
                Err(RecvError::Closed) => return Err(Closed),
            }
        }
    }
}

impl Waiter {
    /// Made before the first look, as a [`Listener`] is.
    pub(crate) fn new(app: &App, time: Duration) -> Self {
        Self { listener: Listener::new(app), deadline: Instant::now() + time }
    }

    /// Whether to look again: waits for a change that `matters`. False when the time is up.
    pub(crate) async fn is_worth_a_look(&mut self, matters: impl Fn(Change) -> bool) -> bool {
        matches!(timeout_at(self.deadline, self.listener.hear(matters)).await, Ok(Ok(())))
    }
}
