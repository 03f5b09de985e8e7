//! The agent's output on its way to Warren: bounded, in order, each line once.

mod queue;
mod spill;

use crate::{
    clock,
    endpoint::CallError,
    lines::{Part, Splitter},
};
use queue::{Bounds, Queue};
use spill::Spill;
use std::{
    io::Write as _,
    path::Path,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Where a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// Lines that wait to be sent.
#[derive(Debug)]
pub(crate) struct Log {
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// Lines that were written to one stream at one time, in the form in which they are sent, but without
/// their numbers: `"t":TIME,"s":STREAM,"l":TEXT}` and a line feed, for pieces with a `"p"` before its end.
#[derive(Debug)]
struct Written {
    stream: Stream,
    /// RFC 3339.
    at: String,
    lines: Vec<u8>,
}

impl Written {
    fn now(stream: Stream) -> Self {
        Self { stream, at: clock::rfc3339(clock::now()), lines: Vec::new() }
    }

    fn add(&mut self, part: Part, text: &str) {
        let stream = match self.stream {
            Stream::Out => "out",
            Stream::Err => "err",
        };
        for word in [r#""t":""#, self.at.as_str(), r#"","s":""#, stream, r#"","l":"#] {
            self.lines.extend_from_slice(word.as_bytes());
        }
        serde_json::to_writer(&mut self.lines, text).expect("a text is always JSON");
        self.lines.extend_from_slice(Self::end(part));
        self.lines.push(b'\n');
    }

    /// How the object of a line ends.
    const fn end(part: Part) -> &'static [u8] {
        match part {
            Part::Whole => b"}",
            Part::First => br#","p":"first"}"#,
            Part::Middle => br#","p":"middle"}"#,
            Part::Last => br#","p":"last"}"#,
        }
    }
}

impl Log {
    /// The bounds, in bytes. A batch is within what the run endpoint takes as one body.
    const BOUNDS: Bounds = Bounds { memory: 4 << 20, disk: 256 << 20, batch: 1 << 20 };
    /// How long the first line of a batch waits for company: what a program writes at once goes at once.
    const COMPANY: Duration = Duration::from_millis(5);
    /// The shortest time between two batches that are not full.
    const BATCH_TIME: Duration = Duration::from_millis(50);

    /// A log that keeps in a file in `folder` what does not fit into memory while Warren is away.
    pub(crate) fn new(folder: &Path) -> Self {
        Self::bounded(folder, Self::BOUNDS)
    }

    fn bounded(folder: &Path, bounds: Bounds) -> Self {
        let spill = Spill::new(folder, bounds.disk);
        if let Some(trouble) = spill.trouble() {
            eprintln!("warren-runner: the log is buffered in memory only: {trouble}");
        }
        Self { queue: Mutex::new(Queue::new(bounds, spill)), changed: Condvar::new() }
    }

    /// Adds the lines that `bytes` complete.
    pub(crate) fn write(&self, stream: Stream, splitter: &mut Splitter, bytes: &[u8]) {
        let mut written = Written::now(stream);
        splitter.feed(bytes, |part, text| written.add(part, text));
        self.push(&written);
    }

    /// Adds a line whose end will not come.
    pub(crate) fn finish(&self, stream: Stream, splitter: &mut Splitter) {
        let mut written = Written::now(stream);
        splitter.finish(|part, text| written.add(part, text));
        self.push(&written);
    }

    /// Adds a line of the runner itself, and shows it in the pod's log.
    pub(crate) fn note(&self, text: &str) {
        eprintln!("warren-runner: {text}");
        let mut written = Written::now(Stream::Err);
        written.add(Part::Whole, &format!("warren-runner: {text}"));
        self.push(&written);
    }

    /// Takes no more lines; what waits is sent at once.
    pub(crate) fn close(&self) {
        self.lock().close();
        self.changed.notify_all();
    }

    /// Sends lines with `call`, which is as patient as it should be, until the log is closed and empty,
    /// or there is no point in trying; the number of the last line.
    pub(crate) fn send_all(&self, mut call: impl FnMut(&[u8]) -> Result<u64, CallError>) -> u64 {
        let mut next = 1;
        let mut not_before = Instant::now();
        while let Some(batch) = self.take(not_before) {
            not_before = Instant::now() + Self::BATCH_TIME;
            match send(&mut call, next, batch) {
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

    fn push(&self, written: &Written) {
        self.lock().push(written);
        self.changed.notify_all();
    }

    /// Waits for a batch, which is not sent before that time unless it is full; nothing after the last one.
    fn take(&self, not_before: Instant) -> Option<Vec<u8>> {
        let mut queue = self.lock();
        loop {
            let due = queue.since().map(|since| (since + Self::COMPANY).max(not_before));
            let left = due.map(|due| due.saturating_duration_since(Instant::now()));
            if queue.is_due() || left == Some(Duration::ZERO) {
                let batch = queue.take();
                return if batch.is_empty() { None } else { Some(batch) };
            }
            queue = match left {
                None => self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    let waited = self.changed.wait_timeout(queue, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a batch until it is kept; the number of the line after it.
///
/// The batch keeps its numbers across attempts: what was kept by an attempt whose answer was lost
/// is known to Warren by its number, and not kept twice.
fn send(
    mut call: impl FnMut(&[u8]) -> Result<u64, CallError>,
    first: u64,
    mut batch: Vec<u8>,
) -> Result<u64, CallError> {
    let mut first = first;
    loop {
        match call(&numbered(first, &batch)) {
            Err(CallError::Gap { next }) if next > first => {
                // Warren knows more than was confirmed.
                let known = usize::try_from(next - first).unwrap_or(usize::MAX);
                let lines = batch.split_inclusive(|byte| *byte == b'\n');
                let bytes: usize = lines.take(known).map(<[u8]>::len).sum();
                batch.drain(..bytes);
                first = next;
                if batch.is_empty() {
                    return Ok(next);
                }
            }
            Err(CallError::Gap { next }) if next < first => {
                // Warren knows less than it has confirmed: it was restored from a copy.
                let mut gap = Written::now(Stream::Err);
                let text = format!("Warren has lost {} lines that were here", first - next);
                gap.add(Part::Whole, &format!("warren-runner: {text}"));
                gap.lines.append(&mut batch);
                (first, batch) = (next, gap.lines);
            }
            outcome => return outcome,
        }
    }
}

/// As one object per line, numbered from `first`.
fn numbered(first: u64, batch: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(Log::BOUNDS.batch);
    for (number, line) in (first..).zip(batch.split_inclusive(|byte| *byte == b'\n')) {
        write!(body, "{{\"n\":{number},").expect("writing to memory cannot fail");
        body.extend_from_slice(line);
    }
    body
}

/// How many lines these are.
fn count(lines: &[u8]) -> u64 {
    lines.split_inclusive(|byte| *byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests;
