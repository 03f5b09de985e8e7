//! Every step of every saga, with everything that can happen to it: it fails or its process dies before its effect, in
//! the middle of it or after it, it is done twice, and the same for taking it back. And everything that can happen
//! around it, on Proxmox VE and in the host cluster. Executor, steps, record and client are real, Proxmox VE is the
//! simulator of this workspace, the host cluster is in memory, and so is what runs in a tenant.
//!
//! A step that is added to a saga has to be added to its table: `node.rs` and `plan_change.rs`. Another saga is another table.

mod accident;
mod accidents;
mod bad_days;
mod capacity;
mod care;
mod check;
mod giving_up;
mod history;
mod inventory;
mod kubelet;
mod leaving;
mod mishap;
mod node;
mod plan_change;
mod purpose;
mod site;
mod storm;
mod swap;
mod sweep;
mod tagged;
mod tenant;
mod time;
mod volumes;
mod world;

#[path = "../../tests/it"]
mod it {
    #[expect(dead_code, reason = "the tests of controllers use all of it")]
    pub(super) mod fake;
    pub(super) mod grants;
}

use domain::OperationKind;
use futures::{FutureExt as _, StreamExt as _, stream};
use history::{Case, Outcome, Rehearsed, tell};
use mishap::{Mishap, Way, What, When};
use std::{env, panic::AssertUnwindSafe, thread};
use world::Beginning;

const THREADS: usize = 2;
/// Histories that a thread tells at the same time: most of what they do is waiting.
const AT_ONCE: usize = 6;

/// What happens to a step on its way forward.
const FORWARD: [(When, What); 13] = [
    (When::Before, What::Retry),
    (When::After, What::Retry),
    (When::Before, What::Fail),
    (When::Within(7), What::Fail),
    (When::After, What::Fail),
    (When::Before, What::Crash),
    (When::Within(2), What::Crash),
    (When::Within(8), What::Crash),
    (When::Within(20), What::Crash),
    (When::Within(45), What::Crash),
    (When::After, What::Crash),
    (When::After, What::Repeat),
    (When::Before, What::Hang),
];
/// What happens to a step that is undone.
const BACK: [(When, What); 9] = [
    (When::Before, What::Fail),
    (When::Before, What::Hang),
    (When::Before, What::Retry),
    (When::After, What::Retry),
    (When::Before, What::Crash),
    (When::Within(3), What::Crash),
    (When::Within(12), What::Crash),
    (When::After, What::Crash),
    (When::After, What::Repeat),
];

fn sagas() -> impl Iterator<Item = &'static Rehearsed> {
    node::SAGAS.iter().chain(&plan_change::SAGAS)
}

/// All histories about one saga's own steps.
fn cases(saga: &'static Rehearsed) -> Vec<Case> {
    let commit = saga.saga.commit().and_then(|commit| saga.steps.iter().position(|s| *s == commit));
    let (can_turn, _) = saga.steps.split_at(commit.unwrap_or(saga.steps.len()));
    let case = |mishaps, outcome| Case { saga, mishaps, accident: None, outcome };
    let mut cases = vec![case(Vec::new(), Outcome::Done)];
    for step in saga.steps {
        for (when, what) in FORWARD {
            let turns = can_turn.contains(step) && matches!(what, What::Fail | What::Hang);
            let outcome = match when {
                // It may be done before it comes to this.
                When::Within(_) if turns => Outcome::Either,
                When::Before | When::Within(_) | When::After if turns => Outcome::Undone,
                When::Before | When::Within(_) | When::After => Outcome::Done,
            };
            cases.push(case(vec![Mishap { way: Way::Forward, step, when, what }], outcome));
        }
    }
    let Some(last) = can_turn.last() else { return cases };
    let turn = Mishap { way: Way::Forward, step: last, when: When::After, what: What::Fail };
    for step in can_turn {
        for (when, what) in BACK {
            let back = Mishap { way: Way::Back, step, when, what };
            cases.push(case(vec![turn, back], Outcome::Undone));
        }
    }
    cases
}

/// Tells some histories and says which of them came to what must not be.
fn told(beginning: &Beginning, cases: Vec<(u64, Case)>) -> Vec<String> {
    time::quickly(async {
        let told = stream::iter(cases).map(|(seed, case)| async move {
            let told = AssertUnwindSafe(Box::pin(tell(beginning, &case, seed)));
            // Who panicked says so itself; here it is said in which history.
            let violations = told.catch_unwind().await;
            let violations = violations.unwrap_or_else(|_| vec!["it panicked".to_owned()]);
            (!violations.is_empty()).then(|| format!("{case}: {}", violations.join("; ")))
        });
        told.buffer_unordered(AT_ONCE).filter_map(async |told| told).collect().await
    })
}

#[test]
fn whatever_happens_to_a_step_its_saga_ends_and_leaves_what_it_should() {
    let mut cases: Vec<Case> = sagas().flat_map(cases).collect();
    cases.extend(accidents::cases());
    cases.extend(leaving::cases());
    if let Some(part) = part() {
        cases.retain(|case| case.to_string().contains(&part));
        for case in &cases {
            eprintln!("{case}");
        }
    }
    let count = cases.len();
    let beginning = time::quickly(Beginning::new());
    let mut shares = vec![Vec::new(); THREADS];
    for (number, case) in cases.into_iter().enumerate() {
        shares[number % THREADS].push((number as u64, case));
    }
    let share = |cases| {
        let beginning = beginning.clone();
        thread::spawn(move || told(&beginning, cases))
    };
    let threads: Vec<_> = shares.into_iter().map(share).collect();
    let found = threads.into_iter().flat_map(|thread| thread.join().expect("no history panics"));
    let found: Vec<String> = found.collect();
    assert!(
        found.is_empty(),
        "{} of {count} histories; look at them with WARREN_SAGA=PART-OF-ITS-NAME:\n{}",
        found.len(),
        found.join("\n")
    );
}

/// Which histories are to be told, if not all.
#[expect(clippy::disallowed_methods, reason = "which histories a test tells is no configuration")]
fn part() -> Option<String> {
    env::var("WARREN_SAGA").ok()
}

#[test]
fn every_step_of_every_saga_is_rehearsed_by_the_name_that_the_record_has() {
    for Rehearsed { name, saga, steps, .. } in sagas() {
        assert_eq!(saga.steps(), *steps, "{name}: its table in the harness");
        if let Some(commit) = saga.commit() {
            assert!(steps.contains(&commit), "{name}: there is no step {commit}");
        }
    }
    let recorded = time::quickly(async {
        let beginning = Beginning::new().await;
        let mut all = Vec::new();
        for saga in sagas() {
            let world = history::world(&beginning, saga, 0).await;
            let operation = history::operation(&world, (saga.begin)(&world, &[]).await).await;
            let steps: Vec<String> = operation.steps.into_iter().map(|step| step.name).collect();
            all.push((saga.name, steps, operation.kind));
        }
        all
    });
    let mut rehearsed = Vec::new();
    for ((name, recorded, kind), saga) in recorded.into_iter().zip(sagas()) {
        assert_eq!(recorded, saga.steps, "{name}: what the record begins it with");
        rehearsed.push(kind);
    }
    for kind in OperationKind::ALL {
        let is_rehearsed = rehearsed.contains(&kind);
        assert_eq!(kind.is_saga(), is_rehearsed, "{kind:?} has no table here");
    }
}
