use super::{expected_in_txn, opened, stale_move, write_in_txn};
use crate::{
    MoveError, Store, StoreError,
    entity::sessions,
    run,
    txn::{Txn, in_txn},
};
use domain::{Acting, Authorized, Cause, Session, SessionId, SessionState, StopSession, TenantId};
use sea_orm::{EntityTrait, QuerySelect};

/// How a stop is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Until it is proven that nothing of the session runs, it is stopping.
    Proven,
    /// It is stopped at once, and its run's token is dead; nobody has seen its process end.
    Unproven,
}

impl Store {
    /// Asks a session to stop: one that is queued is stopped at once, one that is starting or
    /// running is stopping from now on, all others stay as they are.
    ///
    /// # Errors
    /// `NotFound` if there is no such session or the proof is for another tenant; or if the
    /// database fails.
    #[tracing::instrument(name = "db.session.stop", skip_all)]
    pub async fn session_stop(
        &self,
        proof: &Authorized<StopSession>,
        id: SessionId,
        mode: StopMode,
    ) -> Result<Session, StoreError> {
        let tenant = proof.tenant().ok_or(StoreError::NotFound)?;
        in_txn!(self, |txn| stop_in_txn(&mut txn, proof.actor(), (tenant, id), mode))
    }

    /// Ends the run of a session that is stopping, for the record, while nobody can prove that its
    /// process has ended: its token is dead from now on, and the session stays as it is, with this cause.
    ///
    /// # Errors
    /// `Stale` if the session changed since `expected_revision`, `NotAllowed` if it is over; nothing
    /// is written then.
    #[tracing::instrument(name = "db.session.fence", skip_all)]
    pub async fn session_fence(
        &self,
        id: SessionId,
        expected_revision: i64,
        cause: Cause,
    ) -> Result<Session, MoveError> {
        in_txn!(self, |txn| fence_in_txn(&mut txn, id, expected_revision, &cause))
    }
}

async fn stop_in_txn(
    txn: &mut Txn,
    actor: &Acting,
    (tenant, id): (TenantId, SessionId),
    mode: StopMode,
) -> Result<Session, StoreError> {
    let select = sessions::Entity::find_by_id(id.uuid()).lock_exclusive();
    let row = select.one(&txn.db).await?.ok_or(StoreError::NotFound)?;
    let mut session = opened(&txn.store.vault, &row)?;
    if session.tenant != tenant {
        return Err(StoreError::NotFound);
    }
    let before = session.revision;
    match session.state {
        SessionState::Queued => {
            let cause = Cause::plain("StoppedBeforeStart", "it was stopped before it started");
            session = write_in_txn(txn, session, SessionState::Stopped, Some(cause), None).await?;
        }
        SessionState::Starting | SessionState::Running => {
            let message = "a stop was asked for; the agent is being ended";
            let cause = Cause::plain("StopRequested", message);
            session = write_in_txn(txn, session, SessionState::Stopping, Some(cause), None).await?;
        }
        SessionState::Stopping
        | SessionState::Succeeded
        | SessionState::Failed
        | SessionState::TimedOut
        | SessionState::Stopped => {}
    }
    if session.state == SessionState::Stopping && mode == StopMode::Unproven {
        let message = "it was given up: its token is dead, and nobody has seen its process end";
        let cause = Cause::plain("StoppedUnproven", message);
        session = write_in_txn(txn, session, SessionState::Stopped, Some(cause), None).await?;
    }
    if session.revision != before {
        let action = match mode {
            StopMode::Proven => "session.stop",
            StopMode::Unproven => "session.stop.unproven",
        };
        txn.audit(Some(actor), action, Some(tenant), id.to_string()).await?;
    }
    Ok(session)
}

async fn fence_in_txn(
    txn: &mut Txn,
    id: SessionId,
    expected_revision: i64,
    cause: &Cause,
) -> Result<Session, MoveError> {
    let session = expected_in_txn(txn, id, expected_revision, SessionState::Stopped).await?;
    if session.state != SessionState::Stopping {
        return Err(MoveError::NotAllowed { from: session.state, to: SessionState::Stopping });
    }
    if let Some(id) = session.run {
        // Why it ended is not known yet.
        run::end_in_txn(txn, id, None).await?;
    }
    let cause = Some(cause.clone());
    write_in_txn(txn, session, SessionState::Stopping, cause, None).await.map_err(stale_move)
}
