//! The paths of the run endpoint. None of them names a run: the token does.

mod inputs;
mod outputs;
mod reports;

use crate::{copies, problem::Problem};
use application::App;
use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request},
    http::{StatusCode, header::CONTENT_ENCODING},
    middleware::{self, Next},
    response::Response,
    routing::{get, post, put},
};
use clusters::Relays;
use std::time::Duration;
use tower_http::timeout::TimeoutLayer;
use tracing::{Instrument as _, field::Empty};

/// The largest body that is taken into memory, in bytes: a batch of log lines, or a result with a
/// little room, so that one that is too large is told so.
const MAX_BODY_BYTES: usize = (1 << 20) + (64 << 10);
/// What a request with a small body may take.
const TIME: Duration = Duration::from_secs(30);

/// All of the run endpoint.
pub(crate) fn router(app: App, relays: Relays) -> Router {
    let small = Router::new()
        .route("/run/v1/manifest", get(inputs::manifest))
        .route("/run/v1/started", post(reports::started))
        .route("/run/v1/heartbeat", post(reports::heartbeat))
        .route("/run/v1/logs", post(reports::logs))
        .route("/run/v1/exited", post(reports::exited))
        .route("/run/v1/result", put(outputs::result))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, TIME));
    // As long as bytes move: `Blobs` and the connection's life bound these.
    let large = Router::new().route("/run/v1/inputs/{name}", get(inputs::input)).route(
        "/run/v1/artifacts/{*path}",
        put(outputs::artifact).head(outputs::progress).patch(outputs::append),
    );
    small
        .merge(large)
        .with_state(app)
        .merge(
            copies::router(relays)
                .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, TIME)),
        )
        .fallback(async || Problem::unauthorized())
        .layer(middleware::from_fn(unpacked))
        .layer(middleware::from_fn(trace))
}

/// Whatever is done for a request carries the identifiers of its run, once its token is known.
async fn trace(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    let span = tracing::info_span!(
        "run",
        http.route = route,
        run.id = Empty,
        session.id = Empty,
        tenant.id = Empty
    );
    next.run(request).instrument(span).await
}

/// Lets bodies pass that are what they look like.
async fn unpacked(request: Request, next: Next) -> Result<Response, Problem> {
    match request.headers().get(CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => Err(Problem::packed()),
        _ => Ok(next.run(request).await),
    }
}

/// Reads a JSON body. Unknown fields are for a later Warren.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::invalid(error.to_string()))
}
