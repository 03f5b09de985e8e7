//! How many connections whoever is out there may have, so that one tenant does not take those of all.

use domain::RunId;
use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The most connections from one address that have not shown a token yet. A runner has up to three,
/// and an address may stand for all the pods of a node.
const WITHOUT_TOKEN: usize = 64;
/// The most connections that show the token of one run. Each takes at most one body into memory at a
/// time (`endpoint::MAX_BODY_BYTES`), so this bounds the bytes in flight as well: to 17 MiB.
const OF_ONE_RUN: usize = 16;

/// The connections that are open. Clones count the same ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    by_address: HashMap<IpAddr, usize>,
    by_run: HashMap<RunId, usize>,
}

/// One connection's place; its end frees it. Clones are the same place.
#[derive(Debug, Clone)]
pub(crate) struct Place(Arc<Held>);

#[derive(Debug)]
struct Held {
    places: Places,
    holder: Mutex<Holder>,
}

#[derive(Debug, Clone, Copy)]
enum Holder {
    Address(IpAddr),
    Run(RunId),
}

impl Places {
    /// A place for a connection that has shown nothing yet; none if its address has too many of them.
    pub(crate) fn enter(&self, address: IpAddr) -> Option<Place> {
        if !take(&mut self.taken().by_address, address, WITHOUT_TOKEN) {
            return None;
        }
        let holder = Mutex::new(Holder::Address(address));
        Some(Place(Arc::new(Held { places: self.clone(), holder })))
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        locked(&self.0)
    }
}

impl Place {
    /// Notes that a token of `run` was shown; false if the run has too many connections. The first
    /// token of a connection counts.
    pub(crate) fn show(&self, run: RunId) -> bool {
        let mut holder = locked(&self.0.holder);
        let Holder::Address(address) = *holder else { return true };
        let mut taken = self.0.places.taken();
        if !take(&mut taken.by_run, run, OF_ONE_RUN) {
            return false;
        }
        free(&mut taken.by_address, &address);
        *holder = Holder::Run(run);
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        match *locked(&self.holder) {
            Holder::Address(address) => free(&mut taken.by_address, &address),
            Holder::Run(run) => free(&mut taken.by_run, &run),
        }
    }
}

fn take<K: Eq + Hash>(taken: &mut HashMap<K, usize>, key: K, most: usize) -> bool {
    let count = taken.entry(key).or_default();
    let is_free = *count < most;
    *count += usize::from(is_free);
    is_free
}

fn free<K: Eq + Hash>(taken: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = taken.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            taken.remove(key);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use uuid::Uuid;

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn run(number: u128) -> RunId {
        RunId::new(Uuid::from_u128(number))
    }

    #[test]
    fn an_address_has_so_many_connections_without_a_token_and_another_one_its_own() {
        let places = Places::default();
        let held: Vec<_> = (0..WITHOUT_TOKEN).map(|_| places.enter(ADDRESS)).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(places.enter(ADDRESS).is_none());
        assert!(places.enter(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))).is_some());
        drop(held);
        assert!(places.enter(ADDRESS).is_some());
        assert!(places.taken().by_address.is_empty(), "nothing is kept of who has gone");
    }

    #[test]
    fn whoever_shows_a_token_frees_its_addresses_place_and_takes_one_of_the_run() {
        let places = Places::default();
        let enter = || places.enter(ADDRESS).expect("few are there");
        let held: Vec<_> = (0..OF_ONE_RUN).map(|_| enter()).collect();
        assert!(held.iter().all(|place| place.show(run(1)) && place.show(run(1))));
        assert!(places.taken().by_address.is_empty());
        let further = enter();
        assert!(!further.show(run(1)));
        assert!(further.show(run(2)), "another run has its own");
        drop(held);
        assert!(enter().show(run(1)));
    }
}
