//! What the server says on stderr: structured lines with spans, or text for people.

use crate::config::{Log, LogFormat};
use std::{
    io::Write as _,
    time::{Duration, Instant},
};
use tracing::{Id, Subscriber, dispatcher, span::Attributes};
use tracing_subscriber::{
    EnvFilter, Layer,
    fmt::{self, MakeWriter},
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
        // A thread of the database may be the last to let go of the span, and is in no span then.
        within(span.parent().map(|parent| parent.id()).as_ref(), || {
            if duration >= SLOW {
                tracing::warn!(operation, duration_ms, "the record was slow");
            } else {
                tracing::debug!(operation, duration_ms, "the record did it");
            }
        });
    }
}

/// Says something in a span that is known by its identifier alone.
fn within(span: Option<&Id>, say: impl FnOnce()) {
    let Some(id) = span else { return say() };
    dispatcher::get_default(|dispatch| dispatch.enter(id));
    say();
    dispatcher::get_default(|dispatch| dispatch.exit(id));
}

/// One line of JSON for each event, with the spans that it is in.
fn json<S, W>(writer: W) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fmt::layer().json().flatten_event(true).with_current_span(true).with_writer(writer)
}

/// Starts logging. A filter that cannot be read is an error that names it.
pub(crate) fn start(log: &Log) -> anyhow::Result<()> {
    let directives = log.filter.as_deref().unwrap_or(FILTER);
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        anyhow::anyhow!("configuration key log.filter = {directives:?}: {error}")
    })?;
    let registry = tracing_subscriber::registry().with(filter).with(Durations);
    match log.format {
        LogFormat::Json => registry.with(json(std::io::stderr)).try_init()?,
        LogFormat::Text => registry.with(fmt::layer().with_writer(std::io::stderr)).try_init()?,
    }
    Ok(())
}

/// The last words of a server that cannot go on: the whole chain of causes on one line.
pub(crate) fn fatal(error: &anyhow::Error) {
    // Nothing can be done if even this cannot be said.
    let _ = writeln!(std::io::stderr(), "warren: {error:#}");
}

#[cfg(test)]
mod tests {
    use super::{Durations, json};
    use serde_json::Value;
    use std::{
        fs::File,
        io::{Read as _, Seek as _},
        thread,
    };
    use tracing::Dispatch;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[test]
    fn a_span_that_another_thread_lets_go_of_last_is_told_with_the_request_around_it() {
        let mut file = tempfile::tempfile().unwrap();
        let writer = file.try_clone().unwrap();
        let log = move || -> File { writer.try_clone().unwrap() };
        let all: Dispatch = tracing_subscriber::registry().with(Durations).with(json(log)).into();
        let other = all.clone();
        tracing::dispatcher::with_default(&all, || {
            let request = tracing::info_span!("http", request.id = "mine");
            let database = request.in_scope(|| tracing::info_span!("db.thing.get"));
            let let_go = move || tracing::dispatcher::with_default(&other, || drop(database));
            thread::spawn(let_go).join().unwrap();
        });

        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["operation"], "db.thing.get", "{text}");
        assert_eq!(line["span"]["request.id"], "mine", "{text}");
        assert_eq!(line["spans"][0]["request.id"], "mine", "{text}");
        assert_eq!(line["spans"].as_array().map(Vec::len), Some(1), "{text}");
    }
}
