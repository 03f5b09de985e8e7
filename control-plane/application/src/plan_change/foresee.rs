//! What a change of plan would do.

use super::{
    ChangeError,
    room::{Room, is_only_unknown},
    wish::Wish,
};
use crate::{App, error::FindError};
use domain::{
    Capacity, Digest, Isolation, Measured, MovedSession, PlanPreview, Session, SessionsDuringMove,
    Subscription, Tenant, VolumesDuringMove, blockers,
};
use sha2::{Digest as _, Sha256};

/// From how many of the newest changes it is told how long an API server was away.
const MEASURED: u64 = 50;

/// Names a preview by what it promises.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "numbers and texts can be written as JSON")]
pub fn digest(preview: &PlanPreview) -> Digest {
    let promise = serde_json::to_vec(&preview.promise()).expect("its keys are text");
    Digest::of_sha256(Sha256::digest(&promise).into())
}

/// The look before a change begins: nothing else is being done, nothing is in the way, and what was promised holds.
///
/// # Errors
/// If any of that is not so, or the tenant's cluster does not answer.
pub(crate) async fn look(
    app: &App,
    tenant: &Tenant,
    wish: &Wish,
) -> Result<PlanPreview, ChangeError> {
    if let Some(open) = app.store.operation_open(tenant.id).await.map_err(FindError::from)? {
        return Err(ChangeError::Busy(Box::new(open)));
    }
    let preview = foresee(&Room::new(app, wish.to), tenant, wish.sessions, wish.volumes).await?;
    // Nobody can tell by this one whether the promise still holds.
    if is_only_unknown(&preview) {
        return Err(ChangeError::Blocked(Box::new(preview)));
    }
    if wish.seen.as_ref().is_some_and(|seen| *seen != digest(&preview)) {
        return Err(ChangeError::Outdated);
    }
    if !preview.blockers.is_empty() {
        return Err(ChangeError::Blocked(Box::new(preview)));
    }
    Ok(preview)
}

/// Looks at what a change to what `room` is for would do.
pub(crate) async fn foresee(
    room: &Room<'_>,
    tenant: &Tenant,
    rule: SessionsDuringMove,
    volumes: VolumesDuringMove,
) -> Result<PlanPreview, ChangeError> {
    let Room { app, to, .. } = *room;
    let from = tenant.subscription();
    let survey = app.access.survey(tenant.id, to).await?;
    let nodes = app.store.node_of_tenant(tenant.id).await.map_err(FindError::from)?;
    let staying = nodes.iter().filter(|node| node.release_requested_at.is_none());
    let has = staying.filter(|node| Some(node.shape) == to.plan.node_shape()).count();
    let has = u32::try_from(has).unwrap_or(u32::MAX);
    let sessions = app.store.session_active(tenant.id).await.map_err(FindError::from)?;
    let is_in_the_way =
        |session: &&Session| session.run.is_some_and(|run| survey.runs.contains_key(&run));
    let moved: Vec<_> = sessions.iter().filter(is_in_the_way).map(|one| moved(one, rule)).collect();
    let price = |of: Subscription| i64::try_from(of.plan().price).unwrap_or(i64::MAX);
    let away = app.store.plan_change_away(MEASURED).await.map_err(FindError::from)?;
    let mut preview = PlanPreview {
        from,
        to,
        price_delta: price(to).saturating_sub(price(from)),
        machines_made: to.nodes.saturating_sub(has),
        machines_freed: freed(from, to),
        restarts: from.isolation() != to.isolation(),
        api_away: Measured::of(away),
        sessions: moved.iter().map(|moved| moved.session).collect(),
        moved_sessions: moved,
        capacity: Capacity::default(),
        volumes,
        blockers: blockers(to, tenant.usage.as_ref(), &survey, volumes),
        survey,
    };
    match room.holds(&preview.needs()).await {
        Ok(capacity) => {
            preview.blockers.extend(capacity.blocker());
            preview.capacity = capacity;
        }
        Err(problem) => preview.blockers.push(problem),
    }
    Ok(preview)
}

/// What becomes of a session that is in the way.
fn moved(session: &Session, rule: SessionsDuringMove) -> MovedSession {
    let Session { id, state, spec, .. } = session;
    MovedSession {
        session: *id,
        state: *state,
        on_drain: spec.on_drain,
        outcome: rule.of(spec.on_drain),
    }
}

fn freed(from: Subscription, to: Subscription) -> u32 {
    let is_same = from.plan.node_shape() == to.plan.node_shape();
    if from.isolation() == Isolation::Dedicated && is_same {
        from.nodes.saturating_sub(to.nodes)
    } else {
        from.nodes
    }
}
