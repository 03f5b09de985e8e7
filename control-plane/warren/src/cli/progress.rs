//! What happens while a command waits, on stderr: redrawn on a terminal, otherwise a line for each
//! change; JSON lines for programs that read errors as JSON.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::{
    io::{self, Write as _},
    time::Duration,
};
use tokio::time::Instant;

use super::{
    answer::{Batch, Operation, Session, Step, Tenant},
    format::{between, bytes, now, time, visible},
    options::{Format, is_drawable},
};

const TICK: Duration = Duration::from_millis(100);
/// Transfers that are over before this are not worth a word.
const QUIET_TRANSFER: Duration = Duration::from_secs(2);
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How to speak to whoever waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Drawn,
    Lines,
    Json,
}

/// Notes on stderr.
#[derive(Debug, Clone, Copy)]
pub(super) struct Messages {
    style: Style,
}

impl Messages {
    pub(super) fn new(format: Format) -> Self {
        let style = match (is_drawable(), format) {
            (true, _) => Style::Drawn,
            (false, Format::Json) => Style::Json,
            (false, Format::Table | Format::Yaml | Format::Name) => Style::Lines,
        };
        Self { style }
    }

    /// Says something that is neither data nor an error.
    pub(super) fn note(self, text: &str) {
        match self.style {
            Style::Drawn | Style::Lines => say(&visible(text)),
            Style::Json => event(&json!({ "event": "note", "message": text })),
        }
    }

    pub(super) fn progress(self, title: impl Into<String>) -> Progress {
        Progress {
            style: self.style,
            title: title.into(),
            started: Instant::now(),
            drawing: None,
            lines: Vec::new(),
        }
    }

    pub(super) fn transfer(self, what: impl Into<String>, total: u64) -> Transfer {
        let now = Instant::now();
        Transfer {
            style: self.style,
            what: what.into(),
            total,
            started: now,
            said: None,
            bar: None,
        }
    }
}

/// One line of what is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    name: String,
    state: String,
    /// How long the step took or has been taking.
    duration: Option<Duration>,
    message: String,
}

/// The state of what a command waits for.
#[derive(Debug)]
pub(super) struct Progress {
    style: Style,
    title: String,
    started: Instant,
    drawing: Option<Drawing>,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Drawing {
    all: MultiProgress,
    head: ProgressBar,
    bars: Vec<ProgressBar>,
}

impl Progress {
    pub(super) fn show(&mut self, lines: Vec<Line>) {
        match self.style {
            Style::Drawn => self.draw(&lines),
            Style::Lines | Style::Json => {
                for (index, line) in lines.iter().enumerate() {
                    let before = self.lines.get(index);
                    let is_new = before.is_none_or(|before| {
                        (&before.name, &before.state, &before.message)
                            != (&line.name, &line.state, &line.message)
                    });
                    // What has not begun is no news.
                    if is_new && !(before.is_none() && line.state == "waiting") {
                        self.say(line);
                    }
                }
            }
        }
        self.lines = lines;
    }

    /// Says something without disturbing what is drawn.
    pub(super) fn note(&self, text: &str) {
        match &self.drawing {
            Some(drawing) => {
                // A terminal that cannot be written to has nobody in front of it.
                let _ = drawing.all.println(visible(text));
            }
            None => Messages { style: self.style }.note(text),
        }
    }

    /// Leaves the last state on the screen, and says how it ended.
    pub(super) fn finish(mut self, end: &str) {
        let elapsed = self.started.elapsed();
        self.settle();
        match self.style {
            Style::Drawn | Style::Lines => {
                say(&format!("{}: {} after {}", self.title, visible(end), time(elapsed)));
            }
            Style::Json => event(&json!({
                "event": "end", "of": self.title, "state": end, "elapsedMs": millis(elapsed),
            })),
        }
    }

    /// Leaves the last state on the terminal as plain lines.
    fn settle(&mut self) {
        if let Some(Drawing { all: _, head, bars }) = self.drawing.take() {
            bars.iter().chain([&head]).for_each(ProgressBar::finish_and_clear);
            self.lines.iter().for_each(|line| say(&line.text()));
        }
    }

    fn say(&self, line: &Line) {
        let elapsed = self.started.elapsed();
        match self.style {
            Style::Drawn | Style::Lines => say(&format!("{:>8} {}", time(elapsed), line.text())),
            Style::Json => event(&json!({
                "event": "step", "of": self.title, "name": line.name, "state": line.state,
                "message": line.message, "elapsedMs": millis(elapsed),
            })),
        }
    }

    fn draw(&mut self, lines: &[Line]) {
        let title = &self.title;
        let drawing = self.drawing.get_or_insert_with(|| {
            let all = MultiProgress::new();
            let head = all.add(ProgressBar::new_spinner());
            head.set_style(style("{spinner} {msg} {elapsed}"));
            head.set_message(title.clone());
            head.enable_steady_tick(TICK);
            Drawing { all, head, bars: Vec::new() }
        });
        while drawing.bars.len() < lines.len() {
            let bar = drawing.all.add(ProgressBar::new_spinner());
            bar.set_style(style("{msg}"));
            drawing.bars.push(bar);
        }
        for (bar, line) in drawing.bars.iter().zip(lines) {
            bar.set_message(line.text());
        }
        drawing.head.tick();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.settle();
    }
}

impl Line {
    /// The steps of an operation.
    pub(super) fn of_operation(operation: &Operation) -> Vec<Self> {
        operation.steps.iter().map(Self::of_step).collect()
    }

    fn of_step(step: &Step) -> Self {
        Self {
            name: step.name.clone(),
            state: step.state.clone(),
            duration: step.duration(),
            message: step.message.clone(),
        }
    }

    /// The tenants of a batch.
    pub(super) fn of_batch(batch: &Batch) -> Vec<Self> {
        let line = |line: &super::answer::BatchLine| Self {
            name: line.name.clone(),
            state: line.state.clone(),
            duration: None,
            message: line.problem.as_ref().map(|why| why.detail.clone()).unwrap_or_default(),
        };
        batch.lines.iter().map(line).collect()
    }

    /// What is known about a tenant without an open operation.
    pub(super) fn of_conditions(tenant: &Tenant) -> Vec<Self> {
        let line = |condition: &super::answer::Condition| Self {
            name: condition.kind.clone(),
            state: condition.status.clone(),
            duration: None,
            message: condition.message.clone(),
        };
        tenant.conditions.iter().map(line).collect()
    }

    /// The states that a session went through.
    pub(super) fn of_session(session: &Session) -> Vec<Self> {
        let times = [
            ("queued", session.created_at),
            ("starting", session.starting_at),
            ("running", session.running_at),
            ("stopping", session.stop_requested_at),
        ];
        let times: Vec<_> =
            times.into_iter().filter_map(|(name, at)| at.map(|at| (name, at))).collect();
        let mut lines = Vec::new();
        for (index, (name, at)) in times.iter().enumerate() {
            let next = times.get(index + 1).map(|(_, at)| *at).or(session.finished_at);
            lines.push(Self {
                name: (*name).to_owned(),
                state: if next.is_some() { "done" } else { "running" }.to_owned(),
                duration: Some(between(*at, next.unwrap_or_else(now))),
                message: String::new(),
            });
        }
        // Why it waits again, or is being stopped.
        if let (Some(last), Some(cause)) = (lines.last_mut(), &session.cause)
            && !session.is_final()
        {
            last.message.clone_from(&cause.message);
        }
        lines
    }

    fn text(&self) -> String {
        let mark = match self.state.as_str() {
            "done" | "succeeded" | "True" => '✓',
            "running" => '●',
            "blocked" | "failed" => '✗',
            _ => '·',
        };
        let duration = self.duration.map(time).unwrap_or_default();
        let message = self.message.lines().next().unwrap_or_default();
        let text = format!("{mark} {:<22} {:<8} {duration:>8}  {message}", self.name, self.state);
        visible(text.trim_end()).into_owned()
    }
}

impl Step {
    /// How long it took, or has been taking.
    pub(super) fn duration(&self) -> Option<Duration> {
        let told = self.duration_ms.map(|ms| Duration::from_millis(ms.try_into().unwrap_or(0)));
        told.or_else(|| {
            self.started_at.map(|start| between(start, self.finished_at.unwrap_or_else(now)))
        })
    }
}

/// Bytes on their way; silent when it is quick.
#[derive(Debug)]
pub(super) struct Transfer {
    style: Style,
    what: String,
    total: u64,
    started: Instant,
    said: Option<Instant>,
    bar: Option<ProgressBar>,
}

impl Transfer {
    pub(super) fn at(&mut self, done: u64) {
        if self.started.elapsed() < QUIET_TRANSFER {
            return;
        }
        if self.style == Style::Drawn {
            let bar = self.bar.get_or_insert_with(|| {
                let bar = ProgressBar::new(self.total);
                bar.set_style(style("{msg} {bar:30} {bytes} of {total_bytes}, {eta} to go"));
                bar.set_message(visible(&self.what).into_owned());
                bar
            });
            bar.set_position(done);
        } else if self.said.is_none_or(|said| said.elapsed() >= LINE_EVERY) {
            self.said = Some(Instant::now());
            let of = format!("{}: {} of {}", self.what, bytes(done), bytes(self.total));
            match self.style {
                Style::Drawn | Style::Lines => say(&visible(&of)),
                Style::Json => event(&json!({
                    "event": "transfer", "of": self.what, "bytes": done, "total": self.total,
                })),
            }
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates of this module are well formed")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn event(value: &Value) {
    say(&value.to_string());
}

fn say(line: &str) {
    // There is no third place to say that stderr is gone.
    let _ = writeln!(io::stderr(), "{line}");
}
