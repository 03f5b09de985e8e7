use crate::{
    Change, Created, IdempotencyKey, Store, StoreError, blob, column,
    entity::{sessions, tenants},
    error::write_error,
    idempotency::Known,
    run, tenant,
    txn::{Txn, in_txn},
};
use domain::{
    Authorized, Cause, CreateSession, Digest, FailureClass, Plan, Retry, Run, RunId, Session,
    SessionId, SessionSpec, SessionState, Tenant, TenantId,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, IntoActiveModel, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, Select, Set,
};

mod drain;
mod retention;
mod sealed;
mod stop;

pub use retention::Removing;
pub(crate) use sealed::opened;
pub use stop::StopMode;

/// Why a session was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SessionCreateError {
    /// Its tenant is on its way out.
    #[error("the tenant is being deleted")]
    TenantDeleting,
    /// The idempotency key stands for another request.
    #[error("the idempotency key was used for another request")]
    IdempotencyMismatch,
    /// As many sessions wait as its plan allows.
    #[error("{waiting} sessions wait already")]
    TooManyWaiting {
        /// How many wait.
        waiting: u64,
    },
    /// It names uploads that are not there.
    #[error("{} of its inputs are not there", .0.len())]
    InputsMissing(Vec<Digest>),
    /// The record failed; `NotFound` if there is no such tenant.
    #[error("write the session")]
    Store(#[from] StoreError),
}

/// Why a session did not change its state.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// It changed since it was read.
    #[error("the session changed meanwhile")]
    Stale,
    /// The states do not follow one another.
    #[error("a session that is {from} cannot become {to}")]
    NotAllowed {
        /// The state it is in.
        from: SessionState,
        /// The state it was to go to.
        to: SessionState,
    },
    /// The record failed; `NotFound` if there is no such session.
    #[error("write the session")]
    Store(#[from] StoreError),
}

write_error!(SessionCreateError, MoveError);

impl Store {
    /// Accepts a session: it is queued, and will reach a final state. The specification was
    /// validated before; it is stored encrypted.
    ///
    /// Sessions that are accepted at the same instant may pass the limit of those that wait together,
    /// by as many as there are connections.
    ///
    /// # Errors
    /// If the tenant is on its way out, too many sessions wait already, the key stands for another
    /// request, an upload that it names is not there, there is no such tenant, the proof is for
    /// another one, or the database fails.
    #[tracing::instrument(name = "db.session.create", skip_all)]
    pub async fn session_create(
        &self,
        proof: &Authorized<CreateSession>,
        tenant: TenantId,
        spec: SessionSpec,
        key: Option<&IdempotencyKey>,
    ) -> Result<Created<Session>, SessionCreateError> {
        if proof.tenant() != Some(tenant) {
            return Err(StoreError::NotFound.into());
        }
        in_txn!(self, |txn| create_in_txn(&mut txn, proof, tenant, &spec, key))
    }

    /// One session.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.session.get", skip_all)]
    pub async fn session_get(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        let row = sessions::Entity::find_by_id(id.uuid()).one(&self.0.read).await?;
        row.map(|row| opened(&self.0.vault, &row)).transpose()
    }

    /// At most `limit` sessions of a tenant, newest first, starting after `after`; those in one
    /// state, or all.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.session.list", skip_all)]
    pub async fn session_list(
        &self,
        tenant: TenantId,
        after: Option<SessionId>,
        limit: u64,
        state: Option<SessionState>,
    ) -> Result<Vec<Session>, StoreError> {
        let mut select =
            sessions::Entity::find().filter(sessions::Column::Tenant.eq(tenant.uuid()));
        if let Some(after) = after {
            select = select.filter(sessions::Column::Id.lt(after.uuid()));
        }
        if let Some(state) = state {
            select = select.filter(sessions::Column::State.eq(state.as_str()));
        }
        let select = select.order_by_desc(sessions::Column::Id).limit(limit);
        let rows = select.all(&self.0.read).await?.into_iter();
        rows.map(|row| opened(&self.0.vault, &row)).collect()
    }

    /// The sessions of a tenant that are not over, oldest first: of those that are queued only the
    /// next ones, as many as its plan lets be begun at a time, and the one whose next run may begin
    /// first. So what many wait for is not read at every look; none is given only if none is left.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.session.active", skip_all)]
    pub async fn session_active(&self, tenant: TenantId) -> Result<Vec<Session>, StoreError> {
        let owner = tenant::existing_by_id(tenant).one(&self.0.read).await?;
        let Some(owner) = owner else { return Ok(Vec::new()) };
        let at_once = plan_of(&owner)?.sessions_at_once;
        let is_queued = sessions::Column::State.eq(SessionState::Queued.as_str());
        // In this order, so that one which begins meanwhile is seen: twice, and as begun.
        let now = column::time(self.0.now());
        let is_put_off = sessions::Column::RetryAt.gt(now);
        let is_due = sessions::Column::RetryAt.is_null().or(is_put_off.clone().not());
        let next = active(tenant).filter(is_queued.clone()).filter(is_due);
        let mut rows = next.limit(u64::from(at_once)).all(&self.0.read).await?;
        let later = sessions::Entity::find()
            .filter(sessions::Column::Tenant.eq(tenant.uuid()))
            .filter(is_queued.clone())
            .filter(is_put_off)
            .order_by_asc(sessions::Column::RetryAt);
        rows.extend(later.one(&self.0.read).await?);
        let begun = active(tenant).filter(is_queued.not()).all(&self.0.read).await?;
        // What was read last counts.
        rows.splice(0..0, begun);
        rows.sort_by_key(|row| row.id);
        rows.dedup_by_key(|row| row.id);
        rows.into_iter().map(|row| opened(&self.0.vault, &row)).collect()
    }

    /// The tenants that have sessions which are not over.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.session.active_tenants", skip_all)]
    pub async fn sessions_active_tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        let select = sessions::Entity::find()
            .select_only()
            .column(sessions::Column::Tenant)
            .distinct()
            .filter(sessions::Column::FinishedAt.is_null())
            .order_by_asc(sessions::Column::Tenant);
        let ids = select.into_tuple().all(&self.0.read).await?;
        Ok(ids.into_iter().map(TenantId::new).collect())
    }

    /// Moves a session that was read at `expected_revision` to its next state. The cause belongs to
    /// the state: none clears it. A final state is never left, and with it the run's token dies.
    ///
    /// One that would fail is queued again instead if its retry policy has another run for it; the
    /// run that failed is over all the same.
    ///
    /// # Errors
    /// `Stale` if the session changed meanwhile, `NotAllowed` if the states do not follow one
    /// another; nothing is written then.
    #[tracing::instrument(name = "db.session.move", skip_all)]
    pub async fn session_move(
        &self,
        id: SessionId,
        expected_revision: i64,
        next: SessionState,
        cause: Option<Cause>,
    ) -> Result<Session, MoveError> {
        in_txn!(self, |txn| move_in_txn(&mut txn, id, expected_revision, next, cause.as_ref()))
    }
}

async fn create_in_txn(
    txn: &mut Txn,
    proof: &Authorized<CreateSession>,
    tenant: TenantId,
    spec: &SessionSpec,
    key: Option<&IdempotencyKey>,
) -> Result<Created<Session>, SessionCreateError> {
    const KIND: &str = "session.create";
    // Held until the commit: a tenant cannot be removed while it gets a session.
    let owner = tenant::existing_by_id(tenant).lock_shared().one(&txn.db).await?;
    let owner = owner.ok_or(StoreError::NotFound)?;
    if let Some(key) = key {
        match key.look_up_in_txn(txn, KIND).await? {
            Known::Nothing => {}
            Known::Same(id) => {
                let row = row(&txn.db, SessionId::new(id)).await?;
                if row.tenant != tenant.uuid() {
                    return Err(SessionCreateError::IdempotencyMismatch);
                }
                return Ok(Created::replay(opened(&txn.store.vault, &row)?));
            }
            Known::Other => return Err(SessionCreateError::IdempotencyMismatch),
        }
    }
    if owner.deletion_requested_at.is_some() {
        return Err(SessionCreateError::TenantDeleting);
    }
    let queued = active(tenant).filter(sessions::Column::State.eq(SessionState::Queued.as_str()));
    let waiting = queued.count(&txn.db).await?;
    if waiting >= u64::from(plan_of(&owner)?.sessions_waiting) {
        return Err(SessionCreateError::TooManyWaiting { waiting });
    }
    let missing = blob::need_all_in_txn(txn, tenant, spec).await?;
    if !missing.is_empty() {
        return Err(SessionCreateError::InputsMissing(missing));
    }
    let id = SessionId::new(txn.store.ids.uuid());
    let sealed = sealed::seal(&txn.store.vault, id, spec)?;
    let row = sessions::Model {
        id: id.uuid(),
        tenant: tenant.uuid(),
        project: spec.project.as_str().to_owned(),
        state: SessionState::Queued.as_str().to_owned(),
        cause: None,
        spec: sealed,
        spec_key: txn.store.vault.key_id().to_owned(),
        uploads: sealed::uploads(spec),
        revision: 1,
        run: None,
        created_at: txn.at(),
        starting_at: None,
        running_at: None,
        stop_requested_at: None,
        finished_at: None,
        retry_at: None,
        log_removed_at: None,
        files_removed_at: None,
        is_removing: false,
    };
    sessions::Entity::insert(row.clone().into_active_model())
        .exec_without_returning(&txn.db)
        .await?;
    txn.changed(Change::Session { tenant, session: id });
    if let Some(key) = key {
        key.keep_in_txn(txn, KIND, id.uuid()).await?;
    }
    txn.audit(Some(proof.actor()), KIND, Some(tenant), id.to_string()).await?;
    Ok(Created::new(opened(&txn.store.vault, &row)?))
}

async fn move_in_txn(
    txn: &mut Txn,
    id: SessionId,
    expected_revision: i64,
    next: SessionState,
    cause: Option<&Cause>,
) -> Result<Session, MoveError> {
    let mut session = expected_in_txn(txn, id, expected_revision, next).await?;
    if next == SessionState::Queued {
        // Only a failure leads back there.
        return Err(MoveError::NotAllowed { from: session.state, to: next });
    }
    let (mut next, mut cause) = (next, cause.cloned());
    let run = match session.run {
        Some(run) => Some(Run::try_from(run::row(&txn.db, run).await?)?),
        None => None,
    };
    if let Some(drain) = run.as_ref().and_then(|run| run.drain.as_ref()) {
        cause = drain.explain(next, cause);
    }
    if next == SessionState::Failed
        && session.state.may_become(SessionState::Queued)
        && let Some((run, failure)) = run.zip(cause.as_mut())
        && let Some(retry) = retry_in_txn(txn, &session, &run, failure).await?
    {
        next = SessionState::Queued;
        session.retry_at = Some(txn.now.saturating_add(retry.wait).unwrap_or(txn.now));
        run::end_in_txn(txn, run.id, Some(failure)).await?;
        let number = run.attempt + 1;
        let follows = match retry.attempts {
            Some(attempts) => format!("run {number} of {attempts} follows"),
            None => format!("run {number} follows, and this one does not count as an attempt"),
        };
        failure.message = format!("{}; {follows}", failure.message);
    }
    write_in_txn(txn, session, next, cause, None).await.map_err(stale_move)
}

/// What follows the run of a session that is about to fail, if anything does.
async fn retry_in_txn(
    txn: &Txn,
    session: &Session,
    run: &Run,
    cause: &Cause,
) -> Result<Option<Retry>, StoreError> {
    let owner = tenant::existing_by_id(session.tenant).one(&txn.db).await?;
    let Some(owner) = owner.filter(|owner| owner.deletion_requested_at.is_none()) else {
        return Ok(None);
    };
    let spared = run::spared_in_txn(txn, run).await?;
    Ok(session.spec.retry(run, cause, &plan_of(&owner)?, spared))
}

/// A session that may go to `next`, if it is still as the caller knows it.
pub(crate) async fn expected_in_txn(
    txn: &Txn,
    id: SessionId,
    expected_revision: i64,
    next: SessionState,
) -> Result<Session, MoveError> {
    let session = opened(&txn.store.vault, &row(&txn.db, id).await?)?;
    if session.revision != expected_revision {
        return Err(MoveError::Stale);
    }
    if !session.state.may_become(next) {
        return Err(MoveError::NotAllowed { from: session.state, to: next });
    }
    Ok(session)
}

pub(crate) fn stale_move(error: StoreError) -> MoveError {
    if matches!(error, StoreError::Stale) { MoveError::Stale } else { MoveError::Store(error) }
}

/// Sets state, cause, run and the times that go with the state; compares the revision.
pub(crate) async fn write_in_txn(
    txn: &mut Txn,
    mut session: Session,
    next: SessionState,
    cause: Option<Cause>,
    run: Option<RunId>,
) -> Result<Session, StoreError> {
    let expected_revision = session.revision;
    let now = Some(txn.now);
    let is_same = session.state == next;
    session.state = next;
    session.cause = cause;
    session.revision += 1;
    session.run = run.or(session.run);
    match next {
        // Only why it is in that state has changed.
        SessionState::Starting | SessionState::Running if is_same => {}
        SessionState::Queued => (session.starting_at, session.running_at) = (None, None),
        SessionState::Starting => {
            session.starting_at = now;
            session.retry_at = None;
        }
        SessionState::Running => session.running_at = now,
        SessionState::Stopping => {
            session.stop_requested_at = session.stop_requested_at.or(now);
        }
        SessionState::Stopped => {
            session.stop_requested_at = session.stop_requested_at.or(now);
            session.finished_at = now;
        }
        SessionState::Succeeded | SessionState::Failed | SessionState::TimedOut => {
            session.finished_at = now;
        }
    }
    let change = sessions::ActiveModel {
        state: Set(session.state.as_str().to_owned()),
        cause: Set(session.cause.as_ref().map(column::json)),
        revision: Set(session.revision),
        run: Set(session.run.map(RunId::uuid)),
        starting_at: Set(session.starting_at.map(column::time)),
        running_at: Set(session.running_at.map(column::time)),
        stop_requested_at: Set(session.stop_requested_at.map(column::time)),
        finished_at: Set(session.finished_at.map(column::time)),
        retry_at: Set(session.retry_at.map(column::time)),
        ..Default::default()
    };
    let updated = sessions::Entity::update_many()
        .set(change)
        .filter(sessions::Column::Id.eq(session.id.uuid()))
        .filter(sessions::Column::Revision.eq(expected_revision))
        .filter(sessions::Column::FinishedAt.is_null())
        .exec(&txn.db)
        .await?;
    if updated.rows_affected != 1 {
        return Err(StoreError::Stale);
    }
    if session.state.is_final()
        && let Some(run) = session.run
    {
        run::end_in_txn(txn, run, session.cause.as_ref()).await?;
    }
    txn.changed(Change::Session { tenant: session.tenant, session: session.id });
    Ok(session)
}

/// Ends what a removed tenant has left: nothing may wait for a cluster that is gone, and nothing runs in it.
pub(crate) async fn end_all_in_txn(txn: &mut Txn, tenant: TenantId) -> Result<(), StoreError> {
    for row in active(tenant).all(&txn.db).await? {
        let session = opened(&txn.store.vault, &row)?;
        let (next, class) = if session.state.may_become(SessionState::Stopped) {
            (SessionState::Stopped, None)
        } else {
            (SessionState::Failed, Some(FailureClass::Infrastructure))
        };
        let message = "the tenant was deleted before the session was over";
        let cause = Cause { class, ..Cause::plain("TenantRemoved", message) };
        write_in_txn(txn, session, next, Some(cause), None).await?;
    }
    run::settle_all_in_txn(txn, tenant).await
}

async fn row(db: &impl ConnectionTrait, id: SessionId) -> Result<sessions::Model, StoreError> {
    let row = sessions::Entity::find_by_id(id.uuid()).one(db).await?;
    row.ok_or(StoreError::NotFound)
}

fn active(tenant: TenantId) -> Select<sessions::Entity> {
    sessions::Entity::find()
        .filter(sessions::Column::Tenant.eq(tenant.uuid()))
        .filter(sessions::Column::FinishedAt.is_null())
        .order_by_asc(sessions::Column::Id)
}

pub(crate) fn plan_of(owner: &tenants::Model) -> Result<Plan, StoreError> {
    Ok(Tenant::try_from(owner.clone())?.plan())
}
