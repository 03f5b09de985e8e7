//! The agent's output on its way to Warren: bounded, in order, each line once.

use crate::{
    clock,
    endpoint::{CallError, Endpoint},
    patience::Patience,
};
use serde::Serialize;
use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// Where a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Stream {
    #[serde(rename = "out")]
    Out,
    #[serde(rename = "err")]
    Err,
}

/// Lines that wait to be sent.
#[derive(Debug, Default)]
pub(crate) struct Log {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Line>,
    bytes: usize,
    /// When the oldest waiting line came.
    since: Option<Instant>,
    /// How many lines before the oldest one were given up.
    dropped: u64,
    /// Nothing more will come.
    is_closed: bool,
}

#[derive(Debug)]
struct Line {
    at: SystemTime,
    stream: Stream,
    text: String,
}

/// A line as it is sent.
#[derive(Serialize)]
struct Numbered<'a> {
    n: u64,
    t: &'a str,
    s: Stream,
    l: &'a str,
}

impl Line {
    /// What a line costs in memory and, about, on the way.
    fn cost(&self) -> usize {
        self.text.len() + 80
    }
}

impl Log {
    /// What may wait; beyond it the oldest lines are given up.
    const MAX_BYTES: usize = 8 << 20;
    /// What is sent at once.
    const BATCH_BYTES: usize = 256 << 10;
    /// How long the first line of a batch waits for company.
    const BATCH_TIME: Duration = Duration::from_millis(50);

    /// Adds a line.
    pub(crate) fn push(&self, stream: Stream, text: String) {
        self.lock().push(Line { at: clock::now(), stream, text });
        self.changed.notify_all();
    }

    /// Adds a line of the runner itself, and shows it in the pod's log.
    pub(crate) fn note(&self, text: &str) {
        eprintln!("warren-runner: {text}");
        self.push(Stream::Err, format!("warren-runner: {text}"));
    }

    /// Takes no more lines; what waits is sent at once.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Sends lines until the log is closed and empty, or there is no point in trying; the number
    /// of the last line.
    pub(crate) fn send_all(&self, endpoint: &Endpoint, patience: &Patience) -> u64 {
        let mut next = 1;
        while let Some(batch) = self.take() {
            match send(endpoint, patience, next, batch) {
                Ok(number) => next = number,
                Err(error) => {
                    eprintln!("warren-runner: the log is not sent any more: {error}");
                    self.close();
                    break;
                }
            }
        }
        next - 1
    }

    /// Waits for a batch; nothing after the last one.
    fn take(&self) -> Option<VecDeque<Line>> {
        let mut queue = self.lock();
        loop {
            let age = queue.since.map(|since| since.elapsed());
            let is_due = age.is_some_and(|age| age >= Self::BATCH_TIME)
                || queue.bytes >= Self::BATCH_BYTES
                || queue.is_closed;
            if is_due {
                let batch = queue.take();
                return if batch.is_empty() { None } else { Some(batch) };
            }
            queue = match age {
                None => self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(age) => {
                    let waited =
                        self.changed.wait_timeout(queue, Self::BATCH_TIME.saturating_sub(age));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, line: Line) {
        if self.is_closed {
            return;
        }
        self.since.get_or_insert_with(Instant::now);
        self.bytes += line.cost();
        self.lines.push_back(line);
        while self.bytes > Log::MAX_BYTES
            && let Some(oldest) = self.lines.pop_front()
        {
            self.bytes -= oldest.cost();
            self.dropped += 1;
        }
    }

    /// The oldest lines, as many as are sent at once.
    fn take(&mut self) -> VecDeque<Line> {
        let mut batch = VecDeque::new();
        if self.dropped > 0 {
            let text = format!(
                "warren-runner: {} lines are missing here: Warren was away, and the buffer was full",
                self.dropped
            );
            let at = self.lines.front().map_or_else(clock::now, |line| line.at);
            batch.push_back(Line { at, stream: Stream::Err, text });
            self.dropped = 0;
        }
        let mut bytes = 0;
        while let Some(line) = self.lines.pop_front() {
            bytes += line.cost();
            self.bytes -= line.cost();
            batch.push_back(line);
            if bytes >= Log::BATCH_BYTES {
                break;
            }
        }
        self.since = (!self.lines.is_empty()).then(Instant::now);
        batch
    }
}

/// Sends a batch until it is kept; the number of the line after it.
///
/// The batch keeps its numbers across attempts: what was kept by an attempt whose answer was lost
/// is known to Warren by its number, and not kept twice.
fn send(
    endpoint: &Endpoint,
    patience: &Patience,
    first: u64,
    mut batch: VecDeque<Line>,
) -> Result<u64, CallError> {
    let mut first = first;
    loop {
        let body = encode(first, &batch);
        match patience.persist(|| endpoint.logs(&body)) {
            Err(CallError::Gap { next }) if next != first => {
                // Warren knows more than was confirmed, or, restored from a copy, less.
                for _ in first..next {
                    batch.pop_front();
                }
                first = next;
                if batch.is_empty() {
                    return Ok(next);
                }
            }
            outcome => return outcome,
        }
    }
}

fn encode(first: u64, batch: &VecDeque<Line>) -> Vec<u8> {
    let mut body = Vec::with_capacity(Log::BATCH_BYTES);
    for (n, line) in (first..).zip(batch) {
        let t = clock::rfc3339(line.at);
        let numbered = Numbered { n, t: &t, s: line.stream, l: &line.text };
        serde_json::to_writer(&mut body, &numbered).expect("texts and numbers are always JSON");
        body.push(b'\n');
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(batch: &VecDeque<Line>) -> Vec<&str> {
        batch.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn a_full_buffer_gives_up_the_oldest_lines_and_says_how_many() {
        let log = Log::default();
        let line = "x".repeat(1 << 20);
        for number in 0..10 {
            log.push(Stream::Out, format!("{number}{line}"));
        }
        assert!(log.lock().bytes <= Log::MAX_BYTES);
        let batch = log.take().expect("lines are waiting");
        let texts = texts(&batch);
        assert!(texts[0].starts_with("warren-runner: 3 lines are missing"), "{}", texts[0]);
        assert!(texts[1].starts_with('3'));
        let batch = log.take().expect("lines are waiting");
        assert!(batch[0].text.starts_with('4'), "the gap is told once");
    }

    #[test]
    fn a_closed_log_hands_out_what_it_has_and_takes_no_more() {
        let log = Log::default();
        log.push(Stream::Out, "last".to_owned());
        log.close();
        log.push(Stream::Out, "too late".to_owned());
        assert_eq!(texts(&log.take().expect("a line is waiting")), ["last"]);
        assert!(log.take().is_none());
    }

    #[test]
    fn a_batch_is_one_numbered_object_per_line() {
        let at = std::time::UNIX_EPOCH;
        let line = |text: &str| Line { at, stream: Stream::Err, text: text.to_owned() };
        let body = encode(7, &VecDeque::from([line("a\"\u{1}"), line("b")]));
        let expected = "{\"n\":7,\"t\":\"1970-01-01T00:00:00.000Z\",\"s\":\"err\",\"l\":\"a\\\"\\u0001\"}\n\
                        {\"n\":8,\"t\":\"1970-01-01T00:00:00.000Z\",\"s\":\"err\",\"l\":\"b\"}\n";
        assert_eq!(String::from_utf8_lossy(&body), expected);
    }
}
