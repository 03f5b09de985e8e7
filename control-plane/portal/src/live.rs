//! What all pages that change while they are looked at have in common.

use axum::{
    http::HeaderName,
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{Stream, StreamExt as _};
use std::{convert::Infallible, time::Duration};

/// Tells proxies to hand on everything at once.
pub(crate) const UNBUFFERED: (HeaderName, &str) =
    (HeaderName::from_static("x-accel-buffering"), "no");
/// How long one stream lasts; a browser then asks for the next.
pub(crate) const LASTS: Duration = Duration::from_mins(30);
/// How often a quiet stream says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Sends events as they come, until `until`.
pub(crate) fn send(
    events: impl Stream<Item = Event> + Send + 'static,
    until: impl Future<Output = ()> + Send + 'static,
) -> Response {
    let events = events.map(Ok::<_, Infallible>).take_until(until);
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).text("heartbeat");
    ([UNBUFFERED], Sse::new(events).keep_alive(heartbeat)).into_response()
}
