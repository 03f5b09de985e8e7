//! What a caller wants of a change of plan, checked.

use super::{ChangeError, NewPlanChange};
use crate::{App, Draft, choice::choice, tenant};
use domain::{
    Digest, Invalid, PlanName, SessionsDuringMove, Subscription, Tenant, VolumesDuringMove,
};
use jiff::{SignedDuration, Timestamp};

/// How far ahead a change can be planned.
const FURTHEST: SignedDuration = SignedDuration::from_hours(366 * 24);

/// What a tenant is to pay for, and how that is to come about.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) to: Subscription,
    pub(crate) sessions: SessionsDuringMove,
    pub(crate) volumes: VolumesDuringMove,
    pub(crate) seen: Option<Digest>,
    pub(crate) start_at: Option<Timestamp>,
}

pub(crate) fn checked(
    app: &App,
    tenant: &Tenant,
    new: Draft<NewPlanChange>,
) -> Result<Wish, ChangeError> {
    if tenant.deletion_requested_at.is_some() {
        return Err(ChangeError::Deleting);
    }
    let from = tenant.subscription();
    let now = app.clock.now();
    let checked = new.check(|new| new.check(from, app.makes_nodes, now));
    let wish = checked.map_err(ChangeError::Invalid)?;
    if tenant.was_ready { Ok(wish) } else { Err(ChangeError::NotReady) }
}

/// The plan, and how many nodes of its own a tenant gets.
pub(crate) fn check_nodes_of(
    plan: &str,
    nodes: Option<u32>,
    makes_nodes: bool,
) -> Result<Subscription, Invalid> {
    let plan = PlanName::parse("/plan", plan)?;
    let nodes = tenant::check_nodes(plan, nodes, makes_nodes)?;
    Ok(Subscription { plan, nodes })
}

pub(crate) fn check_sessions(word: Option<&str>) -> Result<SessionsDuringMove, Invalid> {
    choice("/sessions", word, (&SessionsDuringMove::ALL, SessionsDuringMove::as_str))
}

/// A change for later, and those of many tenants, copy nothing: whoever asks for downtime is there when it begins.
fn check_volumes(word: Option<&str>, is_for_later: bool) -> Result<VolumesDuringMove, Invalid> {
    let volumes = choice("/volumes", word, (&VolumesDuringMove::ALL, VolumesDuringMove::as_str))?;
    if is_for_later && volumes == VolumesDuringMove::Copy {
        return Err(Invalid::field("/volumes", volumes.as_str(), "stop, in a change for later"));
    }
    Ok(volumes)
}

/// A time that lies ahead, and not too far.
pub(crate) fn check_start(
    text: Option<&str>,
    now: Timestamp,
) -> Result<Option<Timestamp>, Invalid> {
    let Some(text) = text else { return Ok(None) };
    let refuse = |rule: String| Err(Invalid::field("/startAt", text, rule));
    let Ok(at) = text.parse::<Timestamp>() else {
        return refuse(format!(
            "a time in RFC 3339, e.g. {:.0}",
            now + SignedDuration::from_hours(1)
        ));
    };
    // What is kept is whole milliseconds.
    let at = Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at);
    if at <= now {
        return refuse(format!("a time to come; it is {now:.0}"));
    }
    if at > now.saturating_add(FURTHEST).unwrap_or(Timestamp::MAX) {
        return refuse("a time within a year".to_owned());
    }
    Ok(Some(at))
}

/// What is wrong with any of some fields.
pub(crate) fn all_wrong<const N: usize>(fields: [Option<Invalid>; N]) -> Invalid {
    let fields = fields.into_iter().flatten();
    Invalid { fields: fields.flat_map(|invalid| invalid.fields).collect() }
}

impl NewPlanChange {
    fn check(self, from: Subscription, makes_nodes: bool, now: Timestamp) -> Result<Wish, Invalid> {
        let to = check_nodes_of(&self.plan, self.nodes, makes_nodes);
        let sessions = check_sessions(self.sessions.as_deref());
        let seen = self.preview.as_deref().map(|text| {
            let rule = "the id of a preview: sha256: and 64 hexadecimal digits";
            text.parse().map_err(|_| Invalid::field("/preview", text, rule))
        });
        let start_at = check_start(self.start_at.as_deref(), now);
        let volumes = check_volumes(self.volumes.as_deref(), self.start_at.is_some());
        match (to, sessions, volumes, seen.transpose(), start_at) {
            (Ok(to), Ok(_), Ok(_), Ok(_), Ok(_)) if to == from => {
                let rule = "another plan, or another number of nodes, than the tenant has";
                Err(Invalid::field("/plan", to.plan, rule))
            }
            (Ok(to), Ok(sessions), Ok(volumes), Ok(seen), Ok(start_at)) => {
                Ok(Wish { to, sessions, volumes, seen, start_at })
            }
            (to, sessions, volumes, seen, start_at) => Err(all_wrong([
                to.err(),
                sessions.err(),
                volumes.err(),
                seen.err(),
                start_at.err(),
            ])),
        }
    }
}
