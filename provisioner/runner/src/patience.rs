use crate::endpoint::CallError;
use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long to go on trying to reach Warren; shared by all threads that report to it.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    /// When to give up; nothing while the agent runs.
    until: Mutex<Option<Instant>>,
    changed: Condvar,
}

impl Patience {
    const FIRST_PAUSE: Duration = Duration::from_millis(50);
    const LONGEST_PAUSE: Duration = Duration::from_secs(2);

    /// Sets the end.
    pub(crate) fn end_in(&self, time: Duration) {
        *self.lock() = Some(Instant::now() + time);
        self.changed.notify_all();
    }

    /// Takes the end away.
    pub(crate) fn endless(&self) {
        *self.lock() = None;
    }

    /// Whether there is no point in trying.
    pub(crate) fn is_over(&self) -> bool {
        self.lock().is_some_and(|until| until <= Instant::now())
    }

    /// Repeats a call while Warren is away.
    pub(crate) fn persist<T>(
        &self,
        mut call: impl FnMut() -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let mut pause = Self::FIRST_PAUSE;
        loop {
            match call() {
                Err(CallError::Away(reason)) => {
                    if !self.pause(pause) {
                        return Err(CallError::Away(reason));
                    }
                    pause = (2 * pause).min(Self::LONGEST_PAUSE);
                }
                Err(CallError::Unauthorized) => {
                    // Warren has closed the book on this run: nobody needs to try any more.
                    self.end_in(Duration::ZERO);
                    return Err(CallError::Unauthorized);
                }
                outcome => return outcome,
            }
        }
    }

    /// Waits; whether there is still time after that.
    fn pause(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        let mut until = self.lock();
        loop {
            let now = Instant::now();
            if until.is_some_and(|until| until <= now) {
                return false;
            }
            let end = until.map_or(end, |until| until.min(end));
            if end <= now {
                return true;
            }
            let waited = self.changed.wait_timeout(until, end - now);
            until = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away() -> CallError {
        CallError::Away("test".to_owned())
    }

    #[test]
    fn a_call_is_repeated_until_it_succeeds_and_not_after_the_end() {
        let patience = Patience::default();
        let mut calls = 0;
        let outcome = patience.persist(|| {
            calls += 1;
            if calls < 3 { Err(away()) } else { Ok(calls) }
        });
        assert!(matches!(outcome, Ok(3)));
        patience.end_in(Duration::ZERO);
        let mut calls = 0;
        let outcome: Result<(), _> = patience.persist(|| {
            calls += 1;
            Err(away())
        });
        assert!(matches!(outcome, Err(CallError::Away(_))));
        assert_eq!(calls, 1);
    }

    #[test]
    fn a_dead_token_ends_the_patience_of_everybody() {
        let patience = Patience::default();
        let outcome: Result<(), _> = patience.persist(|| Err(CallError::Unauthorized));
        assert!(matches!(outcome, Err(CallError::Unauthorized)));
        assert!(patience.is_over());
    }
}
