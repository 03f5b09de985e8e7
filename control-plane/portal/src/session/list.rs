//! `GET /tenants/{tenant}/sessions`, and stopping several of them.

use super::summary;
use crate::{
    extract::{Form, Parameters, TenantPath},
    frame::{Frame, Section, html},
    links::Url,
    part::{Code, Empty, Problem, Status},
    person::Person,
    refusal::Refusal,
    time::{Took, When},
    words,
};
use application::{
    session::{self, SessionView, StopMode},
    tenant,
};
use askama::Template;
use axum::response::Response;
use domain::{CreateSession, SessionId, SessionState, StopSession, TenantName};
use jiff::Timestamp;
use serde::Deserialize;

/// Rows of a page.
const ROWS: u64 = 50;
/// The most sessions that are stopped at once: more than a page has.
const STOPS: usize = 100;

#[derive(Template)]
#[template(path = "session/list.html")]
struct ListPage {
    frame: Frame,
    filters: Vec<Filter>,
    rows: Vec<Row>,
    /// Where to start one, if the person may.
    new: Option<String>,
    /// Where several are stopped, if some of those on the page can be.
    stop: Option<String>,
    empty: Option<Empty>,
    first: Option<String>,
    next: Option<String>,
}

/// A link to the sessions in one state.
struct Filter {
    label: &'static str,
    url: String,
    is_current: bool,
}

struct Row {
    url: String,
    id: String,
    short: String,
    status: Status,
    image: String,
    command: String,
    project: String,
    labels: Vec<String>,
    started: Option<When>,
    took: Option<Took>,
    attempts: u32,
    is_over: bool,
}

#[derive(Template)]
#[template(path = "session/stopped.html")]
struct StoppedPage {
    frame: Frame,
    lines: Vec<Line>,
    back: String,
}

/// What became of the wish to stop one session.
struct Line {
    short: String,
    url: String,
    outcome: Result<Status, Problem>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Query {
    state: String,
    after: String,
}

pub(super) async fn show(
    person: Person,
    TenantPath(tenant): TenantPath,
    Parameters(Query { state, after }): Parameters<Query>,
) -> Result<Response, Refusal> {
    let (state, after) = (SessionState::parse(&state), after.parse::<SessionId>().ok());
    let Person { app, actor, .. } = &person;
    let page = session::list(app, actor, &tenant, state, after, ROWS).await?;
    let tenant = tenant::get(app, actor, &tenant).await?.tenant;
    let (name, scope, now) = (&tenant.name, tenant.scope(), app.clock.now());
    let rows: Vec<_> = page.items.iter().map(|view| Row::new(name, view, now)).collect();
    let new = person.may::<CreateSession>(scope).then(|| Url::NewSession(name).to_string());
    let can_stop = rows.iter().any(|row| !row.is_over) && person.may::<StopSession>(scope);
    let list = |after| Url::SessionsIn(name, state, after).to_string();
    Ok(html(&ListPage {
        filters: Filter::all(name, state),
        empty: rows.is_empty().then(|| empty(name, state, after, new.clone())),
        stop: can_stop.then(|| Url::StopSessions(name).to_string()),
        first: after.map(|_| list(None)),
        next: page.next.map(|next| list(Some(next))),
        frame: Frame::tenant(&person, &tenant, Section::Sessions, "Sessions"),
        // What is empty has its action already.
        new: new.filter(|_| !rows.is_empty() || state.is_some()),
        rows,
    }))
}

/// Stops each by a call of its own, so that one that cannot be stopped keeps none of the others from it.
pub(super) async fn stop(
    person: Person,
    TenantPath(reference): TenantPath,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let Person { app, actor, .. } = &person;
    let tenant = tenant::get(app, actor, &reference).await?.tenant;
    let name = &tenant.name;
    let chosen = fields.iter().filter(|(field, _)| field == "session");
    let chosen = chosen.filter_map(|(_, text)| text.parse::<SessionId>().ok()).take(STOPS);
    let mut lines = Vec::new();
    for id in chosen {
        let stopped = session::stop(app, actor, &reference, id, StopMode::Proven).await;
        let outcome = match stopped {
            Ok(view) => Ok(summary::short_status(&view.session, app.clock.now())),
            Err(error) => {
                let Refusal { code, detail, hint, .. } = Refusal::from(error);
                Err(Problem { code: code.to_owned(), detail, hint })
            }
        };
        lines.push(Line { short: short(id), url: Url::Session(name, id).to_string(), outcome });
    }
    let list = Url::Sessions(name);
    let frame = Frame::tenant(&person, &tenant, Section::Sessions, "Stop sessions");
    let frame = frame.below("Sessions", &list);
    Ok(html(&StoppedPage { frame, lines, back: list.to_string() }))
}

/// The prefix and the last characters, which differ between sessions that were started together.
pub(super) fn short(id: SessionId) -> String {
    let digits = id.digits();
    format!("{}…{}", SessionId::PREFIX, &digits[digits.len() - 6..])
}

fn empty(
    name: &TenantName,
    state: Option<SessionState>,
    after: Option<SessionId>,
    new: Option<String>,
) -> Empty {
    if after.is_some() {
        return Empty {
            sentence: "There are no older ones.".to_owned(),
            action: None,
            command: None,
        };
    }
    if let Some(state) = state {
        let sentence = format!("No session is {}.", words::session(state).1.to_lowercase());
        let action = ("Show all".to_owned(), Url::Sessions(name).to_string());
        return Empty { sentence, action: Some(action), command: None };
    }
    let command =
        format!("warren session run --tenant {name} --image busybox:1.37 --follow -- echo hello");
    Empty {
        sentence: "No session was started yet: each runs one agent to its end.".to_owned(),
        command: new.is_some().then(|| Code::command(command)),
        action: new.map(|url| ("Run a session".to_owned(), url)),
    }
}

impl Filter {
    fn all(name: &TenantName, current: Option<SessionState>) -> Vec<Self> {
        let states = SessionState::ALL.into_iter().map(Some);
        let filter = |state: Option<SessionState>| Self {
            label: state.map_or("All", |state| words::session(state).1),
            url: Url::SessionsIn(name, state, None).to_string(),
            is_current: state == current,
        };
        [None].into_iter().chain(states).map(filter).collect()
    }
}

impl Row {
    fn new(name: &TenantName, view: &SessionView, now: Timestamp) -> Self {
        let session = &view.session;
        let spec = &session.spec;
        let words: Vec<_> = spec.command.iter().chain(&spec.args).map(String::as_str).collect();
        let label = |(key, value): (&String, &String)| format!("{key}={value}");
        Self {
            url: Url::Session(name, session.id).to_string(),
            id: session.id.to_string(),
            short: short(session.id),
            status: summary::status(session, now),
            image: spec.image.clone(),
            command: summary::cut(&words.join(" "), 80),
            project: spec.project.to_string(),
            labels: spec.labels.iter().map(label).collect(),
            started: session.running_at.map(|at| When::new(at, now)),
            took: summary::duration(session, now),
            attempts: view.run.as_ref().map_or(0, |run| run.attempt),
            is_over: session.state.is_final(),
        }
    }
}
