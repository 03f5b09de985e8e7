//! The three forms of a log.

use super::{Form, LineBody};
use application::log::{LogError, LogEvent, LogLine};
use axum::{
    body::Body,
    http::{HeaderName, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, future, stream};
use serde_json::json;
use std::{error::Error, time::Duration};

/// Tells proxies to hand on every line at once.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");
/// How often a quiet event stream says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// After what time a reader of an event stream should come back.
const RETRY: Duration = Duration::from_secs(2);
/// The most lines that are sent as one piece.
const LINES_AT_ONCE: usize = 256;

impl Form {
    /// Sends events as they come, until they end or `shutdown` does.
    pub(super) fn answer(
        self,
        events: impl Stream<Item = Result<LogEvent, LogError>> + Send + 'static,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Response {
        let events = events.take_until(shutdown).inspect_err(|error| {
            tracing::error!(error = error as &dyn Error, "sending a log broke off");
        });
        match self {
            Self::Text => pieces(events, "text/plain; charset=utf-8", |line| line.text),
            Self::Lines => pieces(events, "application/x-ndjson", |line| {
                serde_json::to_string(&LineBody::from(line)).expect("a line can be written as JSON")
            }),
            Self::Events => server_sent(events),
        }
    }
}

/// One line of text for each line, many at once when they are there.
fn pieces(
    events: impl Stream<Item = Result<LogEvent, LogError>> + Send + 'static,
    content_type: &'static str,
    write: impl Fn(LogLine) -> String + Send + 'static,
) -> Response {
    let lines = events.try_filter_map(move |event| {
        future::ok(match event {
            LogEvent::Line(line) => Some(write(line) + "\n"),
            LogEvent::End { .. } => None,
        })
    });
    let chunks = lines.try_ready_chunks(LINES_AT_ONCE);
    let bytes = chunks.map(|chunk| match chunk {
        Ok(lines) => Ok(Bytes::from(lines.concat())),
        Err(broken) => Err(broken.1),
    });
    ([(header::CONTENT_TYPE, content_type), UNBUFFERED], Body::from_stream(bytes)).into_response()
}

fn server_sent(
    events: impl Stream<Item = Result<LogEvent, LogError>> + Send + 'static,
) -> Response {
    let first = stream::once(future::ok(Event::default().retry(RETRY)));
    let events = first.chain(events.map_ok(|event| match event {
        LogEvent::Line(line) => {
            let event = Event::default().id(line.number.to_string());
            event.json_data(LineBody::from(line)).expect("a line can be written as JSON")
        }
        LogEvent::End { state } => {
            let event = Event::default().event("end");
            event.json_data(json!({ "state": state })).expect("a word can be written as JSON")
        }
    }));
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).text("heartbeat");
    ([UNBUFFERED], Sse::new(events).keep_alive(heartbeat)).into_response()
}

impl From<LogLine> for LineBody {
    fn from(LogLine { number, at, stream, text }: LogLine) -> Self {
        Self { n: number, t: at, s: stream, l: text }
    }
}
