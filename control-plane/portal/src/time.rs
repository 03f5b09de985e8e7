//! Times as people read them: how long ago, with the exact time beside it.

use askama::{Template, filters::HtmlSafe};
use jiff::{SignedDuration, Timestamp};
use std::fmt;

/// A point in time, as seen from another.
#[derive(Debug, Clone, Template)]
#[template(
    source = r#"<time datetime="{{ exact }}" title="{{ exact }}" data-ago>{{ ago }}</time>"#,
    ext = "html"
)]
pub(crate) struct When {
    exact: String,
    ago: String,
}

/// How long something takes or took, to two units: `38 s`, `2 min 10 s`, `3 h 05 min`, `4 d 2 h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Took(SignedDuration);

impl HtmlSafe for When {}

impl When {
    pub(crate) fn new(at: Timestamp, now: Timestamp) -> Self {
        Self { exact: format!("{at:.0}"), ago: ago(now.duration_since(at)) }
    }
}

impl Took {
    pub(crate) fn between(start: Timestamp, end: Timestamp) -> Self {
        Self(end.duration_since(start))
    }

    pub(crate) fn milliseconds(milliseconds: u32) -> Self {
        Self(SignedDuration::from_millis(i64::from(milliseconds)))
    }
}

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis().max(0);
        let seconds = milliseconds / 1000;
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
        match seconds {
            -59..10 => write!(f, "{}.{} s", seconds, milliseconds % 1000 / 100),
            10..60 => write!(f, "{seconds} s"),
            60..3600 if seconds % 60 == 0 => write!(f, "{minutes} min"),
            60..3600 => write!(f, "{minutes} min {:02} s", seconds % 60),
            3600..86_400 => write!(f, "{hours} h {:02} min", minutes % 60),
            _ => write!(f, "{days} d {} h", hours % 24),
        }
    }
}

/// One unit is enough to tell when something was.
fn ago(since: SignedDuration) -> String {
    let seconds = since.as_secs();
    match seconds {
        ..=-172_800 => format!("in {} d", -seconds / 86_400),
        -172_799..=-7_200 => format!("in {} h", -seconds / 3600),
        -7_199..=-60 => format!("in {} min", -seconds / 60),
        -59..10 => "just now".to_owned(),
        10..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_at_most_two_units() {
        let cases = [
            (-5, "0.0 s"),
            (1_240, "1.2 s"),
            (38_000, "38 s"),
            (120_000, "2 min"),
            (130_000, "2 min 10 s"),
            (11_100_000, "3 h 05 min"),
            (352_800_000, "4 d 2 h"),
        ];
        for (milliseconds, text) in cases {
            let took = Took(SignedDuration::from_millis(milliseconds));
            assert_eq!(took.to_string(), text);
        }
    }

    #[test]
    fn a_time_is_told_by_one_unit_and_exactly() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().expect("a time");
        let cases = [(3, "just now"), (59, "59 s ago"), (720, "12 min ago"), (7_300, "2 h ago")];
        for (seconds, text) in cases {
            let when = When::new(now - SignedDuration::from_secs(seconds), now);
            assert_eq!(when.ago, text);
        }
        let html = When::new(now, now).to_string();
        assert!(html.contains(r#"datetime="2026-11-21T10:00:00Z""#), "{html}");
    }
}
