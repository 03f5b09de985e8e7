//! What is done to every request: an identifier, a span, a measurement; and to every problem: its
//! body.

use crate::{problem::Problem, state::Api};
use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use domain::IdGen;
use std::time::Instant;
use tracing::Instrument as _;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// What a request is called, here and in the log.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(String);

impl RequestId {
    /// The caller's, if it brought one that is fit for a log; otherwise a new one.
    fn of(headers: &HeaderMap, ids: &dyn IdGen) -> Self {
        let is_fit = |text: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            (1..=128).contains(&text.len()) && text.bytes().all(is_plain)
        };
        let own = headers.get(HEADER).and_then(|value| value.to_str().ok());
        match own.filter(|text| is_fit(text)) {
            Some(text) => Self(text.to_owned()),
            None => Self(format!("req_{}", ids.uuid().as_simple())),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("an identifier is plain ASCII")
    }
}

pub(crate) async fn observe(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers(), &*api.app.ids);
    request.extensions_mut().insert(id.clone());
    request.headers_mut().insert(HEADER, id.header());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let method = request.method().clone();
    let span = tracing::info_span!("http", request.id = id.as_str(), http.route = route, %method);

    let in_flight = api.metrics.begin_request();
    let start = Instant::now();
    let response = next.run(request).instrument(span.clone()).await;
    let duration = start.elapsed();
    drop(in_flight);

    let status = response.status();
    api.metrics.observe_request(route, &method, status, duration);
    let duration_ms = duration.as_secs_f64() * 1000.0;
    span.in_scope(|| tracing::debug!(status = status.as_u16(), duration_ms, "answered"));
    finish(response, &id)
}

fn finish(mut response: Response, id: &RequestId) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let body = problem.body(id.as_str());
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        *response.body_mut() = Body::from(body);
    }
    let headers = response.headers_mut();
    headers.insert(HEADER, id.header());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
