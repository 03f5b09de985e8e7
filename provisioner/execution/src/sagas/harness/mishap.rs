//! What happens to one attempt at one step, and the wrapper around each step of a saga by which it happens.

use crate::sagas::{Saga, Step, StepContext, StepError, Subject};
use async_trait::async_trait;
use futures::future::{BoxFuture, join};
use jiff::SignedDuration;
use std::{
    fmt,
    future::{pending, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};
use tokio::{sync::Notify, time::timeout};

/// How long a step may take that never comes to its end.
const PATIENCE: SignedDuration = SignedDuration::from_secs(20);

/// How long an accident may wait for what a halted attempt holds, of the record for example; longer than any takes itself.
const HELD_UP: Duration = Duration::from_secs(10);

/// Whether a step is run or undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Forward,
    Back,
}

/// Where in an attempt something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Before,
    /// When it waits for the n-th time, counted from 0; never if it is done before.
    Within(u32),
    /// When it has come to its end, before anybody hears of it.
    After,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// It says that it has to be tried again.
    Retry,
    /// It says that it cannot succeed.
    Fail,
    /// The process ends.
    Crash,
    /// It never comes to its end.
    Hang,
    /// It is done again although it is done.
    Repeat,
    /// Something happens elsewhere, and it goes on.
    Accident,
}

/// Something that happens once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mishap {
    pub(super) way: Way,
    pub(super) step: &'static str,
    pub(super) when: When,
    pub(super) what: What,
}

/// Something that happens elsewhere in the world.
pub(super) type Accident = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// All that happens in one history, each once.
pub(super) struct Trouble {
    planned: Vec<Mishap>,
    waiting: Mutex<Vec<Mishap>>,
    accident: Accident,
    crash: Notify,
}

/// A step to which something may happen.
#[derive(Debug)]
struct Troubled<S: Subject> {
    step: &'static dyn Step<S>,
    trouble: Arc<Trouble>,
}

impl fmt::Display for Mishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { way, step, when, what } = self;
        let way = match way {
            Way::Forward => "step",
            Way::Back => "undoing",
        };
        write!(f, "{way} {step}: {what:?} {when:?}")
    }
}

impl fmt::Debug for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trouble").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

impl Trouble {
    pub(super) fn new(mishaps: Vec<Mishap>, accident: Accident) -> Arc<Self> {
        let waiting = Mutex::new(mishaps.clone());
        Arc::new(Self { planned: mishaps, waiting, accident, crash: Notify::new() })
    }

    /// The same saga with this trouble in its steps.
    pub(super) fn within<S: Subject>(self: &Arc<Self>, saga: &Saga<S>) -> Saga<S> {
        let trouble = |step: &&'static dyn Step<S>| {
            let troubled = Troubled { step: *step, trouble: Arc::clone(self) };
            let troubled: &'static dyn Step<S> = Box::leak(Box::new(troubled));
            troubled
        };
        let steps: Vec<_> = saga.steps.iter().map(trouble).collect();
        Saga { steps: steps.leak(), end: saga.end.clone(), commit: saga.commit }
    }

    /// Waits until the process ends.
    pub(super) async fn crash(&self) {
        self.crash.notified().await;
    }

    /// What has not happened although it was to.
    pub(super) fn spared(&self) -> Vec<Mishap> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone();
        waiting.retain(|mishap| !matches!(mishap.when, When::Within(_)));
        waiting
    }

    fn find(&self, step: &str, way: Way) -> Option<Mishap> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.iter().find(|mishap| mishap.step == step && mishap.way == way).copied()
    }

    fn strike(&self, mishap: Mishap) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|other| *other != mishap);
    }

    fn deadline<S: Subject>(&self, step: &dyn Step<S>) -> SignedDuration {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let is_turned = waiting.iter().all(|mishap| mishap.way == Way::Back);
        let hangs = |mishap: &Mishap| {
            let is_now = is_turned || mishap.way == Way::Forward;
            mishap.step == step.name() && mishap.what == What::Hang && is_now
        };
        if self.planned.iter().any(hangs) { PATIENCE } else { step.deadline() }
    }

    /// Makes an attempt at a step, and lets happen to it what is to.
    async fn attempt<'a>(
        &self,
        step: &str,
        way: Way,
        work: impl Fn() -> BoxFuture<'a, Result<String, StepError>> + Send,
    ) -> Result<String, StepError> {
        let Some(mishap) = self.find(step, way) else { return work().await };
        let mut attempt = work();
        let outcome = match mishap.when {
            When::Before => None,
            When::Within(waits) => match beginning(&mut attempt, waits).await {
                Some(outcome) => return outcome,
                None => None,
            },
            // What does not come to its end by itself is tried again by itself.
            When::After => Some((&mut attempt).await?),
        };
        self.strike(mishap);
        if mishap.what == What::Accident {
            let mut accident = (self.accident)();
            let is_over = timeout(HELD_UP, &mut accident).await.is_ok();
            return match outcome {
                Some(proof) => {
                    if !is_over {
                        accident.await;
                    }
                    Ok(proof)
                }
                None if is_over => attempt.await,
                // The attempt was halted with something in its hands that the accident waits for.
                None => join(accident, attempt).await.1,
            };
        }
        // Whatever it still waits for is given up.
        drop(attempt);
        match mishap.what {
            What::Retry => Err(StepError::Retry("on purpose".to_owned())),
            What::Fail => Err(StepError::fail("on-purpose", "on purpose", "nothing")),
            What::Crash => {
                self.crash.notify_one();
                pending().await
            }
            What::Hang => pending().await,
            What::Repeat | What::Accident => work().await,
        }
    }
}

/// What work comes to if it waits at most so many times; otherwise it is only begun.
async fn beginning<T>(work: &mut BoxFuture<'_, T>, waits: u32) -> Option<T> {
    let mut left = waits;
    poll_fn(|cx| match Pin::new(&mut *work).poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

#[async_trait]
impl<S: Subject> Step<S> for Troubled<S> {
    fn name(&self) -> &'static str {
        self.step.name()
    }

    fn deadline(&self) -> SignedDuration {
        self.trouble.deadline(self.step)
    }

    async fn run(&self, cx: &StepContext<'_, S>) -> Result<String, StepError> {
        self.trouble.attempt(self.name(), Way::Forward, || self.step.run(cx)).await
    }

    async fn undo(&self, cx: &StepContext<'_, S>) -> Result<String, StepError> {
        self.trouble.attempt(self.name(), Way::Back, || self.step.undo(cx)).await
    }
}
