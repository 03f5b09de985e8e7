use domain::TenantId;
use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Bounds how many tenants are on their way to being ready for the first time: control planes that
/// start side by side slow one another down. First come, first served.
#[derive(Debug)]
pub(crate) struct Places {
    at_once: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    inside: BTreeSet<TenantId>,
    waiting: BTreeSet<TenantId>,
}

impl Places {
    pub(crate) fn new(at_once: usize) -> Self {
        Self { at_once: at_once.max(1), state: Mutex::default() }
    }

    /// Takes a place or queues up.
    ///
    /// # Errors
    /// How many are before this one.
    pub(crate) fn enter(&self, tenant: TenantId) -> Result<(), usize> {
        let mut state = self.state();
        if state.inside.contains(&tenant) {
            return Ok(());
        }
        state.waiting.insert(tenant);
        // Identifiers sort by the time at which they were made.
        let before = state.waiting.range(..tenant).count();
        if before < self.at_once.saturating_sub(state.inside.len()) {
            state.waiting.remove(&tenant);
            state.inside.insert(tenant);
            return Ok(());
        }
        Err(before + state.inside.len())
    }

    /// Frees the place, or leaves the queue. Gives whoever waits, if that may change their turn.
    pub(crate) fn leave(&self, tenant: TenantId) -> Vec<TenantId> {
        let mut state = self.state();
        let was_inside = state.inside.remove(&tenant);
        let was_waiting = state.waiting.remove(&tenant);
        if was_inside || was_waiting { state.waiting.iter().copied().collect() } else { Vec::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn tenant(number: u128) -> TenantId {
        TenantId::new(Uuid::from_u128(number))
    }

    #[test]
    fn the_oldest_goes_first_and_everybody_knows_how_many_are_before_them() {
        let places = Places::new(1);
        assert_eq!(places.enter(tenant(1)), Ok(()));
        assert_eq!(places.enter(tenant(3)), Err(1));
        assert_eq!(places.enter(tenant(2)), Err(1));
        assert_eq!(places.enter(tenant(3)), Err(2));
        assert_eq!(places.enter(tenant(1)), Ok(()), "whoever is inside stays inside");
        assert_eq!(places.leave(tenant(1)), [tenant(2), tenant(3)]);
        assert_eq!(places.enter(tenant(3)), Err(1), "not before the older one");
        assert_eq!(places.enter(tenant(2)), Ok(()));
        assert_eq!(places.leave(tenant(2)), [tenant(3)]);
        assert_eq!(places.enter(tenant(3)), Ok(()));
        assert_eq!(places.leave(tenant(9)), [], "a stranger changes nothing");
    }
}
