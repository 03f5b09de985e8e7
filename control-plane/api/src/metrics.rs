//! What Prometheus reads, on a port of its own.

use crate::{problem::Problem, state::About};
use application::{App, numbers};
use axum::{
    Router,
    extract::State,
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use domain::{SessionState, TenantPhase};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};
use std::{fmt, sync::Arc, time::Duration};

/// The series that are counted as they happen, and which program counts them. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Series>);

struct Series {
    about: About,
    registry: Registry,
    requests: Requests,
    in_flight: Gauge,
}

type Requests = Family<RequestLabels, Histogram, fn() -> Histogram>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    /// As it is written in the router: never a path that somebody sent.
    route: String,
    method: &'static str,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

impl Metrics {
    /// Begins to count.
    #[must_use]
    pub fn new(about: About) -> Self {
        let requests = Requests::new_with_constructor(|| Histogram::new(SECONDS));
        let mut registry = Registry::default();
        let labels = vec![("version", about.version), ("commit", about.commit)];
        registry.register("warren_build", "Which program this is", Info::new(labels));
        registry.register_with_unit(
            "warren_http_request_duration",
            "Time from a request to the start of its answer",
            Unit::Seconds,
            requests.clone(),
        );
        let in_flight = Gauge::default();
        let help = "Requests that have come and whose answer has not begun";
        registry.register("warren_http_requests_in_flight", help, in_flight.clone());
        Self(Arc::new(Series { about, registry, requests, in_flight }))
    }

    pub(crate) fn about(&self) -> About {
        self.0.about
    }

    /// Counts a request for as long as what this returns is kept.
    pub(crate) fn begin_request(&self) -> InFlight {
        self.0.in_flight.inc();
        InFlight(self.0.in_flight.clone())
    }

    pub(crate) fn observe_request(
        &self,
        route: &str,
        method: &Method,
        status: StatusCode,
        duration: Duration,
    ) {
        let method = known(method);
        let labels = RequestLabels { route: route.to_owned(), method, code: status.as_u16() };
        self.0.requests.get_or_create(&labels).observe(duration.as_secs_f64());
    }
}

/// A request whose answer has not begun; also one that nobody waits for any more is over some time.
#[derive(Debug)]
pub(crate) struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("about", &self.0.about).finish_non_exhaustive()
    }
}

const SECONDS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The router of `/metrics`.
pub fn metrics_router(app: App, metrics: &Metrics) -> Router {
    Router::new().route("/metrics", get(read)).with_state((app, metrics.clone()))
}

async fn read(State((app, metrics)): State<(App, Metrics)>) -> Response {
    let numbers = match numbers::count(&app).await {
        Ok(numbers) => numbers,
        Err(error) => return Problem::from(error).into_response(),
    };
    let mut text = String::new();
    let encoded = encode(&mut text, &present(&numbers)).is_ok();
    let mut counted = String::new();
    let is_complete = encode(&mut counted, &metrics.0.registry).is_ok() && encoded;
    if !is_complete {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    // Each registry ends its text with the same line.
    let text = text.trim_end_matches("# EOF\n").to_owned() + &counted;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}

/// The series that are looked up when they are read.
fn present(numbers: &numbers::Numbers) -> Registry {
    let tenants = Family::<PhaseLabels, Gauge>::default();
    for (phase, count) in &numbers.tenants {
        set(&tenants.get_or_create(&PhaseLabels { phase: TenantPhase::as_str(*phase) }), *count);
    }
    let sessions = Family::<StateLabels, Gauge>::default();
    for (state, count) in &numbers.sessions {
        set(&sessions.get_or_create(&StateLabels { state: SessionState::as_str(*state) }), *count);
    }
    let operations = Family::<KindLabels, Gauge>::default();
    for (kind, count) in &numbers.operations {
        let kind = kind.as_str();
        set(&operations.get_or_create(&KindLabels { kind }), *count);
    }
    let lines = Family::<StateLabels, Gauge>::default();
    for (state, count) in &numbers.plan_batch_lines {
        set(&lines.get_or_create(&StateLabels { state: state.as_str() }), *count);
    }
    let mut registry = Registry::default();
    registry.register("warren_tenants", "Tenants in each phase", tenants);
    registry.register("warren_sessions", "Sessions that are not over, in each state", sessions);
    registry.register("warren_operations_in_flight", "Operations that are not over", operations);
    let help =
        "Tenants of batches of changes of plan, those planned for later included, in each state";
    registry.register("warren_plan_batch_lines", help, lines);
    if let Some(bytes) = resident_bytes() {
        let memory = Gauge::<i64>::default();
        set(&memory, bytes);
        let help = "Memory that the process holds";
        registry.register_with_unit("process_resident_memory", help, Unit::Bytes, memory);
    }
    registry
}

fn set(gauge: &Gauge, count: u64) {
    gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
}

/// Source: proc(5), `/proc/pid/status`, `VmRSS` in kibibytes.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}

/// Methods that somebody made up are one series.
fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}
