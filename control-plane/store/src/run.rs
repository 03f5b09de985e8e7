use crate::{
    Change, MoveError, Store, StoreError, column,
    entity::{artifacts, log_segments, runs, sessions},
    secret::sha256,
    session::{expected_in_txn, opened, plan_of, stale_move, write_in_txn},
    tenant, token,
    txn::{Txn, in_txn},
};
use domain::{
    Cause, Drain, Exit, Resources, Run, RunId, RunUsage, Session, SessionId, SessionState, TenantId,
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, IntoActiveModel, NotSet,
    QueryFilter, QueryOrder, QuerySelect, Set,
};
use secrecy::{ExposeSecret, SecretString};

const PREFIX: &str = "wrr_";

/// A run at the only moment when its token can be seen.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// The run.
    pub run: Run,
    /// Its session, which is starting now.
    pub session: Session,
    /// What the run shows to report: `wrr_…`. Only its SHA-256 is stored.
    pub token: SecretString,
}

impl Store {
    /// Begins an attempt at a queued session, which is starting from now on.
    ///
    /// # Errors
    /// `Stale` if the session changed since `expected_revision`, `NotAllowed` if it is not queued;
    /// nothing is written then.
    #[tracing::instrument(name = "db.run.create", skip_all)]
    pub async fn run_create(
        &self,
        session: SessionId,
        expected_revision: i64,
    ) -> Result<NewRun, MoveError> {
        in_txn!(self, |txn| create_in_txn(&mut txn, session, expected_revision))
    }

    /// Gives a run another token, for a process that lost the first one before it reached the run;
    /// the old one dies.
    ///
    /// # Errors
    /// `NotFound` if there is no such run, `Ended` if its session is over or the first token has reached it:
    /// whoever has that may have begun.
    #[tracing::instrument(name = "db.run.token_replace", skip_all)]
    pub async fn run_token_replace(&self, id: RunId) -> Result<SecretString, StoreError> {
        in_txn!(self, |txn| replace_token_in_txn(&mut txn, id))
    }

    /// One run.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.run.get", skip_all)]
    pub async fn run_get(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        let row = runs::Entity::find_by_id(id.uuid()).one(&self.0.read).await?;
        row.map(Run::try_from).transpose()
    }

    /// The runs of a session, first to last.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.run.of_session", skip_all)]
    pub async fn runs_of_session(&self, session: SessionId) -> Result<Vec<Run>, StoreError> {
        let select = runs::Entity::find()
            .filter(runs::Column::Session.eq(session.uuid()))
            .order_by_asc(runs::Column::Attempt);
        select.all(&self.0.read).await?.into_iter().map(Run::try_from).collect()
    }

    /// Notes that nothing of a run that is over runs any more; the first time counts.
    ///
    /// # Errors
    /// `NotFound` if there is no such run; or if the database fails.
    #[tracing::instrument(name = "db.run.settled", skip_all)]
    pub async fn run_settled(&self, id: RunId) -> Result<(), StoreError> {
        in_txn!(self, |txn| async {
            let at = Some(txn.at());
            let change = runs::ActiveModel { settled_at: Set(at), ..Default::default() };
            let once = runs::Column::SettledAt.is_null().and(runs::Column::EndedAt.is_not_null());
            update_in_txn(&mut txn, id, change, once, Notice::Told).await
        })
    }

    /// At most `limit` runs of a tenant, deleted or not, by identifier, starting after `after`.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.run.list", skip_all)]
    pub async fn run_list(
        &self,
        tenant: TenantId,
        after: Option<RunId>,
        limit: u64,
    ) -> Result<Vec<RunId>, StoreError> {
        let mut select = runs::Entity::find()
            .select_only()
            .column(runs::Column::Id)
            .filter(runs::Column::Tenant.eq(tenant.uuid()));
        if let Some(after) = after {
            select = select.filter(runs::Column::Id.gt(after.uuid()));
        }
        let select = select.order_by_asc(runs::Column::Id).limit(limit);
        let ids = select.into_tuple().all(&self.0.read).await?;
        Ok(ids.into_iter().map(RunId::new).collect())
    }

    /// Forgets what runs left, when the objects are gone: the index of their logs, and their files.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.run.forget_files", skip_all)]
    pub async fn run_forget_files(&self, runs: &[RunId]) -> Result<(), StoreError> {
        in_txn!(self, |txn| forget_files_in_txn(&mut txn, runs))
    }

    /// The run that shows this token, and its session; none if either is over.
    ///
    /// # Errors
    /// If the database fails.
    #[tracing::instrument(name = "db.run.by_token", skip_all)]
    pub async fn run_by_token(&self, token: &str) -> Result<Option<(Run, Session)>, StoreError> {
        if !token.starts_with(PREFIX) {
            return Ok(None);
        }
        let hash = sha256(token.as_bytes()).to_vec();
        let select = runs::Entity::find().filter(runs::Column::TokenHash.eq(hash));
        let Some(run) = select.one(&self.0.read).await? else { return Ok(None) };
        let session = live_session(&self.0.read, &run).await?;
        let vault = &self.0.vault;
        session.map(|session| Ok((run.try_into()?, opened(vault, &session)?))).transpose()
    }

    /// Notes that the run's Job was accepted; the first time counts.
    ///
    /// # Errors
    /// `NotFound` if there is no such run; or if the database fails.
    #[tracing::instrument(name = "db.run.job_created", skip_all)]
    pub async fn run_job_created(&self, id: RunId) -> Result<(), StoreError> {
        in_txn!(self, |txn| async {
            let at = Some(txn.at());
            let change = runs::ActiveModel { job_created_at: Set(at), ..Default::default() };
            let once = runs::Column::JobCreatedAt.is_null();
            update_in_txn(&mut txn, id, change, once, Notice::Told).await
        })
    }

    /// Notes that the agent's process started; the first time counts.
    ///
    /// # Errors
    /// `NotFound` if there is no such run; or if the database fails.
    #[tracing::instrument(name = "db.run.started", skip_all)]
    pub async fn run_started(&self, id: RunId) -> Result<(), StoreError> {
        in_txn!(self, |txn| async {
            let at = Some(txn.at());
            let change = runs::ActiveModel {
                started_at: Set(at),
                heartbeat_at: Set(at),
                ..Default::default()
            };
            let once = runs::Column::StartedAt.is_null();
            update_in_txn(&mut txn, id, change, once, Notice::Told).await
        })
    }

    /// Notes that the run's runner is alive, and what it used so far, if its agent was started. Tells nobody; after the exit
    /// it changes nothing.
    ///
    /// # Errors
    /// `NotFound` if there is no such run; or if the database fails.
    #[tracing::instrument(name = "db.run.heartbeat", skip_all)]
    pub async fn run_heartbeat(
        &self,
        id: RunId,
        usage: Option<RunUsage>,
    ) -> Result<(), StoreError> {
        in_txn!(self, |txn| async {
            let change = runs::ActiveModel {
                heartbeat_at: Set(Some(txn.at())),
                usage: usage.map_or(NotSet, |usage| Set(Some(column::json(&usage)))),
                ..Default::default()
            };
            let open = runs::Column::ExitedAt.is_null();
            update_in_txn(&mut txn, id, change, open, Notice::Silent).await
        })
    }

    /// Notes how the agent's process ended and what it used; the first time counts.
    ///
    /// # Errors
    /// `NotFound` if there is no such run; or if the database fails.
    #[tracing::instrument(name = "db.run.exited", skip_all)]
    pub async fn run_exited(
        &self,
        id: RunId,
        exit: Exit,
        usage: RunUsage,
    ) -> Result<(), StoreError> {
        in_txn!(self, |txn| async {
            let change = runs::ActiveModel {
                exited_at: Set(Some(txn.at())),
                exit: Set(Some(column::json(&exit))),
                usage: Set(Some(column::json(&usage))),
                ..Default::default()
            };
            let once = runs::Column::ExitedAt.is_null();
            update_in_txn(&mut txn, id, change, once, Notice::Told).await
        })
    }
}

async fn create_in_txn(
    txn: &mut Txn,
    session: SessionId,
    expected_revision: i64,
) -> Result<NewRun, MoveError> {
    let session = expected_in_txn(txn, session, expected_revision, SessionState::Starting).await?;
    let earlier = match session.run {
        Some(earlier) => Some(Run::try_from(row(&txn.db, earlier).await?)?),
        None => None,
    };
    if earlier.as_ref().is_some_and(|run| run.settled_at.is_none()) {
        return Err(StoreError::Refused("the earlier run is not settled").into());
    }
    let resources = match &earlier {
        Some(earlier) => after_in_txn(txn, &session, earlier).await?,
        None => session.spec.resources,
    };
    let token = SecretString::from(token::random(PREFIX, txn.store.ids.secret()));
    let row = runs::Model {
        id: txn.store.ids.uuid(),
        session: session.id.uuid(),
        tenant: session.tenant.uuid(),
        attempt: i64::from(earlier.as_ref().map_or(0, |run| run.attempt)) + 1,
        token_hash: sha256(token.expose_secret().as_bytes()).to_vec(),
        created_at: txn.at(),
        job_created_at: None,
        started_at: None,
        heartbeat_at: None,
        exited_at: None,
        exit: None,
        usage: None,
        next_log_line: 1,
        resources: Some(column::json(&resources)),
        ended_at: None,
        cause: None,
        settled_at: None,
        drain: None,
        lines_before: column::count(earlier.as_ref().map_or(0, Run::log_lines)),
        log_bytes: 0,
        log_bytes_before: column::count(earlier.as_ref().map_or(0, Run::log_text_bytes)),
        log_full_at: None,
        log_missing_lines: 0,
    };
    let run = Some(RunId::new(row.id));
    let session = write_in_txn(txn, session, SessionState::Starting, None, run).await;
    let session = session.map_err(stale_move)?;
    runs::Entity::insert(row.clone().into_active_model()).exec_without_returning(&txn.db).await?;
    Ok(NewRun { run: row.try_into()?, session, token })
}

/// What the run after `earlier` may use.
async fn after_in_txn(
    txn: &Txn,
    session: &Session,
    earlier: &Run,
) -> Result<Resources, StoreError> {
    let owner = tenant::existing_by_id(session.tenant).one(&txn.db).await?;
    let plan = plan_of(&owner.ok_or(StoreError::NotFound)?)?;
    let spared = spared_in_txn(txn, earlier).await?;
    let cause = earlier.cause.as_ref();
    let retry = cause.and_then(|cause| session.spec.retry(earlier, cause, &plan, spared));
    // The plan may have become smaller meanwhile.
    Ok(retry.map_or(earlier.resources, |retry| retry.resources))
}

/// How many of the runs before this one do not count as attempts.
pub(crate) async fn spared_in_txn(txn: &Txn, run: &Run) -> Result<u32, StoreError> {
    let select = runs::Entity::find()
        .filter(runs::Column::Session.eq(run.session.uuid()))
        .filter(runs::Column::Attempt.lt(i64::from(run.attempt)))
        .filter(runs::Column::Drain.is_not_null());
    let mut spared = 0;
    for row in select.all(&txn.db).await? {
        spared += u32::from(Run::try_from(row)?.is_spared());
    }
    Ok(spared)
}

/// Notes the order to end a run; the first one counts.
pub(crate) async fn drain_in_txn(
    txn: &mut Txn,
    id: RunId,
    drain: &Drain,
) -> Result<(), StoreError> {
    let change = runs::ActiveModel { drain: Set(Some(column::json(drain))), ..Default::default() };
    update_in_txn(txn, id, change, runs::Column::Drain.is_null(), Notice::Told).await
}

/// Ends a run for the record; the first time and the first cause count. Its token is dead from now on.
pub(crate) async fn end_in_txn(
    txn: &mut Txn,
    id: RunId,
    cause: Option<&Cause>,
) -> Result<(), StoreError> {
    let at = Some(txn.at());
    let change = runs::ActiveModel { ended_at: Set(at), ..Default::default() };
    update_in_txn(txn, id, change, runs::Column::EndedAt.is_null(), Notice::Silent).await?;
    let Some(cause) = cause else { return Ok(()) };
    let change = runs::ActiveModel { cause: Set(Some(column::json(cause))), ..Default::default() };
    update_in_txn(txn, id, change, runs::Column::Cause.is_null(), Notice::Silent).await
}

/// Nothing of a tenant's runs runs any more: its cluster is gone.
pub(crate) async fn settle_all_in_txn(txn: &Txn, tenant: TenantId) -> Result<(), StoreError> {
    let change = runs::ActiveModel { settled_at: Set(Some(txn.at())), ..Default::default() };
    runs::Entity::update_many()
        .set(change)
        .filter(runs::Column::Tenant.eq(tenant.uuid()))
        .filter(runs::Column::SettledAt.is_null())
        .exec(&txn.db)
        .await?;
    Ok(())
}

async fn forget_files_in_txn(txn: &mut Txn, runs: &[RunId]) -> Result<(), StoreError> {
    let ids = || runs.iter().map(|run| run.uuid());
    log_segments::Entity::delete_many()
        .filter(log_segments::Column::Run.is_in(ids()))
        .exec(&txn.db)
        .await?;
    artifacts::Entity::delete_many()
        .filter(artifacts::Column::Run.is_in(ids()))
        .exec(&txn.db)
        .await?;
    Ok(())
}

async fn replace_token_in_txn(txn: &mut Txn, id: RunId) -> Result<SecretString, StoreError> {
    let run = row(&txn.db, id).await?;
    live_session(&txn.db, &run).await?.ok_or(StoreError::Ended)?;
    if run.heartbeat_at.is_some() {
        return Err(StoreError::Ended);
    }
    let token = SecretString::from(token::random(PREFIX, txn.store.ids.secret()));
    let hash = sha256(token.expose_secret().as_bytes()).to_vec();
    let change = runs::ActiveModel { token_hash: Set(hash), ..Default::default() };
    let still = runs::Column::TokenHash.eq(run.token_hash);
    let updated = runs::Entity::update_many()
        .set(change)
        .filter(runs::Column::Id.eq(id.uuid()))
        .filter(still)
        .exec(&txn.db)
        .await?;
    if updated.rows_affected == 1 { Ok(token) } else { Err(StoreError::Stale) }
}

/// Whether others are woken.
#[derive(Clone, Copy)]
enum Notice {
    Told,
    Silent,
}

/// Applies a change to a run if `condition` holds of it, and nothing otherwise.
async fn update_in_txn(
    txn: &mut Txn,
    id: RunId,
    change: runs::ActiveModel,
    condition: impl Into<Condition>,
    notice: Notice,
) -> Result<(), StoreError> {
    let run = row(&txn.db, id).await?;
    let updated = runs::Entity::update_many()
        .set(change)
        .filter(runs::Column::Id.eq(id.uuid()))
        .filter(condition.into())
        .exec(&txn.db)
        .await?;
    if updated.rows_affected == 1 && matches!(notice, Notice::Told) {
        txn.changed(session_change(&run));
    }
    Ok(())
}

/// What to tell when something about a run changes.
pub(crate) fn session_change(run: &runs::Model) -> Change {
    Change::Session { tenant: TenantId::new(run.tenant), session: SessionId::new(run.session) }
}

/// Notes how many lines a runner has given up so far; the number only grows.
pub(crate) async fn log_missing_in_txn(
    txn: &mut Txn,
    id: RunId,
    lines: u64,
) -> Result<(), StoreError> {
    let lines = column::count(lines);
    let change = runs::ActiveModel { log_missing_lines: Set(lines), ..Default::default() };
    update_in_txn(txn, id, change, runs::Column::LogMissingLines.lt(lines), Notice::Told).await
}

pub(crate) async fn row(db: &impl ConnectionTrait, id: RunId) -> Result<runs::Model, StoreError> {
    runs::Entity::find_by_id(id.uuid()).one(db).await?.ok_or(StoreError::NotFound)
}

/// The session of a run, if neither is over and this is its run.
async fn live_session(
    db: &impl ConnectionTrait,
    run: &runs::Model,
) -> Result<Option<sessions::Model>, StoreError> {
    if run.ended_at.is_some() {
        return Ok(None);
    }
    let select = sessions::Entity::find_by_id(run.session)
        .filter(sessions::Column::Run.eq(run.id))
        .filter(sessions::Column::FinishedAt.is_null());
    Ok(select.one(db).await?)
}

impl TryFrom<runs::Model> for Run {
    type Error = StoreError;

    fn try_from(row: runs::Model) -> Result<Self, StoreError> {
        let time = column::to_optional_time;
        let attempt = u32::try_from(row.attempt);
        Ok(Self {
            id: RunId::new(row.id),
            session: SessionId::new(row.session),
            tenant: TenantId::new(row.tenant),
            attempt: attempt.map_err(|error| StoreError::corrupt("runs.attempt", error))?,
            created_at: column::to_time("runs.created_at", row.created_at)?,
            job_created_at: time("runs.job_created_at", row.job_created_at)?,
            started_at: time("runs.started_at", row.started_at)?,
            heartbeat_at: time("runs.heartbeat_at", row.heartbeat_at)?,
            exited_at: time("runs.exited_at", row.exited_at)?,
            exit: column::to_optional_json("runs.exit", row.exit.as_deref())?,
            usage: column::to_optional_json("runs.usage", row.usage.as_deref())?,
            next_log_line: column::to_count("runs.next_log_line", row.next_log_line)?,
            resources: column::to_optional_json("runs.resources", row.resources.as_deref())?
                .unwrap_or_default(),
            ended_at: time("runs.ended_at", row.ended_at)?,
            cause: column::to_optional_json("runs.cause", row.cause.as_deref())?,
            drain: column::to_optional_json("runs.drain", row.drain.as_deref())?,
            settled_at: time("runs.settled_at", row.settled_at)?,
            lines_before: column::to_count("runs.lines_before", row.lines_before)?,
            log_bytes: column::to_count("runs.log_bytes", row.log_bytes)?,
            log_bytes_before: column::to_count("runs.log_bytes_before", row.log_bytes_before)?,
            log_full_at: time("runs.log_full_at", row.log_full_at)?,
            log_missing_lines: column::to_count("runs.log_missing_lines", row.log_missing_lines)?,
        })
    }
}
