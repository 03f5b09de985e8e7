//! What changes on a session's page while it is looked at.

use super::{
    SessionPath,
    list::short,
    log::LogState,
    outcome::Outcome,
    rerun::Rerun,
    summary::{self, Why},
    timeline::Timeline,
    twin::quoted,
};
use crate::{
    links::Url,
    part::{Code, Status},
    person::Person,
    refusal::Refusal,
    time::{Took, When},
};
use application::session::{self, SessionView};
use askama::{Template, filters::HtmlSafe};
use domain::{CreateSession, SessionState, StopSession, Tenant};

/// The parts that change.
#[derive(Debug, Template)]
#[template(path = "session/live.html")]
pub(super) struct Live {
    /// Of the window: it carries the state, so that a tab in the background tells it.
    pub(super) title: String,
    pub(super) head: Head,
    pub(super) timeline: Timeline,
    pub(super) outcome: Outcome,
    pub(super) log_state: LogState,
    pub(super) actions: Actions,
}

/// How it is, why, and what may help.
#[derive(Debug, Template)]
#[template(path = "session/head.html")]
pub(super) struct Head {
    pub(super) status: Status,
    ran: Option<Took>,
    attempt: u32,
    next_run: Option<When>,
    is_failure: bool,
    why: Option<Why>,
}

/// What can be done with it now.
#[derive(Debug, Template)]
#[template(path = "session/actions.html")]
pub(super) struct Actions {
    state: SessionState,
    /// Where it is stopped, and where one gives up waiting for the proof that it is.
    stop: Option<String>,
    grace: Took,
    rerun: Option<(String, Rerun)>,
    command: Option<Code>,
}

impl HtmlSafe for Head {}
impl HtmlSafe for Actions {}

impl Live {
    /// The session with its parts as they are now.
    pub(super) async fn load(
        person: &Person,
        path: &SessionPath,
        whose: &Tenant,
    ) -> Result<(SessionView, Self), Refusal> {
        let (Person { app, actor, .. }, name) = (person, &whose.name);
        let SessionPath { tenant, session } = path;
        let view = session::get(app, actor, tenant, *session).await?;
        let runs = session::runs(app, actor, tenant, *session).await?;
        let now = app.clock.now();
        let outcome = Outcome::load(person, tenant, name, &view).await?;
        let status = summary::short_status(&view.session, now);
        let head = Head {
            ran: summary::duration(&view.session, now),
            attempt: view.run.as_ref().map_or(0, |run| run.attempt),
            next_run: view.session.retry_at.map(|at| When::new(at, now)),
            is_failure: view.session.cause.as_ref().is_some_and(|cause| cause.class.is_some()),
            why: Why::of(&view),
            status,
        };
        let live = Self {
            title: format!("{} · {} · {name}", head.status.word, short(*session)),
            head,
            timeline: Timeline::new(&view.session, &runs, now),
            outcome,
            log_state: LogState::new(&view, now),
            actions: Actions::new(person, whose, &view),
        };
        Ok((view, live))
    }
}

impl Actions {
    fn new(person: &Person, tenant: &Tenant, view: &SessionView) -> Self {
        let session = &view.session;
        let (id, name, scope) = (session.id, &tenant.name, tenant.scope());
        let is_over = session.state.is_final();
        let may_stop = !is_over && person.may::<StopSession>(scope);
        let may_rerun = is_over && person.may::<CreateSession>(scope);
        let url = |below| Url::SessionPart(name, id, below).to_string();
        let key = || person.app.ids.uuid().as_simple().to_string();
        let proposed = may_rerun.then(|| Rerun::proposed(view, key()));
        let command = match &proposed {
            Some(Rerun { memory, .. }) => {
                let memory = quoted(memory);
                format!("warren session rerun {id} --tenant {name} --memory {memory} --follow")
            }
            None => format!("warren session stop {id} --tenant {name}"),
        };
        Self {
            state: session.state,
            stop: may_stop.then(|| url("stop")),
            grace: Took::milliseconds(session.spec.grace_period_seconds.saturating_mul(1000)),
            rerun: proposed.map(|proposed| (url("rerun"), proposed)),
            command: (may_stop || may_rerun).then(|| Code::command(command)),
        }
    }

    /// What was typed instead of what is proposed.
    pub(super) fn retyped(&mut self, typed: Rerun) {
        if let Some((_, rerun)) = &mut self.rerun {
            *rerun = typed;
        }
    }
}
