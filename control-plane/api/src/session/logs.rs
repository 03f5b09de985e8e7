//! `GET /api/v1/tenants/{tenant}/sessions/{session}/logs`

use crate::{
    caller::Caller,
    extract::{Parameters, SessionPath},
    openapi::words,
    problem::{Code, Problem},
};
use application::log::{self, LinePart, LogQuery, LogStream, Start};
use axum::{
    http::{HeaderMap, header},
    response::Response,
};
use domain::Invalid;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

mod form;

/// One line of a log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LogLine)]
pub(crate) struct LineBody {
    /// Its number; the first is 1.
    n: u64,
    /// When it was written.
    t: Timestamp,
    /// Where to.
    #[schema(schema_with = words::log_stream)]
    s: LogStream,
    /// Its text.
    l: String,
    /// Which piece of a line of more than 16 KiB it is; missing if it is all of a line.
    #[serde(skip_serializing_if = "LinePart::is_whole")]
    #[schema(schema_with = words::line_part, required = false)]
    p: LinePart,
}

/// In what form a log is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    /// Text with a line for each piece of a line.
    Pieces,
    Lines,
    Events,
}

/// A session's log, at the same address while it runs and ever after.
///
/// With `Accept: text/event-stream` every event's id is the number of its line, so that a reader
/// that comes back with `Last-Event-ID` misses nothing, and its data is a line as in
/// `application/x-ndjson`; the last event is `end`, its data `{"state": …}`.
///
/// A line of more than 16 KiB has a number for each of its pieces, which say by `p` what they are of it.
/// Plain text puts the pieces together again, unless it is the result of a `search`.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant}/sessions/{session}/logs", tag = "sessions", operation_id = "getLogs",
    params(
        ("tenant" = String, Path, description = "Id or name"),
        ("session" = String, Path, description = "Its id"),
        ("from" = Option<u64>, Query, minimum = 1, description = "The number of the first line"),
        ("tail" = Option<u64>, Query, minimum = 0, description = "So many lines before the end; not with `from`"),
        ("stream" = Option<String>, Query, description = "`out` or `err`: only those lines"),
        ("since" = Option<String>, Query, description = "Only lines that were written then or later: a time as in RFC 3339"),
        ("search" = Option<String>, Query, description = "Only lines with this text in them, in the same case"),
        ("follow" = Option<bool>, Query, description = "Whether to wait for more until the session is over"),
        ("Last-Event-ID" = Option<u64>, Header, description = "The number of the last line that was received (event streams)"),
    ),
    responses((status = OK, description = "The lines", content(
        (String = "text/plain"), (LineBody = "application/x-ndjson"), (String = "text/event-stream"),
    ))),
)]
#[tracing::instrument(name = "http.session.logs", skip_all, fields(tenant.id, session.id))]
pub(crate) async fn logs(
    Caller { app, actor, shutdown }: Caller,
    SessionPath { tenant, session }: SessionPath,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut form = Form::of(&headers)?;
    let mut query = query(parameters)?;
    if form == Form::Events
        && let Some(start) = resume(&headers)?
    {
        query.start = start;
    }
    // Pieces between those that were found may be left out.
    if form == Form::Text && query.search.is_some() {
        form = Form::Pieces;
    }
    let events = log::read(&app, &actor, &tenant, session, query).await?;
    Ok(form.answer(events, (*shutdown).clone().cancelled_owned()))
}

fn query(mut parameters: Parameters) -> Result<LogQuery, Problem> {
    let from = parameters.number("from", 1..=u64::MAX);
    let tail = parameters.number("tail", 0..=u64::MAX);
    let stream = parameters.take("stream", "out or err", |text| match text {
        "out" => Some(LogStream::Out),
        "err" => Some(LogStream::Err),
        _ => None,
    });
    let rule = "a time as in RFC 3339, e.g. 2026-11-22T10:00:00Z";
    let since = parameters.take("since", rule, |text| text.parse().ok());
    let search = parameters.take("search", "a text of at least one character", |text| {
        (!text.is_empty()).then(|| text.to_owned())
    });
    let is_following = parameters.flag("follow");
    if let (Some(_), Some(tail)) = (from, tail) {
        parameters.refuse("tail", &tail.to_string(), "not together with from");
    }
    parameters.finish()?;
    let start = tail.map_or(Start::From(from.unwrap_or(1)), Start::Tail);
    Ok(LogQuery { start, stream, since, search, is_following })
}

fn resume(headers: &HeaderMap) -> Result<Option<Start>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let number = text.parse::<u64>().ok().and_then(|number| number.checked_add(1));
    let start = number.map(Start::From).ok_or_else(|| {
        let rule = "the id of an event of this stream";
        Problem::with_fields(Code::InvalidHeader, Invalid::field("Last-Event-ID", text, rule))
    })?;
    Ok(Some(start))
}

impl Form {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut wanted = values.flat_map(|value| value.split(',')).peekable();
        if wanted.peek().is_none() {
            return Ok(Self::Text);
        }
        let form =
            wanted.find_map(|range| match range.split(';').next().unwrap_or_default().trim() {
                "text/event-stream" => Some(Self::Events),
                "application/x-ndjson" => Some(Self::Lines),
                "text/plain" | "text/*" | "*/*" => Some(Self::Text),
                _ => None,
            });
        form.ok_or_else(|| {
            let forms = "Ask for text/plain, application/x-ndjson or text/event-stream.";
            Problem::new(Code::NotAcceptable).hint(forms)
        })
    }
}
