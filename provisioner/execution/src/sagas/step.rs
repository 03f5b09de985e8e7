use crate::{Context, api_server::ApiError, plan_change::SurveyError};
use async_trait::async_trait;
use domain::{Operation, OperationId, Problem};
use jiff::{SignedDuration, Timestamp};
use std::{
    fmt,
    pin::pin,
    sync::{Mutex as QuickMutex, PoisonError},
    time::Duration,
};
use store::{Change, StoreError};
use tokio::{
    sync::{Mutex, broadcast::error::RecvError},
    time::{Instant, timeout_at},
};

/// How often a step that waits for its turn is asked whether that has come.
const TURN: Duration = Duration::from_mins(1);

/// What a saga's operation is about.
#[async_trait]
pub(crate) trait Subject: Send + Sync + Sized + fmt::Debug + 'static {
    /// What an operation about it can come to.
    type End: Clone + Send + Sync + fmt::Debug;

    /// Reads it from the record, before each attempt at a step.
    async fn load(cx: &Context, operation: &Operation) -> Result<Self, StoreError>;

    /// Ends the operation.
    async fn end(cx: &Context, operation: &Operation, end: Self::End) -> Result<(), StoreError>;

    /// What an operation came to of which nothing is left.
    fn undone(problem: Option<Problem>) -> Self::End;
}

/// One reversible unit of a saga.
#[async_trait]
pub(crate) trait Step<S: Subject>: Send + Sync + fmt::Debug {
    /// Stable name: key in the step log, span field and metric label.
    fn name(&self) -> &'static str;

    /// How long it may go on trying.
    fn deadline(&self) -> SignedDuration {
        SignedDuration::from_mins(5)
    }

    /// Brings the world to this step's postcondition, and says what was proven. Repeating it is harmless.
    async fn run(&self, cx: &StepContext<'_, S>) -> Result<String, StepError>;

    /// Reverts a whole or a partial `run`, and says what was proven. "Already gone" is success. A step from which its
    /// saga only goes forward has none.
    async fn undo(&self, _: &StepContext<'_, S>) -> Result<String, StepError> {
        Err(StepError::Retry(format!("what `{}` did is not taken back", self.name())))
    }
}

/// An operation's steps in their order, as the record knows them by name.
#[derive(Debug)]
pub(crate) struct Saga<S: Subject> {
    pub(crate) steps: &'static [&'static dyn Step<S>],
    /// What the operation came to at the end of all of them.
    pub(crate) end: S::End,
    /// The first step after which it only goes forward; nothing if all can be taken back.
    pub(crate) commit: Option<&'static str>,
}

/// Why a step did not come to its end.
#[derive(Debug, Clone)]
pub(crate) enum StepError {
    /// It is to be tried again after a while; what is in the way.
    Retry(String),
    /// It will not succeed; what was done is to be undone.
    Fail(Problem),
}

impl StepError {
    pub(crate) fn fail(code: &str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Fail(Problem { code: code.to_owned(), detail: detail.into(), hint: hint.into() })
    }
}

/// The record may answer in a while; a step has a deadline.
impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        Self::Retry(format!("the record: {error}"))
    }
}

/// Whatever an API server said may be otherwise in a while.
impl From<ApiError> for StepError {
    fn from(error: ApiError) -> Self {
        Self::Retry(error.to_string())
    }
}

/// Whoever could not look looks again.
impl From<SurveyError> for StepError {
    fn from(error: SurveyError) -> Self {
        Self::Retry(error.to_string())
    }
}

/// What a step works with.
#[derive(Debug)]
pub(crate) struct StepContext<'a, S> {
    pub(crate) cx: &'a Context,
    /// What it is about, as it was when the step began.
    pub(crate) subject: S,
    pub(crate) progress: &'a Progress<'a>,
}

/// Where a step says how far it is.
#[derive(Debug)]
pub(crate) struct Progress<'a> {
    cx: &'a Context,
    /// The operation as it was written last; nothing where nobody listens.
    written: Mutex<Option<Operation>>,
    step: usize,
    /// Since when the step's time counts; nothing while it waits for its turn.
    counts_from: QuickMutex<Option<Instant>>,
}

impl<'a> Progress<'a> {
    pub(super) fn new(cx: &'a Context, operation: &Operation, step: usize) -> Self {
        let counts_from = QuickMutex::new(Some(Instant::now()));
        Self { cx, written: Mutex::new(Some(operation.clone())), step, counts_from }
    }

    /// For what is done outside of an operation: nobody hears it.
    pub(crate) fn unheard(cx: &'a Context) -> Self {
        Self { cx, written: Mutex::default(), step: 0, counts_from: QuickMutex::default() }
    }

    /// Does work for `patience` at most, not counting how long it waits for its turn; nothing if it is not done then.
    pub(super) async fn within<T>(
        &self,
        patience: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let end = || self.counts_from().map(|from| from + patience);
        let mut work = pin!(work);
        loop {
            let until = end();
            let look = until.unwrap_or_else(|| Instant::now() + TURN);
            match timeout_at(look, &mut work).await {
                Ok(done) => return Some(done),
                Err(_) if until.is_some() && end() == until => return None,
                Err(_) => {}
            }
        }
    }

    /// Waits for a turn that others have before this one. That takes as long as it takes: the step's time begins when it
    /// comes.
    ///
    /// # Errors
    /// If somebody asked meanwhile for the operation to be taken back.
    pub(crate) async fn turn<T>(&self, turn: impl Future<Output = T>) -> Result<T, StepError> {
        self.count_from(None);
        let come = tokio::select! {
            come = turn => Ok(come),
            () = self.unwanted() => {
                Err(StepError::Retry("somebody asked for it to be taken back".to_owned()))
            }
        };
        self.count_from(Some(Instant::now()));
        let now = self.cx.clock.now();
        self.write(|step| step.started_at = Some(now)).await;
        come
    }

    /// Fails if nobody wants the operation to go on.
    ///
    /// # Errors
    /// If somebody asked for it to be taken back, which is not being done yet, or if it is over.
    pub(crate) async fn check_wanted(&self) -> Result<(), StepError> {
        let Some(id) = self.operation().await else { return Ok(()) };
        let operation = self.cx.store.operation_get(id).await?;
        let is_wanted = operation
            .is_some_and(|operation| !operation.state.is_final() && !operation.is_to_turn_back());
        if is_wanted {
            return Ok(());
        }
        Err(StepError::Retry("somebody asked for it to be taken back".to_owned()))
    }

    /// Until somebody asks for the operation to be taken back.
    async fn unwanted(&self) {
        let Some(id) = self.operation().await else { return std::future::pending().await };
        let mut changes = self.cx.store.changes();
        loop {
            let found = self.cx.store.operation_get(id).await;
            let is_unwanted = |operation: Operation| operation.is_to_turn_back();
            if found.is_ok_and(|found| found.is_some_and(is_unwanted)) {
                return;
            }
            loop {
                match changes.recv().await {
                    Ok(change) if change == Change::Operation(id) => break,
                    Ok(_) => {}
                    // Nobody knows what was missed.
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        }
    }

    async fn operation(&self) -> Option<OperationId> {
        self.written.lock().await.as_ref().map(|operation| operation.id)
    }

    fn counts_from(&self) -> Option<Instant> {
        *self.counts_from.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_from(&self, from: Option<Instant>) {
        *self.counts_from.lock().unwrap_or_else(PoisonError::into_inner) = from;
    }

    /// Says what is going on. It is no matter for the step if nobody can be told.
    pub(crate) async fn say(&self, message: impl Into<String> + Send) {
        let message = message.into();
        self.write(|step| step.message = message).await;
    }

    async fn write(&self, change: impl FnOnce(&mut domain::Step) + Send) {
        let mut written = self.written.lock().await;
        let Some(operation) = written.as_mut() else { return };
        let Some(step) = operation.steps.get_mut(self.step) else { return };
        let before = step.clone();
        change(step);
        if *step == before {
            return;
        }
        if let Err(error) = self.cx.store.operation_progress(operation).await {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(operation.id = %operation.id, error, "progress was not written");
        }
    }
}

impl<S> StepContext<'_, S> {
    pub(crate) fn now(&self) -> Timestamp {
        self.cx.clock.now()
    }
}
