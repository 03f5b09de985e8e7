//! `GET …/sessions/{session}/events`: what changes on a session's page, each time it does, as one stream: its parts,
//! and the lines of its log as they are written.
//!
//! The id of an event is the number of the last line in it, so that a browser that comes back with `Last-Event-ID`
//! gets each line once. Parts are whole: the newest says all.

use super::{
    SessionPath,
    live::Live,
    log::{LINES_AT_ONCE, Lines, query},
};
use crate::{
    extract::Parameters,
    links::Url,
    live::{LASTS, send},
    person::Person,
    refusal::Refusal,
};
use application::{
    error::FindError,
    log::{self, LogError, LogEvent, LogQuery, Start},
    session::Watch,
    tenant,
};
use askama::Template;
use axum::{
    http::{HeaderMap, StatusCode},
    response::{Response, sse::Event},
};
use domain::{Kept, Tenant};
use futures::{
    Stream, StreamExt as _, TryStreamExt as _, future,
    stream::{self, BoxStream},
};
use serde::Deserialize;
use std::{collections::VecDeque, error::Error};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Query {
    /// The last line that the page has.
    after: String,
    /// `log` for a page that has no other parts.
    only: String,
}

/// What a stream has sent so far, and what wakes it.
struct Sending {
    person: Person,
    path: SessionPath,
    tenant: Tenant,
    /// The address of the log.
    log: String,
    is_log_only: bool,
    woken: BoxStream<'static, Woken>,
    waiting: VecDeque<Event>,
    /// What was sent last of the parts.
    shown: String,
    is_over: bool,
}

enum Woken {
    /// Something of the session changed, or this is the first look.
    Changed,
    Lines(Vec<LogEvent>),
    /// The stream is as old as it may get, or the log broke off.
    Over,
}

#[derive(Template)]
#[template(path = "session/live_log.html")]
struct NewLines {
    lines: Lines,
}

pub(super) async fn events(
    person: Person,
    path: SessionPath,
    Parameters(Query { after, only }): Parameters<Query>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let Person { app, actor, .. } = &person;
    let tenant = tenant::get(app, actor, &path.tenant).await?.tenant;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let number = |text: &str| text.parse::<u64>().ok();
    let after = last.and_then(number).or_else(|| number(&after)).unwrap_or(0);
    let watch = Watch::new(app, path.session, LASTS);
    let lines = lines(&person, &path, after).await?;
    let until = person.leaves();
    let sending = Sending {
        log: Url::SessionPart(&tenant.name, path.session, "log").to_string(),
        woken: stream::select(changes(watch), lines).boxed(),
        is_log_only: only == "log",
        waiting: VecDeque::new(),
        shown: String::new(),
        is_over: false,
        person,
        path,
        tenant,
    };
    Ok(send(stream::unfold(sending, Sending::next), until))
}

/// A first look, one for every change, and the end.
fn changes(watch: Watch) -> impl Stream<Item = Woken> + Send {
    let changes = stream::unfold(watch, |mut watch| async {
        watch.changed().await.then_some((Woken::Changed, watch))
    });
    let first = stream::once(future::ready(Woken::Changed));
    first.chain(changes).chain(stream::once(future::ready(Woken::Over)))
}

/// The lines of the log after one, as they are written; those of a log that was removed are none.
async fn lines(
    Person { app, actor, .. }: &Person,
    SessionPath { tenant, session }: &SessionPath,
    after: u64,
) -> Result<BoxStream<'static, Woken>, Refusal> {
    let start = Start::From(after.saturating_add(1));
    let query = LogQuery { is_following: true, ..query(start, None) };
    let events = match log::read(app, actor, tenant, *session, query).await {
        Err(FindError::Expired { kept: Kept::Log, .. }) => return Ok(stream::pending().boxed()),
        events => events?,
    };
    let chunks = events.try_ready_chunks(LINES_AT_ONCE).map(|chunk| match chunk {
        Ok(events) => Woken::Lines(events),
        Err(broken) => {
            if !matches!(broken.1, LogError::Gone) {
                tracing::error!(error = &broken.1 as &dyn Error, "sending a log broke off");
            }
            Woken::Over
        }
    });
    Ok(chunks.boxed())
}

impl Sending {
    async fn next(mut self) -> Option<(Event, Self)> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some((event, self));
            }
            if self.is_over {
                return None;
            }
            match self.woken.next().await? {
                Woken::Changed => self.look().await,
                Woken::Lines(events) => self.append(events).await,
                Woken::Over => return None,
            }
        }
    }

    /// Sends the parts if they are not what was sent last. A session that is over ends the stream with the last line
    /// of its log, which comes by itself; but for one whose log was removed.
    async fn look(&mut self) {
        match Live::load(&self.person, &self.path, &self.tenant).await {
            Ok((view, live)) => {
                let parts = if self.is_log_only { live.log_state.render() } else { live.render() };
                if let Some(parts) = rendered(parts)
                    && parts != self.shown
                {
                    let part = if self.is_log_only { log_state(&parts) } else { parts.clone() };
                    self.waiting.push_back(Event::default().data(part));
                    self.shown = parts;
                }
                if view.session.log_removed_at.is_some() {
                    self.end("over");
                }
            }
            Err(refusal) if refusal.status == StatusCode::NOT_FOUND => self.end("gone"),
            Err(_) => self.end("broken"),
        }
    }

    async fn append(&mut self, events: Vec<LogEvent>) {
        let (mut lines, mut is_end) = (Vec::new(), false);
        for event in events {
            match event {
                LogEvent::Line(line) => lines.push(line),
                LogEvent::End { .. } => is_end = true,
            }
        }
        if let Some(last) = lines.last().map(|line| line.number) {
            let lines = NewLines { lines: Lines::new(lines, &self.log) };
            if let Some(lines) = rendered(lines.render()) {
                let event = Event::default().id(last.to_string()).data(lines);
                self.waiting.push_back(event);
            }
        }
        if is_end {
            self.look().await;
            self.end("over");
        }
    }

    /// The browser closes the stream by this event, and does not come back.
    fn end(&mut self, why: &str) {
        if !self.is_over {
            self.waiting.push_back(Event::default().event("end").data(why));
            self.is_over = true;
        }
    }
}

fn log_state(state: &str) -> String {
    format!("<hx-partial hx-target=\"#log-state\" hx-swap=\"innerMorph\">{state}</hx-partial>")
}

/// A carriage return ends a line of an event, and means nothing in a page.
fn rendered(text: askama::Result<String>) -> Option<String> {
    let text = text.inspect_err(|error| {
        tracing::error!(error = error as &dyn Error, "the parts of a page could not be made");
    });
    Some(text.ok()?.replace('\r', " "))
}
