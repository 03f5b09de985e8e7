//! Sessions: started, looked at, stopped, run again; what they left.

use crate::{
    App, Draft, Page,
    blobs::{BlobError, BlobPath, Reading},
    error::{FindError, Noun},
    tenant::{self, TenantRef},
    trace::note,
    wait::Waiter,
};
use bytes::Bytes;
use domain::{
    Action, Actor, Authorized, CreateSession, Digest, Input, InputSource, Invalid, Kept, NextStep,
    Plan, ReadSession, Retention, Run, Session, SessionId, SessionSpec, SessionState, StopSession,
    Tenant, allows,
};
use std::{ops::Range, time::Duration};
use store::{Artifact, Change, Created, IdempotencyKey, SessionCreateError};

pub use store::StopMode;

mod request;
mod rerun;
mod watch;

pub use request::{NewInput, NewRerun, NewResources, NewRetryRule, NewSession};
pub use rerun::{RerunError, rerun};
pub use watch::Watch;

/// A session with its run, for one caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionView {
    /// The session.
    pub session: Session,
    /// Its newest run, once there is one.
    pub run: Option<Run>,
    /// What may help, where it failed.
    pub next_step: Option<NextStep>,
    /// How long the tenant's plan keeps what it left.
    pub retention: Retention,
    /// Whether the caller may see the values in its environment, where passwords are put: who may
    /// start sessions may, who only looks on sees their names.
    pub is_env_shown: bool,
}

/// Why a session was not started.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// Not found or not allowed.
    #[error(transparent)]
    Find(#[from] FindError),
    /// Fields break rules.
    #[error("{0}")]
    Invalid(Invalid),
    /// The tenant is on its way out.
    #[error("the tenant is being deleted")]
    TenantDeleting,
    /// As many sessions wait as the tenant's plan allows.
    #[error("{0}")]
    TooManyWaiting(Invalid),
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    IdempotencyMismatch,
}

/// Why something that a session left was not handed out.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Not found or not allowed.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The object store failed.
    #[error("read the object")]
    Blob(#[from] BlobError),
    /// The part that was asked for begins behind the end.
    #[error("the file has {size} bytes")]
    NoSuchPart {
        /// Its size.
        size: u64,
    },
}

/// Which bytes of a file are wanted.
///
/// Source: RFC 9110, section 14.1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// From here to the end.
    From(u64),
    /// From one to another, which is the last; or to the end, if that comes first.
    Between(u64, u64),
    /// So many at the end.
    Last(u64),
}

impl Part {
    /// The bytes of a file of this size; none if there are none.
    fn of(self, size: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::From(first) => first..size,
            Self::Between(first, last) => first..size.min(last.saturating_add(1)),
            Self::Last(count) => size.saturating_sub(count)..size,
        };
        (range.start < range.end).then_some(range)
    }
}

/// Starts a session: it is queued, and will reach a final state.
///
/// # Errors
/// If the caller may not, a field breaks a rule, too many sessions wait, or the tenant is being
/// deleted.
pub async fn create(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    new: Draft<NewSession>,
    key: Option<&IdempotencyKey>,
) -> Result<Created<SessionView>, CreateError> {
    let (tenant, proof) = tenant::find::<CreateSession>(app, actor, tenant).await?;
    let spec = new.check(|new| new.check(&tenant.plan()));
    let spec = spec.map_err(CreateError::Invalid)?;
    start(app, actor, &tenant, &proof, spec, key).await
}

/// Records a session whose specification is checked.
async fn start(
    app: &App,
    actor: &Actor,
    tenant: &Tenant,
    proof: &Authorized<CreateSession>,
    spec: SessionSpec,
    key: Option<&IdempotencyKey>,
) -> Result<Created<SessionView>, CreateError> {
    let inputs = spec.inputs.clone();
    match app.store.session_create(proof, tenant.id, spec, key).await {
        Ok(Created { value, is_replay }) => {
            note("session.id", value.id);
            let value = with_run(app, actor, tenant, value).await?;
            Ok(Created { value, is_replay })
        }
        Err(SessionCreateError::TenantDeleting) => Err(CreateError::TenantDeleting),
        Err(SessionCreateError::TooManyWaiting { waiting }) => {
            Err(CreateError::TooManyWaiting(too_many_waiting(&tenant.plan(), waiting)))
        }
        Err(SessionCreateError::IdempotencyMismatch) => Err(CreateError::IdempotencyMismatch),
        Err(SessionCreateError::InputsMissing(missing)) => {
            Err(CreateError::Invalid(inputs_missing(&inputs, &missing)))
        }
        Err(SessionCreateError::Store(error)) => {
            Err(FindError::of_write(error, Noun::Tenant).into())
        }
    }
}

/// The sessions of a tenant, newest first.
///
/// # Errors
/// If the caller may not see them.
pub async fn list(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    state: Option<SessionState>,
    after: Option<SessionId>,
    limit: u64,
) -> Result<Page<SessionView, SessionId>, FindError> {
    let (tenant, _) = tenant::find::<ReadSession>(app, actor, tenant).await?;
    let sessions = app.store.session_list(tenant.id, after, limit + 1, state).await?;
    let page = Page::cut(sessions, limit, |session| session.id);
    let views = page.items.into_iter().map(|session| with_run(app, actor, &tenant, session));
    let items = futures::future::try_join_all(views).await?;
    Ok(Page { items, next: page.next })
}

/// One session.
///
/// # Errors
/// If the caller may not see it.
pub async fn get(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    session: SessionId,
) -> Result<SessionView, FindError> {
    let found = find::<ReadSession>(app, actor, tenant, session).await?;
    with_run(app, actor, &found.tenant, found.session).await
}

/// The runs of a session, first to last: each is one attempt.
///
/// # Errors
/// If the caller may not see them.
pub async fn runs(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    session: SessionId,
) -> Result<Vec<Run>, FindError> {
    let Found { session, .. } = find::<ReadSession>(app, actor, tenant, session).await?;
    Ok(app.store.runs_of_session(session.id).await?)
}

/// Waits until a session is over, at most for `time`.
///
/// # Errors
/// If the caller may not see it.
pub async fn wait(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    session: SessionId,
    time: Duration,
) -> Result<SessionView, FindError> {
    let mut waiter = Waiter::new(app, time);
    let is_ours = |change| matches!(change, Change::Session { session: of, .. } if of == session);
    loop {
        let view = get(app, actor, tenant, session).await?;
        if view.session.state.is_final() || !waiter.is_worth_a_look(is_ours).await {
            return Ok(view);
        }
    }
}

/// Asks a session to stop. One that is over stays as it is. With [`StopMode::Unproven`] nobody waits
/// for proof that its process has ended.
///
/// # Errors
/// If the caller may not.
pub async fn stop(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    session: SessionId,
    mode: StopMode,
) -> Result<SessionView, FindError> {
    let found = find::<StopSession>(app, actor, tenant, session).await?;
    let stopped = app.store.session_stop(&found.proof, found.session.id, mode).await;
    let session = stopped.map_err(|error| FindError::of_write(error, Noun::Session))?;
    with_run(app, actor, &found.tenant, session).await
}

/// The result of a session: a JSON text.
///
/// # Errors
/// If the caller may not see it, there is none (yet), or its time is over.
pub async fn result(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    session: SessionId,
) -> Result<Bytes, OutputError> {
    let found = find::<ReadSession>(app, actor, tenant, session).await?;
    let missing = || FindError::Missing(Noun::Result);
    let run = found.session.run.ok_or_else(missing)?;
    let bytes = app.blobs.get(&BlobPath::result(run)).await?;
    found.still_keeps(app, Kept::Files).await?;
    Ok(bytes.ok_or_else(missing)?)
}

/// The files that a session left.
///
/// # Errors
/// If the caller may not see them, or their time is over.
pub async fn artifacts(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    session: SessionId,
) -> Result<Vec<Artifact>, FindError> {
    let found = find::<ReadSession>(app, actor, tenant, session).await?;
    let Some(run) = found.session.run else { return Ok(Vec::new()) };
    let artifacts = app.store.artifact_list(run).await?;
    found.still_keeps(app, Kept::Files).await?;
    Ok(artifacts)
}

/// One file that a session left, with its bytes, or those in the part that is `wanted` of it and where
/// they are.
///
/// # Errors
/// If the caller may not see it, there is none of that path, its time is over, or it ends before the
/// part begins.
pub async fn artifact(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    session: SessionId,
    path: &str,
    wanted: impl FnOnce(&Artifact) -> Option<Part>,
) -> Result<(Artifact, Option<Range<u64>>, Reading), OutputError> {
    let artifacts = artifacts(app, actor, tenant, session).await?;
    let missing = || FindError::Missing(Noun::Artifact);
    let artifact = artifacts.into_iter().find(|artifact| artifact.path == path);
    let artifact = artifact.ok_or_else(missing)?;
    let size = artifact.size;
    let range = wanted(&artifact).map(|part| part.of(size).ok_or(OutputError::NoSuchPart { size }));
    let range = range.transpose()?;
    let path = BlobPath::stored(&artifact.blob);
    let reading = app.blobs.read_part(&path, range.clone()).await?;
    Ok((artifact, range, reading.ok_or_else(missing)?))
}

/// A session, whose it is, and what the policy table says.
pub(crate) struct Found<A: Action> {
    pub(crate) tenant: Tenant,
    pub(crate) session: Session,
    proof: Authorized<A>,
}

impl<A: Action> Found<A> {
    /// Asks the record once more, after something was read or was not there: what is removed is marked
    /// before it goes.
    ///
    /// # Errors
    /// If it was removed because its time was over.
    pub(crate) async fn still_keeps(&self, app: &App, kept: Kept) -> Result<(), FindError> {
        let session = app.store.session_get(self.session.id).await?;
        let session = session.ok_or(FindError::Missing(Noun::Session))?;
        match session.removed_at(kept) {
            None => Ok(()),
            Some(removed_at) => {
                Err(FindError::Expired { kept, removed_at, plan: self.tenant.plan })
            }
        }
    }
}

/// Finds a session of a tenant and asks the policy table.
pub(crate) async fn find<A: Action>(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    session: SessionId,
) -> Result<Found<A>, FindError> {
    let (tenant, proof) = tenant::find(app, actor, tenant).await?;
    let session = app.store.session_get(session).await?;
    let session = session.filter(|session| session.tenant == tenant.id);
    let session = session.ok_or(FindError::Missing(Noun::Session))?;
    note("session.id", session.id);
    Ok(Found { tenant, session, proof })
}

async fn with_run(
    app: &App,
    actor: &Actor,
    tenant: &Tenant,
    session: Session,
) -> Result<SessionView, FindError> {
    let run = match session.run {
        Some(run) => app.store.run_get(run).await?,
        None => None,
    };
    let is_env_shown =
        actor.role_in(tenant.scope()).is_some_and(|role| allows(role, CreateSession::PERMISSION));
    let plan = tenant.plan();
    let (next_step, retention) = (session.next_step(&plan), plan.retention);
    Ok(SessionView { session, run, next_step, retention, is_env_shown })
}

fn too_many_waiting(plan: &Plan, waiting: u64) -> Invalid {
    let Plan { name, sessions_waiting, sessions_at_once, .. } = plan;
    let rule = format!(
        "at most {sessions_waiting} in plan {name}, which runs {sessions_at_once} at a time; wait \
         until some have begun, or stop some"
    );
    Invalid::field("{tenant}", format!("{waiting} queued sessions"), rule)
}

/// Names the inputs whose uploads are not there.
fn inputs_missing(inputs: &[Input], missing: &[Digest]) -> Invalid {
    let mut invalid = Invalid::default();
    for (index, Input { source, .. }) in inputs.iter().enumerate() {
        if let InputSource::Blob(digest) = source
            && missing.contains(digest)
        {
            let rule = "the digest of an uploaded input; upload it first";
            invalid.add(&format!("/inputs/{index}/digest"), digest, rule);
        }
    }
    invalid
}
