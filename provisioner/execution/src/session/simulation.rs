//! Histories of sessions in which everything fails that can, in process and in simulated time: requests
//! that are refused, lost before or after they had an effect, a watch that is late, mute, doubled or out of
//! order, machines and API servers that go and come back, and a Warren that is killed at any request and
//! before any write. A seed decides all of it, so that a history that was found can be looked at again:
//! `WARREN_SIMULATION=17 cargo test -p execution simulation -- --nocapture`.

mod calm;
mod check;
mod cluster;
mod control;
mod ground;
mod history;
mod operator;
mod process;
mod trouble;
mod user;
mod watch;

use ground::Ground;
use history::Told;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::{env, thread};

/// How many histories there are when nobody says otherwise: `WARREN_SIMULATIONS=10000`.
const HISTORIES: u64 = 200;
const THREADS: usize = 2;

/// How many seeds that violate something are named.
const NAMED: usize = 20;

/// Runs some seeds, one after the other, until many violate something.
fn tell(seeds: impl Iterator<Item = u64>, is_traced: bool) -> Vec<(u64, Told)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut ground = Ground::new().await;
        let mut told = Vec::new();
        for seed in seeds {
            let history = Box::pin(history::run(&mut ground, seed, is_traced)).await;
            if is_traced || !history.violations.is_empty() {
                told.push((seed, history));
            }
            if told.len() == NAMED {
                break;
            }
        }
        told
    })
}

/// Stays on one processor from now on, with all threads that it begins: they only ever wait for each other.
fn settle_down(number: usize) {
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
    let mut own = CpuSet::new();
    own.set(allowed[number % allowed.len()]);
    // Wherever it is not let, it is slower.
    let _ = sched_setaffinity(None, &own);
}

#[expect(clippy::disallowed_methods, reason = "which histories a test tells is no configuration")]
fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().expect("the number of a seed, or of histories"))
}

#[test]
fn whatever_fails_every_session_ends_once_and_truly_and_nothing_is_left() {
    if let Some(seed) = number("WARREN_SIMULATION") {
        let told = tell(std::iter::once(seed), true).remove(0).1;
        eprintln!("{}", told.trace.join("\n"));
        assert_eq!(told.violations, [""; 0]);
        return;
    }
    let count = number("WARREN_SIMULATIONS").unwrap_or(HISTORIES);
    let seeds = move |first| (first..count).step_by(THREADS);
    let share = move |number: usize| {
        settle_down(number);
        tell(seeds(number as u64), false)
    };
    let threads: Vec<_> = (0..THREADS).map(|number| thread::spawn(move || share(number))).collect();
    let found = threads.into_iter().flat_map(|thread| thread.join().expect("no history panics"));
    let found: Vec<String> =
        found.map(|(seed, told)| format!("seed {seed}: {}", told.violations.join("; "))).collect();
    assert!(found.is_empty(), "look at them with WARREN_SIMULATION=SEED:\n{}", found.join("\n"));
}

#[test]
fn a_seed_tells_the_same_history_again_whatever_was_told_before_it() {
    let together = tell(0..10, true);
    for (seed, told) in together {
        assert_eq!(tell(std::iter::once(seed), true), [(seed, told)]);
    }
}
