//! What the server says on stderr: structured lines with spans, or text for people.

use crate::config::{Log, LogFormat};
use std::io::Write as _;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// What is logged unless the configuration says otherwise.
const FILTER: &str = "info,sqlx=warn,sea_orm=warn,kube=warn,hyper=warn,tower=warn,rustls=warn";

/// Starts logging. A filter that cannot be read is an error that names it.
pub(crate) fn start(log: &Log) -> anyhow::Result<()> {
    let directives = log.filter.as_deref().unwrap_or(FILTER);
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        anyhow::anyhow!("configuration key log.filter = {directives:?}: {error}")
    })?;
    let registry = tracing_subscriber::registry().with(filter);
    match log.format {
        LogFormat::Json => registry
            .with(
                fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_current_span(true)
                    .with_writer(std::io::stderr),
            )
            .try_init()?,
        LogFormat::Text => registry.with(fmt::layer().with_writer(std::io::stderr)).try_init()?,
    }
    Ok(())
}

/// The last words of a server that cannot go on: the whole chain of causes on one line.
pub(crate) fn fatal(error: &anyhow::Error) {
    // Nothing can be done if even this cannot be said.
    let _ = writeln!(std::io::stderr(), "warren: {error:#}");
}
