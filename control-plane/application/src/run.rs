//! What runners report: the use cases of the run endpoint.
//!
//! Every function takes a [`Caller`], which only a run's own token makes: nothing here can name
//! another run.

mod end;
mod log;
mod log_limit;
mod output;

pub use end::{Report, exited};
pub use log::{AppendError, Appended, append_log};
pub use log_limit::Words;
pub use output::{
    MAX_ARTIFACT_BYTES, MAX_RESULT_BYTES, OutputError, Progress, append_artifact, artifact_offset,
    put_artifact, put_result,
};

use crate::{
    App,
    blobs::{BlobError, BlobPath, Reading},
};
use bytes::Bytes;
use domain::{
    Cause, Digest, Input, InputSource, Run, RunId, RunUsage, Session, SessionId, SessionState,
    TenantId,
};
use futures::{StreamExt, stream};
use sha2::{Digest as _, Sha256};
use store::{MoveError, StoreError};

/// How often a change of state starts over because another one was faster.
const RACES: u32 = 10;

/// A run that showed its token, and its session as it was at that moment.
#[derive(Debug, Clone)]
pub struct Caller {
    run: Run,
    session: Session,
}

/// Why a run's call had no effect.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The token is unknown, or its run is over.
    #[error("no run in progress has this token")]
    NoRun,
    /// There is no such input.
    #[error("the session has no such input")]
    NoInput,
    /// An uploaded input of the session is not there any more.
    #[error("input {name} of the session is gone")]
    InputGone {
        /// Its name.
        name: String,
    },
    /// The record did not answer.
    #[error("use the record")]
    Store(#[source] StoreError),
    /// The object store failed.
    #[error("use the object store")]
    Blob(#[from] BlobError),
}

/// What an agent is to be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The run.
    pub run: RunId,
    /// Its session.
    pub session: SessionId,
    /// The files.
    pub inputs: Vec<ManifestInput>,
    /// Whether a stop was asked for before the agent could start.
    pub is_stopping: bool,
    /// How long the agent has to end after a stop, in seconds.
    pub grace_period_seconds: u32,
}

/// One file that an agent is to be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestInput {
    /// Its file name.
    pub name: String,
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl Caller {
    /// Whether its agent is to end: a stop was asked for, or its node is emptied.
    fn is_ending(&self) -> bool {
        self.session.state == SessionState::Stopping || self.run.drain.is_some()
    }

    /// The run, for traces.
    #[must_use]
    pub const fn run(&self) -> RunId {
        self.run.id
    }

    /// Its session, for traces.
    #[must_use]
    pub const fn session(&self) -> SessionId {
        self.session.id
    }

    /// Whose it is, for traces.
    #[must_use]
    pub const fn tenant(&self) -> TenantId {
        self.session.tenant
    }
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Ended => Self::NoRun,
            StoreError::Database(_)
            | StoreError::Stale
            | StoreError::NotFound
            | StoreError::TakenOver
            | StoreError::Refused(_)
            | StoreError::Corrupt { .. }
            | StoreError::Secret { .. } => Self::Store(error),
        }
    }
}

/// Finds the run whose token this is.
///
/// # Errors
/// If it is nobody's, or the run is over.
pub async fn authenticate(app: &App, token: &str) -> Result<Caller, RunError> {
    let found = app.store.run_by_token(token).await?;
    let (run, session) = found.ok_or(RunError::NoRun)?;
    if session.state.is_final() {
        return Err(RunError::NoRun);
    }
    Ok(Caller { run, session })
}

/// What the agent is to be given. From now on its runner has been heard of.
///
/// # Errors
/// If an input is gone, the run is over, or the record does not answer.
pub async fn manifest(app: &App, caller: &Caller) -> Result<Manifest, RunError> {
    app.store.run_heartbeat(caller.run.id, None).await?;
    let spec = &caller.session.spec;
    let mut inputs = Vec::with_capacity(spec.inputs.len());
    for Input { name, source } in &spec.inputs {
        let (digest, size) = match source {
            InputSource::Inline(text) => {
                let digest = Digest::of_sha256(Sha256::digest(text.as_bytes()).into());
                (digest, text.len() as u64)
            }
            InputSource::Blob(digest) => {
                let blob = app.store.blob_get(caller.session.tenant, digest).await?;
                let blob = blob.ok_or_else(|| RunError::InputGone { name: name.clone() })?;
                (blob.digest, blob.size)
            }
        };
        inputs.push(ManifestInput { name: name.clone(), digest, size });
    }
    Ok(Manifest {
        run: caller.run.id,
        session: caller.session.id,
        inputs,
        is_stopping: caller.is_ending(),
        grace_period_seconds: spec.grace_period_seconds,
    })
}

/// The bytes of one input.
///
/// # Errors
/// If the session has no such input, or its bytes cannot be read.
pub async fn input(app: &App, caller: &Caller, name: &str) -> Result<Reading, RunError> {
    let input = caller.session.spec.inputs.iter().find(|input| input.name == name);
    match &input.ok_or(RunError::NoInput)?.source {
        InputSource::Inline(text) => {
            let bytes = Bytes::copy_from_slice(text.as_bytes());
            let size = bytes.len() as u64;
            Ok(Reading { size, bytes: stream::iter([Ok(bytes)]).boxed() })
        }
        InputSource::Blob(digest) => {
            let reading = app.blobs.read(&BlobPath::input(caller.session.tenant, digest)).await?;
            reading.ok_or_else(|| RunError::InputGone { name: name.to_owned() })
        }
    }
}

/// The agent's process was started.
///
/// # Errors
/// If the run is over, or the record does not answer.
pub async fn started(app: &App, caller: &Caller) -> Result<(), RunError> {
    app.store.run_started(caller.run.id).await?;
    settle(app, caller, |session| {
        (session.state == SessionState::Starting).then_some((SessionState::Running, None))
    })
    .await
}

/// The agent lives, and its runner has given up so many lines of its log. Whether it is to be stopped.
///
/// # Errors
/// If the run is over, or the record does not answer.
pub async fn heartbeat(
    app: &App,
    caller: &Caller,
    usage: RunUsage,
    missing_lines: u64,
) -> Result<bool, RunError> {
    app.store.run_heartbeat(caller.run.id, Some(usage)).await?;
    note_missing(app, &caller.run, missing_lines).await?;
    Ok(caller.is_ending())
}

async fn note_missing(app: &App, run: &Run, lines: u64) -> Result<(), RunError> {
    if lines > run.log_missing_lines {
        app.store.log_missing(run.id, lines).await?;
    }
    Ok(())
}

/// Moves a caller's session to what `decide` wants of its present state; a final state stays, and so
/// does what another run has made of it.
async fn settle(
    app: &App,
    caller: &Caller,
    decide: impl Fn(&Session) -> Option<(SessionState, Option<Cause>)>,
) -> Result<(), RunError> {
    for _ in 0..RACES {
        let session = app.store.session_get(caller.session.id).await?.ok_or(RunError::NoRun)?;
        if session.run != Some(caller.run.id) {
            return Err(RunError::NoRun);
        }
        let Some((next, cause)) = decide(&session) else { return Ok(()) };
        if !session.state.may_become(next) {
            return Ok(());
        }
        match app.store.session_move(session.id, session.revision, next, cause).await {
            Ok(_) => return Ok(()),
            Err(MoveError::Stale | MoveError::NotAllowed { .. }) => {}
            Err(MoveError::Store(error)) => return Err(error.into()),
        }
    }
    Err(RunError::Store(StoreError::Stale))
}
