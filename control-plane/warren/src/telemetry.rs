//! What the server says on stderr: structured lines with spans, or text for people.

use crate::config::{Log, LogFormat};
use std::{
    io::Write as _,
    time::{Duration, Instant},
};
use tracing::{Id, Subscriber, span::Attributes};
use tracing_subscriber::{
    EnvFilter, Layer, fmt,
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

/// What is logged unless the configuration says otherwise.
const FILTER: &str = "info,sqlx=warn,sea_orm=warn,kube=warn,hyper=warn,tower=warn,rustls=warn";
/// What the record does takes milliseconds; whoever waits longer should know what for.
const SLOW: Duration = Duration::from_secs(1);

/// Says how long each operation of the record took, with the identifiers of the spans around it:
/// `log.filter = "info,warren=debug"` shows all of them, and slow ones are always told.
#[derive(Debug)]
struct Durations;

struct Begun(Instant);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Durations {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, cx: Context<'_, S>) {
        if attributes.metadata().name().starts_with("db.")
            && let Some(span) = cx.span(id)
        {
            span.extensions_mut().insert(Begun(Instant::now()));
        }
    }

    fn on_close(&self, id: Id, cx: Context<'_, S>) {
        let Some(span) = cx.span(&id) else { return };
        let begun = span.extensions().get::<Begun>().map(|begun| begun.0);
        let Some(duration) = begun.map(|begun| begun.elapsed()) else { return };
        let (operation, duration_ms) = (span.name(), duration.as_secs_f64() * 1000.0);
        if duration >= SLOW {
            tracing::warn!(operation, duration_ms, "the record was slow");
        } else {
            tracing::debug!(operation, duration_ms, "the record did it");
        }
    }
}

/// Starts logging. A filter that cannot be read is an error that names it.
pub(crate) fn start(log: &Log) -> anyhow::Result<()> {
    let directives = log.filter.as_deref().unwrap_or(FILTER);
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        anyhow::anyhow!("configuration key log.filter = {directives:?}: {error}")
    })?;
    let registry = tracing_subscriber::registry().with(filter).with(Durations);
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
