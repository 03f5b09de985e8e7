//! What handlers share.

use crate::metrics::Metrics;
use application::App;
use bytes::Bytes;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Which program this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// Its version, e.g. `0.1.0`.
    pub version: &'static str,
    /// The commit that it was built from; empty if that is not known.
    pub commit: &'static str,
}

/// The state of the router. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) app: App,
    pub(crate) metrics: Metrics,
    /// The OpenAPI document, as JSON.
    pub(crate) document: Bytes,
    /// Cancelled when the server begins to shut down.
    pub(crate) shutdown: Arc<CancellationToken>,
}

impl Api {
    pub(crate) fn new(
        app: App,
        metrics: Metrics,
        document: Bytes,
        shutdown: CancellationToken,
    ) -> Self {
        Self { app, metrics, document, shutdown: Arc::new(shutdown) }
    }
}
