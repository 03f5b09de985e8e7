//! `GET …/sessions/{session}/log`, a window on numbered lines, and `log.txt`, all of it.

mod window;

use super::{SessionPath, ansi, ansi::Piece, list::short};
use crate::{
    extract::Parameters,
    frame::{Frame, Section, html},
    links::Url,
    live::UNBUFFERED,
    part::Status,
    person::Person,
    refusal::Refusal,
    time::When,
    words::Tone,
};
use application::{
    log::{self, LinePart, LogError, LogEvent, LogLine, LogQuery, LogStream, PlainText, Start},
    session::{self, SessionView},
    tenant::{self, TenantRef},
};
use askama::{Template, filters::HtmlSafe};
use axum::{
    body::Body,
    http::header,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use domain::{Kept, Run, TenantName};
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde::Deserialize;
use std::{collections::VecDeque, error::Error};
use window::{ReadError, read};

/// Lines of a window.
pub(super) const WINDOW: u64 = 500;
/// Lines of the window on a session's own page.
pub(super) const SHORT_WINDOW: u64 = 100;
/// The most lines that are sent as one piece.
pub(super) const LINES_AT_ONCE: usize = 256;

#[derive(Template)]
#[template(path = "session/log.html")]
struct LogPage {
    frame: Frame,
    id: String,
    status: Status,
    url: String,
    log: Log,
}

/// A window on a log, with what one can do about it.
#[derive(Debug, Template)]
#[template(path = "session/_log.html")]
pub(super) struct Log {
    /// Live, kept until when, or removed.
    state: LogState,
    lines: Lines,
    pub(super) url: String,
    raw: String,
    /// What was searched for; empty if it is a window on all lines.
    search: String,
    older: Option<String>,
    newer: Option<String>,
    newest: Option<String>,
    /// What the window holds, in words.
    told: String,
    /// Where the lines that follow come from; nothing if none do, or the window is elsewhere.
    pub(super) follows: Option<String>,
    /// The lines that are not in it, in words; empty if it is whole.
    missing: String,
    is_gone: bool,
}

/// Whether a log grows, and how long it will be there.
#[derive(Debug, Clone, Template)]
#[template(path = "session/log_state.html")]
pub(super) struct LogState {
    status: Status,
}

/// Lines as they are shown.
#[derive(Debug, Default, Template)]
#[template(path = "session/lines.html")]
pub(super) struct Lines {
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    number: u64,
    link: String,
    at: String,
    is_err: bool,
    /// Whether it goes on with the line before it.
    is_continued: bool,
    pieces: Vec<Piece>,
}

impl HtmlSafe for Log {}
impl HtmlSafe for LogState {}
impl HtmlSafe for Lines {}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Query {
    from: String,
    search: String,
}

/// Which lines are wanted.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    /// So many at the end.
    End(u64),
    From(u64),
    /// The first with a text in them.
    Search(String),
}

pub(super) async fn show(
    person: Person,
    SessionPath { tenant: reference, session }: SessionPath,
    Parameters(Query { from, search }): Parameters<Query>,
) -> Result<Response, Refusal> {
    let Person { app, actor, .. } = &person;
    let view = session::get(app, actor, &reference, session).await?;
    let tenant = tenant::get(app, actor, &reference).await?.tenant;
    let from = from.parse().ok().map(|from: u64| Wanted::From(from.max(1)));
    let search = Some(search).filter(|text| !text.is_empty()).map(Wanted::Search);
    let wanted = search.or(from).unwrap_or(Wanted::End(WINDOW));
    let log = Log::load(&person, &reference, &tenant.name, &view, wanted).await?;
    let (name, now) = (&tenant.name, app.clock.now());
    let frame = Frame::tenant(&person, &tenant, Section::Sessions, "Log");
    let frame = frame.below("Sessions", &Url::Sessions(name));
    let mut frame = frame.below(&short(session), &Url::Session(name, session));
    frame.title = format!("Log of {} · {name}", short(session));
    Ok(html(&LogPage {
        frame: if log.follows.is_some() { frame.live() } else { frame },
        id: short(session),
        status: super::summary::status(&view.session, now),
        url: Url::Session(name, session).to_string(),
        log,
    }))
}

/// All lines as plain text, as they were written; while the session runs, those that are there.
pub(super) async fn raw(
    Person { app, actor, shutdown, .. }: Person,
    SessionPath { tenant, session }: SessionPath,
) -> Result<Response, Refusal> {
    let query = query(Start::From(1), None);
    let events = log::read(&app, &actor, &tenant, session, query).await?;
    let mut text = PlainText::default();
    let chunks = events.take_until(shutdown.cancelled_owned()).try_ready_chunks(LINES_AT_ONCE);
    let bytes = chunks.map(move |chunk| {
        let mut written = String::new();
        let events = chunk.map_err(|broken| broken.1).inspect_err(|error| {
            tracing::error!(error = error as &dyn Error, "sending a log broke off");
        })?;
        for event in events {
            match event {
                LogEvent::Line(LogLine { stream, part, text: line, .. }) => {
                    text.add(stream, part, &line, &mut written);
                }
                LogEvent::End { .. } => text.close(&mut written),
            }
        }
        Ok::<_, LogError>(Bytes::from(written))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{session}.log\"")),
    ];
    Ok((headers, [UNBUFFERED], Body::from_stream(bytes)).into_response())
}

pub(super) fn query(start: Start, search: Option<String>) -> LogQuery {
    LogQuery { start, stream: None, since: None, search, is_following: false }
}

impl Log {
    /// A window on the log, or what is left to say where it was removed.
    pub(super) async fn load(
        person: &Person,
        reference: &TenantRef,
        name: &TenantName,
        view: &SessionView,
        wanted: Wanted,
    ) -> Result<Self, Refusal> {
        let (session, total) = (&view.session, view.run.as_ref().map_or(0, Run::log_lines));
        let id = session.id;
        let read = read(person, reference, id, total, &wanted).await;
        let (lines, is_gone) = match read {
            Ok(lines) => (lines, false),
            Err(ReadError::Gone) => (VecDeque::new(), true),
            Err(ReadError::Refused(refusal)) => return Err(*refusal),
        };
        let first = lines.front().map(|line| line.number);
        let last = lines.back().map(|line| line.number);
        let url = Url::SessionPart(name, id, "log").to_string();
        let window = |from: u64| format!("{url}?from={from}");
        let search = if let Wanted::Search(text) = &wanted { text.clone() } else { String::new() };
        let is_end = matches!(wanted, Wanted::End(_)) || last.is_some_and(|last| last >= total);
        let is_window = search.is_empty() && !is_gone;
        let follows = (is_window && is_end && !session.state.is_final()).then(|| {
            let after = last.unwrap_or(total);
            format!("{}?after={after}", Url::SessionPart(name, id, "events"))
        });
        let older = first.filter(|first| is_window && *first > 1);
        let next = last.map_or(total + 1, |last| last + 1);
        Ok(Self {
            state: LogState::new(view, person.app.clock.now()),
            told: told(&wanted, lines.len(), first.zip(last), total),
            older: older.map(|first| window(first.saturating_sub(WINDOW).max(1))),
            newer: (is_window && !is_end && next <= total).then(|| window(next)),
            newest: (!is_window || !is_end).then(|| url.clone()),
            raw: Url::SessionPart(name, id, "log.txt").to_string(),
            lines: Lines::new(lines, &url),
            missing: missing(view),
            url,
            search,
            follows,
            is_gone,
        })
    }
}

/// What is on the page, in words.
fn told(wanted: &Wanted, count: usize, ends: Option<(u64, u64)>, total: u64) -> String {
    match (wanted, ends) {
        (Wanted::Search(_), None) => "No line has it in it.".to_owned(),
        (Wanted::Search(_), Some(_)) if count as u64 >= WINDOW => {
            format!("The first {count} lines with it in them, of {total} in all.")
        }
        (Wanted::Search(_), Some(_)) => format!("{count} of {total} lines have it in them."),
        (_, None) if total == 0 => "Nothing was written yet.".to_owned(),
        (_, None) => format!("There are only {total} lines."),
        (_, Some((first, last))) => format!("Lines {first} to {last} of {total}."),
    }
}

/// What the log does not have, and why.
fn missing(view: &SessionView) -> String {
    let Some(run) = &view.run else { return String::new() };
    match (run.log_full_at, run.log_missing_lines) {
        (Some(_), count) => {
            format!(
                "The log is full: {count} later lines were not kept. The plan says how much is."
            )
        }
        (None, 0) => String::new(),
        (None, count) => format!("{count} lines were not kept."),
    }
}

impl LogState {
    pub(super) fn new(view: &SessionView, now: Timestamp) -> Self {
        let SessionView { session, retention, .. } = view;
        let status = |tone, word: &str| Status::of((tone, word));
        let kept = session.kept_until(Kept::Log, *retention);
        let status = match (session.log_removed_at, kept) {
            (Some(at), _) => status(Tone::Off, "Removed").since(When::new(at, now)),
            (None, Some(until)) => {
                let days = until.duration_since(now).as_hours().max(0) / 24;
                status(Tone::Info, "Archived").because(format!("kept for {days} more days"))
            }
            (None, None) => status(Tone::Busy, "Live"),
        };
        Self { status }
    }
}

impl Lines {
    /// `log` is the address of the log, which those of its lines begin with.
    pub(super) fn new(lines: impl IntoIterator<Item = LogLine>, log: &str) -> Self {
        let line = |LogLine { number, at, stream, text, part }| Line {
            number,
            link: format!("{log}?from={number}#L{number}"),
            at: format!("{at:.3}"),
            is_err: stream == LogStream::Err,
            is_continued: matches!(part, LinePart::Middle | LinePart::Last),
            pieces: ansi::pieces(&text),
        };
        Self { lines: lines.into_iter().map(line).collect() }
    }
}
