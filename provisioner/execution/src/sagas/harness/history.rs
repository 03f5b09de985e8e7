//! One history: a world, an operation, what happens to it, and what has come of it.

use super::{
    accident::Accident,
    check,
    mishap::{Mishap, Trouble},
    world::{Beginning, World},
};
use crate::{
    machines::OwnNode,
    sagas::{Saga, executor},
};
use domain::{Operation, OperationId, OperationState};
use futures::future::{BoxFuture, FutureExt as _};
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};

/// After this time an operation that is not over is stuck.
const STUCK: Duration = Duration::from_mins(45);

/// A saga, and what the harness has to know about it.
pub(super) struct Rehearsed {
    pub(super) name: &'static str,
    pub(super) saga: &'static Saga<OwnNode>,
    /// Its steps by their names: whoever adds one looks here what is proven of it.
    pub(super) steps: &'static [&'static str],
    /// Brings a world to where an operation can begin, and begins it for what is to happen then.
    pub(super) begin: for<'a> fn(&'a World, &'a [Mishap]) -> BoxFuture<'a, OperationId>,
    /// What has to be so when it is done.
    pub(super) done: fn(&World, Operation) -> BoxFuture<'_, Vec<String>>,
    /// What has to be so when it is undone.
    pub(super) undone: fn(&World, Operation) -> BoxFuture<'_, Vec<String>>,
}

/// What an operation may come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    Undone,
    Either,
}

/// What happens in one history.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) saga: &'static Rehearsed,
    pub(super) mishaps: Vec<Mishap>,
    pub(super) accident: Option<&'static Accident>,
    pub(super) outcome: Outcome,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.saga.name)?;
        for mishap in &self.mishaps {
            write!(f, ", {mishap}")?;
        }
        match self.accident {
            Some(accident) => write!(f, ", {}", accident.name),
            None => Ok(()),
        }
    }
}

/// Tells a history and says what of it must not be.
pub(super) async fn tell(beginning: &Beginning, case: &Case, seed: u64) -> Vec<String> {
    let world = Arc::new(World::new(beginning, seed).await);
    let id = (case.saga.begin)(&world, &case.mishaps).await;
    let (scene, accident) = (Arc::clone(&world), case.accident);
    let accident = move || {
        let scene = Arc::clone(&scene);
        async move {
            if let Some(accident) = accident {
                accident.happen(&scene, id).await;
            }
        }
        .boxed()
    };
    let trouble = Trouble::new(case.mishaps.clone(), Box::new(accident));
    run(&world, case.saga.saga, id, &trouble).await;
    world.simulator.settle().await;
    let operation = operation(&world, id).await;
    let mut violations = check::always(&world, &operation);
    let spared = trouble.spared();
    violations.extend(spared.iter().map(|mishap| format!("it never came to this: {mishap}")));
    let is_done = operation.state == OperationState::Succeeded;
    match (case.outcome, is_done) {
        (Outcome::Done, false) | (Outcome::Undone, true) => {
            let (state, problem) = (operation.state, &operation.problem);
            violations
                .push(format!("it was to be {:?} and is {state:?}: {problem:?}", case.outcome));
        }
        (Outcome::Done, true) | (Outcome::Undone, false) | (Outcome::Either, _) => {}
    }
    if operation.state.is_final() {
        let check = if is_done { case.saga.done } else { case.saga.undone };
        violations.extend(check(&world, operation).await);
    }
    violations
}

/// Takes an operation to its end, by as many processes as it takes.
pub(super) async fn run(
    world: &World,
    saga: &Saga<OwnNode>,
    id: OperationId,
    trouble: &Arc<Trouble>,
) {
    let (saga, stuck) = (trouble.within(saga), Instant::now() + STUCK);
    loop {
        let process = world.process();
        tokio::select! {
            () = executor::drive(&process, &saga, id) => return,
            () = trouble.crash() => {}
            () = sleep_until(stuck) => return,
        }
    }
}

pub(super) async fn operation(world: &World, id: OperationId) -> Operation {
    world.store.operation_get(id).await.expect("readable").expect("it is never forgotten")
}
