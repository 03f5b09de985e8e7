//! Waiting that ends at once when the program is asked to end.

use std::fmt::Display;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::signal_name;

/// How long to rest between two attempts of [`Cancel::until`].
const REST: Duration = Duration::from_millis(50);

/// One outcome of something that is tried again and again.
#[derive(Debug)]
pub(crate) enum Attempt<T> {
    Done(T),
    /// Not yet; the text says what was seen and is shown if time runs out.
    Again(String),
    Failed(anyhow::Error),
}

impl<T> Attempt<T> {
    /// Takes every error for "not yet".
    pub(crate) fn retry(result: Result<T>) -> Self {
        match result {
            Ok(value) => Self::Done(value),
            Err(error) => Self::Again(format!("{error:#}")),
        }
    }
}

/// The wish to end, shared by all threads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancel {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    reason: Mutex<Option<String>>,
    changed: Condvar,
}

impl Cancel {
    /// A wish that SIGINT, SIGTERM and SIGHUP express from now on.
    pub(crate) fn on_signals() -> Result<Self> {
        let cancel = Self::default();
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).context("catch signals")?;
        let told = cancel.clone();
        std::thread::spawn(move || {
            for signal in signals.forever() {
                told.cancel(signal_name(signal).unwrap_or("a signal"));
            }
        });
        Ok(cancel)
    }

    pub(crate) fn cancel(&self, reason: impl Display) {
        self.reason().get_or_insert_with(|| reason.to_string());
        self.shared.changed.notify_all();
    }

    /// Fails if the end was asked for.
    pub(crate) fn check(&self) -> Result<()> {
        match self.reason().as_ref() {
            Some(reason) => bail!("ended by {reason}"),
            None => Ok(()),
        }
    }

    /// Waits for `time`, or fails as soon as the end is asked for.
    pub(crate) fn wait(&self, time: Duration) -> Result<()> {
        let waited =
            self.shared.changed.wait_timeout_while(self.reason(), time, |reason| reason.is_none());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.check()
    }

    /// Attempts something until it is done, for `limit` at most.
    pub(crate) fn until<T>(
        &self,
        limit: Duration,
        what: impl Display,
        mut attempt: impl FnMut() -> Attempt<T>,
    ) -> Result<T> {
        let start = Instant::now();
        loop {
            match attempt() {
                Attempt::Done(value) => return Ok(value),
                Attempt::Failed(error) => return Err(error.context(what.to_string())),
                Attempt::Again(seen) if start.elapsed() >= limit => {
                    bail!("{what}: not within {} s; last seen: {seen}", limit.as_secs())
                }
                Attempt::Again(_) => self.wait(REST).with_context(|| what.to_string())?,
            }
        }
    }

    fn reason(&self) -> MutexGuard<'_, Option<String>> {
        self.shared.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_when_the_end_is_asked_for() {
        let cancel = Cancel::default();
        let told = cancel.clone();
        std::thread::spawn(move || told.cancel("SIGTERM"));
        let error = cancel.wait(Duration::from_mins(1)).expect_err("was told to end");
        assert_eq!(error.to_string(), "ended by SIGTERM");
    }

    #[test]
    fn a_limit_that_passes_shows_what_was_seen_last() {
        let result = Cancel::default().until(Duration::ZERO, "socket of kine", || {
            Attempt::<()>::Again("connection refused".into())
        });
        let text = result.expect_err("the limit is zero").to_string();
        assert_eq!(text, "socket of kine: not within 0 s; last seen: connection refused");
    }
}
