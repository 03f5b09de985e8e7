//! The agent's output on its way to Warren: bounded, in order, each line once.

mod queue;
mod spill;

use crate::{
    clock,
    endpoint::{CallError, Kept},
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

/// How lines of the runner itself begin.
const OWN: &str = "warren-runner: ";

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
        written.add(Part::Whole, &format!("{OWN}{text}"));
        let mut queue = self.lock();
        if queue.is_full() {
            queue.push_last_word(&written);
        } else {
            queue.push(&written);
        }
        self.changed.notify_all();
    }

    /// How many lines were given up so far.
    pub(crate) fn missing_lines(&self) -> u64 {
        self.lock().missing_lines()
    }

    /// Takes no more lines; what waits is sent at once.
    pub(crate) fn close(&self) {
        self.lock().close();
        self.changed.notify_all();
    }

    /// Sends lines with `call`, which is told whether they are last words and is as patient as it should be, until the log is closed and empty,
    /// or there is no point in trying; the number of the last line.
    pub(crate) fn send_all(
        &self,
        mut call: impl FnMut(&[u8], bool) -> Result<Kept, CallError>,
    ) -> u64 {
        let mut next = 1;
        let mut not_before = Instant::now();
        while let Some(batch) = self.take(not_before) {
            not_before = Instant::now() + Self::BATCH_TIME;
            let was_full = self.lock().is_full();
            match send(&mut call, next, batch, was_full) {
                Ok(sent) => {
                    next = sent.next;
                    if sent.is_full {
                        self.lock().fill(&sent.refused);
                    }
                }
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

/// A batch that was sent.
struct Sent {
    /// The number of the line after what is kept of it.
    next: u64,
    is_full: bool,
    /// The lines for which there was no room, and the one whose place was taken by the line that says so.
    refused: Vec<u8>,
}

/// Sends a batch until it is kept, as far as there is room.
///
/// The batch keeps its numbers across attempts: what was kept by an attempt whose answer was lost
/// is known to Warren by its number, and not kept twice.
fn send(
    mut call: impl FnMut(&[u8], bool) -> Result<Kept, CallError>,
    first: u64,
    mut batch: Vec<u8>,
    was_full: bool,
) -> Result<Sent, CallError> {
    let mut first = first;
    loop {
        match call(&numbered(first, &batch), was_full) {
            Ok(Kept { next, full }) => {
                let replaced = u64::from(full && !was_full);
                let kept = next.saturating_sub(first).saturating_sub(replaced);
                batch.drain(..end_of(&batch, if full { kept } else { u64::MAX }));
                return Ok(Sent { next, is_full: full, refused: batch });
            }
            Err(CallError::Gap { next }) if next > first => {
                // Warren knows more than was confirmed.
                batch.drain(..end_of(&batch, next - first));
                first = next;
                if batch.is_empty() {
                    return Ok(Sent { next, is_full: was_full, refused: batch });
                }
            }
            Err(CallError::Gap { next }) if next < first => {
                // Warren knows less than it has confirmed: it was restored from a copy.
                let mut gap = Written::now(Stream::Err);
                let text = format!("Warren has lost {} lines that were here", first - next);
                gap.add(Part::Whole, &format!("{OWN}{text}"));
                gap.lines.append(&mut batch);
                (first, batch) = (next, gap.lines);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Where so many lines end, or all of them if there are not so many.
fn end_of(lines: &[u8], count: u64) -> usize {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    lines.split_inclusive(|byte| *byte == b'\n').take(count).map(<[u8]>::len).sum()
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
