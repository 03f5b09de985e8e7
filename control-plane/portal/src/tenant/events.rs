//! `GET /tenants/{tenant}/events`: the parts of a tenant's page that change, each time they do.

use super::live::Live;
use crate::{
    extract::TenantPath,
    live::{LASTS, send},
    person::Person,
    refusal::Refusal,
};
use application::tenant::{self, TenantRef, Watch};
use askama::Template as _;
use axum::{
    http::StatusCode,
    response::{Response, sse::Event},
};
use domain::OperationId;
use futures::stream;
use std::error::Error;

/// What a stream has sent so far.
struct Sending {
    person: Person,
    tenant: TenantRef,
    watch: Watch,
    shown: Vec<OperationId>,
    stage: Stage,
}

enum Stage {
    /// What changed before the stream was opened is sent at once.
    First,
    Changes,
    /// The last parts were sent: what follows is the end.
    Last,
    Over,
}

pub(super) async fn events(
    person: Person,
    TenantPath(tenant): TenantPath,
) -> Result<Response, Refusal> {
    let Person { app, actor, .. } = &person;
    let found = tenant::get(app, actor, &tenant).await?.tenant;
    let until = person.leaves();
    let watch = Watch::new(&person.app, found.id, LASTS);
    let tenant = TenantRef::Id(found.id);
    let sending = Sending { person, tenant, watch, shown: Vec::new(), stage: Stage::First };
    Ok(send(stream::unfold(sending, Sending::next), until))
}

impl Sending {
    async fn next(mut self) -> Option<(Event, Self)> {
        match self.stage {
            Stage::First => {}
            Stage::Changes if self.watch.changed(&self.shown).await => {}
            Stage::Last => {
                self.stage = Stage::Over;
                return Some((end("over"), self));
            }
            Stage::Changes | Stage::Over => return None,
        }
        let event = match Live::load(&self.person, &self.tenant).await {
            Ok((_, live)) => {
                self.stage = if live.is_over { Stage::Last } else { Stage::Changes };
                self.shown.clone_from(&live.shown);
                parts(&live)?
            }
            Err(refusal) => {
                self.stage = Stage::Over;
                let is_gone = refusal.status == StatusCode::NOT_FOUND;
                end(if is_gone { "gone" } else { "broken" })
            }
        };
        Some((event, self))
    }
}

/// The browser closes the stream by this event, and does not come back.
fn end(why: &str) -> Event {
    Event::default().event("end").data(why)
}

fn parts(live: &Live) -> Option<Event> {
    let rendered = live.render().inspect_err(|error| {
        tracing::error!(error = error as &dyn Error, "the parts of a page could not be made");
    });
    // A carriage return ends a line of an event, and means nothing in a page.
    Some(Event::default().data(rendered.ok()?.replace('\r', " ")))
}
