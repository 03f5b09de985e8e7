//! `GET /tenants/{tenant}/sessions/{session}`

use super::{
    SessionPath,
    list::short,
    live::Live,
    log::{Log, SHORT_WINDOW, Wanted},
    rerun::Rerun,
    spec::Spec,
};
use crate::{
    frame::{Frame, Section, html},
    links::Url,
    part::{Id, Problem},
    person::Person,
    refusal::Refusal,
    time::When,
};
use application::tenant;
use askama::Template;
use axum::response::{IntoResponse as _, Response};

#[derive(Template)]
#[template(path = "session/show.html")]
pub(super) struct ShowPage {
    frame: Frame,
    heading: String,
    id: Id,
    image: String,
    project: String,
    made: When,
    problem: Option<Problem>,
    request_id: String,
    live: Live,
    log: Log,
    spec: Spec,
}

pub(super) async fn show(person: Person, path: SessionPath) -> Result<Response, Refusal> {
    Ok(html(&ShowPage::load(&person, &path).await?))
}

/// The page again, with why something was not done to the session, and what was typed.
pub(super) async fn again(
    person: &Person,
    path: &SessionPath,
    refusal: Refusal,
    typed: Rerun,
) -> Result<Response, Refusal> {
    let mut page = ShowPage::load(person, path).await?;
    let Refusal { status, code, detail, hint, .. } = refusal;
    page.problem = Some(Problem { code: code.to_owned(), detail, hint });
    page.live.actions.retyped(typed);
    Ok((status, html(&page)).into_response())
}

impl ShowPage {
    async fn load(person: &Person, path: &SessionPath) -> Result<Self, Refusal> {
        let SessionPath { tenant: reference, session } = path;
        let tenant = tenant::get(&person.app, &person.actor, reference).await?.tenant;
        let name = &tenant.name;
        let (view, live) = Live::load(person, path, &tenant).await?;
        let wanted = Wanted::End(SHORT_WINDOW);
        let log = Log::load(person, reference, name, &view, wanted).await?;
        let frame = Frame::tenant(person, &tenant, Section::Sessions, short(*session));
        let mut frame = frame.below("Sessions", &Url::Sessions(name));
        frame.title.clone_from(&live.title);
        Ok(Self {
            frame: if log.follows.is_some() { frame.live() } else { frame },
            heading: short(*session),
            id: Id::new(session),
            image: view.session.spec.image.clone(),
            project: view.session.spec.project.to_string(),
            made: When::new(view.session.created_at, person.app.clock.now()),
            problem: None,
            request_id: person.actor.request_id.clone(),
            spec: Spec::new(&view),
            live,
            log,
        })
    }
}
