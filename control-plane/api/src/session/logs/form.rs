//! The three forms of a log.

use super::{Form, LineBody};
use application::log::{LinePart, LogError, LogEvent, LogLine, PlainText};
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
            Self::Text | Self::Pieces => {
                let mut text = PlainText::default();
                chunks(events, "text/plain; charset=utf-8", move |event, written| match event {
                    LogEvent::Line(LogLine { stream, part, text: line, .. }) => {
                        let part = if self == Self::Pieces { LinePart::Whole } else { part };
                        text.add(stream, part, &line, written);
                    }
                    LogEvent::End { .. } => text.close(written),
                })
            }
            Self::Lines => chunks(events, "application/x-ndjson", |event, written| match event {
                LogEvent::Line(line) => {
                    let line = serde_json::to_string(&LineBody::from(line));
                    *written += &line.expect("a line can be written as JSON");
                    written.push('\n');
                }
                LogEvent::End { .. } => {}
            }),
            Self::Events => server_sent(events),
        }
    }
}

/// Text for each event, that of many at once when they are there.
fn chunks(
    events: impl Stream<Item = Result<LogEvent, LogError>> + Send + 'static,
    content_type: &'static str,
    mut write: impl FnMut(LogEvent, &mut String) + Send + 'static,
) -> Response {
    let chunks = events.try_ready_chunks(LINES_AT_ONCE);
    let bytes = chunks.map(move |chunk| {
        let mut written = String::new();
        let events = chunk.map_err(|broken| broken.1)?;
        for event in events {
            write(event, &mut written);
        }
        Ok::<_, LogError>(Bytes::from(written))
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
    fn from(LogLine { number, at, stream, text, part }: LogLine) -> Self {
        Self { n: number, t: at, s: stream, l: text, p: part }
    }
}
