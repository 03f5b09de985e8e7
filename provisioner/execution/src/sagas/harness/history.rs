//! One history: a world, an operation, what happens to it, and what has come of it.

use super::{
    accident::Accident,
    check,
    mishap::{Mishap, Trouble},
    world::{Beginning, World},
};
use crate::{
    Context,
    sagas::{Saga, Subject, executor},
};
use domain::{Operation, OperationId, OperationState, PlanName};
use futures::future::{BoxFuture, FutureExt as _};
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};

/// After this time an operation that is not over is stuck.
const STUCK: Duration = Duration::from_mins(45);

/// A saga, whatever it is about.
pub(super) trait Played: Sync {
    fn steps(&self) -> Vec<&'static str>;

    fn commit(&self) -> Option<&'static str>;

    /// Takes an operation to its end in one process, with trouble in its steps.
    fn play<'a>(
        &'a self,
        process: &'a Context,
        trouble: &'a Arc<Trouble>,
        id: OperationId,
    ) -> BoxFuture<'a, ()>;
}

impl<S: Subject> Played for Saga<S>
where
    S::End: Sync,
{
    fn steps(&self) -> Vec<&'static str> {
        self.steps.iter().map(|step| step.name()).collect()
    }

    fn commit(&self) -> Option<&'static str> {
        self.commit
    }

    fn play<'a>(
        &'a self,
        process: &'a Context,
        trouble: &'a Arc<Trouble>,
        id: OperationId,
    ) -> BoxFuture<'a, ()> {
        async move {
            let saga = trouble.within(self);
            executor::drive(process, &saga, id).await;
        }
        .boxed()
    }
}

/// A saga, and what the harness has to know about it.
pub(super) struct Rehearsed {
    pub(super) name: &'static str,
    pub(super) saga: &'static dyn Played,
    /// What its tenant pays for at first.
    pub(super) plan: PlanName,
    /// Whether the tenant has an API server of its own, and somebody lives there.
    pub(super) has_tenant: bool,
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

/// What a history about a saga begins with.
pub(super) async fn world(beginning: &Beginning, saga: &Rehearsed, seed: u64) -> World {
    if saga.has_tenant {
        World::with_tenant(beginning, saga.plan, seed).await
    } else {
        World::of(beginning, saga.plan, seed).await
    }
}

/// Tells a history and says what of it must not be.
pub(super) async fn tell(beginning: &Beginning, case: &Case, seed: u64) -> Vec<String> {
    let world = Arc::new(world(beginning, case.saga, seed).await);
    let id = (case.saga.begin)(&world, &case.mishaps).await;
    // The steps with trouble in them are never freed; the world is, and with it all that goes on there.
    let (scene, accident) = (Arc::downgrade(&world), case.accident);
    let accident = move || {
        let scene = scene.upgrade();
        async move {
            if let (Some(scene), Some(accident)) = (scene, accident) {
                accident.happen(&scene, id).await;
            }
        }
        .boxed()
    };
    let trouble = Trouble::new(case.mishaps.clone(), Box::new(accident));
    run(&world, case.saga.saga, id, &trouble).await;
    world.simulator.settle().await;
    let operation = operation(&world, id).await;
    let mut violations = check::always(&world, &operation).await;
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
pub(super) async fn run(world: &World, saga: &dyn Played, id: OperationId, trouble: &Arc<Trouble>) {
    let stuck = Instant::now() + STUCK;
    loop {
        let process = world.process();
        tokio::select! {
            () = saga.play(&process, trouble, id) => return,
            () = trouble.crash() => {}
            () = sleep_until(stuck) => return,
        }
    }
}

pub(super) async fn operation(world: &World, id: OperationId) -> Operation {
    world.store.operation_get(id).await.expect("readable").expect("it is never forgotten")
}
