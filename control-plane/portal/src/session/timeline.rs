//! The runs of a session over time: drawn, and the same as a table.

use super::summary;
use crate::time::{Took, When};
use askama::{Template, filters::HtmlSafe};
use domain::{Run, Session};
use jiff::Timestamp;

/// How wide a bar is drawn, in units of its own; browsers stretch it.
const WIDTH: i128 = 1000;
/// The narrowest segment that can still be seen, in the same units.
const LEAST: i128 = 4;

/// What of a session's time went where.
#[derive(Debug, Template)]
#[template(path = "session/timeline.html")]
pub(super) struct Timeline {
    rows: Vec<Row>,
    /// How long it took so far, and in words.
    total: Took,
    summary: String,
}

/// One attempt, or the waiting for the first.
#[derive(Debug)]
struct Row {
    label: String,
    waited: Segment,
    ran: Option<Segment>,
    /// How it looks: that of its end.
    tone: &'static str,
    began: Option<When>,
    waited_for: Took,
    ran_for: Option<Took>,
    memory: String,
    end: String,
    used: Option<String>,
}

/// A part of a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    x: i128,
    width: i128,
}

impl HtmlSafe for Timeline {}

/// From the acceptance of the session to its end or now.
#[derive(Debug, Clone, Copy)]
struct Scale {
    start: Timestamp,
    end: Timestamp,
    now: Timestamp,
}

impl Scale {
    fn segment(self, from: Timestamp, to: Timestamp) -> Segment {
        let all = self.end.duration_since(self.start).as_millis().max(1);
        let at = |time: Timestamp| {
            let since = time.duration_since(self.start).as_millis();
            (since * WIDTH / all).clamp(0, WIDTH)
        };
        let (x, end) = (at(from), at(to));
        // What is shorter than can be seen begins earlier rather than lying outside.
        let width = (end - x).max(LEAST);
        Segment { x: x.min(WIDTH - width), width }
    }
}

impl Timeline {
    pub(super) fn new(session: &Session, runs: &[Run], now: Timestamp) -> Self {
        let (start, end) = (session.created_at, session.finished_at.unwrap_or(now));
        let scale = Scale { start, end, now };
        let mut free_since = start;
        let mut rows = Vec::new();
        for run in runs {
            rows.push(Row::new(run, free_since, scale));
            free_since = run.ended_at.unwrap_or(end);
        }
        let is_waiting = !session.state.is_final() && runs.iter().all(|run| run.ended_at.is_some());
        if is_waiting || rows.is_empty() {
            rows.push(Row::waiting(runs.len(), free_since, scale));
        }
        let total = Took::between(start, end);
        let summary = match runs.len() {
            0 => format!("{total} without a run"),
            1 => format!("{total} in all, 1 attempt"),
            count => format!("{total} in all, {count} attempts"),
        };
        Self { rows, total, summary }
    }
}

impl Row {
    fn new(run: &Run, free_since: Timestamp, scale: Scale) -> Self {
        let over = run.exited_at.or(run.ended_at);
        let began = run.started_at.or(over).unwrap_or(scale.end);
        let until = over.unwrap_or(scale.end);
        let is_well = run.cause.as_ref().is_none_or(|cause| cause.class.is_none());
        let tone = match (run.ended_at, is_well) {
            (None, _) => "busy",
            (Some(_), true) => "ok",
            (Some(_), false) => "bad",
        };
        let end = run.cause.as_ref().map(|cause| summary::sentence(&cause.message));
        let exit = run.exit.map(|exit| format!("Ended: {}.", summary::ended(exit)));
        Self {
            label: format!("Attempt {}", run.attempt),
            waited: scale.segment(free_since, began),
            ran: run.started_at.map(|started| scale.segment(started, until)),
            tone,
            began: run.started_at.map(|at| When::new(at, scale.now)),
            waited_for: Took::between(free_since, began),
            ran_for: run.started_at.map(|started| Took::between(started, until)),
            memory: run.resources.memory.to_string(),
            end: end.or(exit).unwrap_or_else(|| "Not over yet.".to_owned()),
            used: summary::usage(run),
        }
    }

    /// Nothing runs, and something will.
    fn waiting(runs: usize, since: Timestamp, scale: Scale) -> Self {
        Self {
            label: format!("Attempt {}", runs + 1),
            waited: scale.segment(since, scale.end),
            ran: None,
            tone: "off",
            began: None,
            waited_for: Took::between(since, scale.end),
            ran_for: None,
            memory: String::new(),
            end: "It did not begin (yet).".to_owned(),
            used: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::ToSpan as _;

    #[test]
    fn segments_follow_one_another_and_none_is_outside_or_too_narrow() {
        let start: Timestamp = "2026-11-21T10:00:00Z".parse().expect("a time");
        let at = |seconds: i64| start + seconds.seconds();
        let scale = Scale { start, end: at(100), now: at(100) };
        assert_eq!(scale.segment(at(0), at(25)), Segment { x: 0, width: 250 });
        assert_eq!(scale.segment(at(25), at(100)), Segment { x: 250, width: 750 });
        assert_eq!(scale.segment(at(100), at(100)), Segment { x: 996, width: 4 });
        assert_eq!(scale.segment(at(-5), at(900)), Segment { x: 0, width: 1000 });
        let nothing = Scale { start, end: start, now: start };
        assert_eq!(nothing.segment(start, start), Segment { x: 0, width: 4 });
    }
}
