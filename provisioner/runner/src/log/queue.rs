//! Lines that wait to be sent: in memory, then in a file, and beyond that counted.

use super::{OWN, Stream, Written, count, spill::Spill};
use crate::{clock, lines::Part};
use std::{collections::VecDeque, mem, time::Instant};

/// What may wait, in bytes as it is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) memory: usize,
    pub(super) disk: u64,
    /// What is sent at once, numbers included.
    pub(super) batch: usize,
}

/// What `{"n":NUMBER,` adds to a line, at most.
const NUMBER_BYTES: usize = 26;

/// What of the runner's own lines waits when Warren has no room for the agent's; it takes a little more.
const LAST_WORDS_BYTES: usize = 32 << 10;

/// Lines without their numbers, the oldest first.
#[derive(Debug)]
pub(super) struct Queue {
    bounds: Bounds,
    /// Older than what is in the file.
    memory: VecDeque<u8>,
    spill: Spill,
    /// When the oldest waiting line came.
    since: Option<Instant>,
    /// Lines after all of these that were given up.
    missing: Option<Missing>,
    /// For each stream whether its current line has lost a piece: the rest of it is given up too.
    is_cut: [bool; 2],
    /// Nothing more will come.
    is_closed: bool,
    /// Warren has no room for more of the agent's lines.
    is_full: bool,
    /// Lines that were given up, whether that was told or not.
    missing_lines: u64,
}

#[derive(Debug)]
struct Missing {
    lines: u64,
    /// When the first of them was written.
    at: String,
    /// What else than too many lines was the matter.
    trouble: Option<String>,
}

impl Queue {
    pub(super) const fn new(bounds: Bounds, spill: Spill) -> Self {
        Self {
            bounds,
            memory: VecDeque::new(),
            spill,
            since: None,
            missing: None,
            is_cut: [false; 2],
            is_closed: false,
            is_full: false,
            missing_lines: 0,
        }
    }

    /// Whether Warren has no room for more of the agent's lines.
    pub(super) const fn is_full(&self) -> bool {
        self.is_full
    }

    /// How many lines were given up, whether that was told or not.
    pub(super) const fn missing_lines(&self) -> u64 {
        self.missing_lines
    }

    /// Warren has no room for more of the agent's lines and has refused these: gives up what waits, and
    /// from now on counts what comes. What the runner itself has to say is still sent.
    pub(super) fn fill(&mut self, refused: &[u8]) {
        if mem::replace(&mut self.is_full, true) {
            // Last words, and that they are missing would be refused, too.
            self.missing_lines += count(refused);
            return;
        }
        let mut words = LastWords::default();
        self.miss(words.pick(refused), now());
        self.memory.make_contiguous();
        let lost = words.pick(self.memory.as_slices().0);
        self.miss(lost, now());
        while !self.spill.is_empty() {
            let lost = match self.spill.peek(self.bounds.batch) {
                Ok(bytes) => {
                    let end = bytes.iter().rposition(|byte| *byte == b'\n');
                    let lines = &bytes[..end.map_or(bytes.len(), |end| end + 1)];
                    self.spill.forget(lines.len() as u64, count(lines));
                    words.pick(lines)
                }
                Err(error) => self.spill.lose(&error),
            };
            self.miss(lost, now());
        }
        self.spill.renew();
        self.miss(words.lost, now());
        self.memory = words.lines;
        self.since = (!self.memory.is_empty()).then(Instant::now);
    }

    /// Adds a line of the runner itself to what is sent although Warren has no room for the agent's.
    pub(super) fn push_last_word(&mut self, written: &Written) {
        if self.is_closed || self.memory.len() + written.lines.len() > LAST_WORDS_BYTES {
            self.miss(count(&written.lines), written.at.clone());
            return;
        }
        self.memory.extend(&written.lines);
        self.since.get_or_insert_with(Instant::now);
    }

    /// Adds lines as far as there is room, and counts the others. What was given up is told, in its place,
    /// when there is room for more than that.
    pub(super) fn push(&mut self, written: &Written) {
        if self.is_closed || written.lines.is_empty() {
            return;
        }
        if self.is_full {
            self.miss(count(&written.lines), written.at.clone());
            return;
        }
        self.since.get_or_insert_with(Instant::now);
        let lines = self.without_rest(written);
        if lines.is_empty() {
            return;
        }
        if self.missing.is_some() && !self.tell_missing() {
            self.give_up(written, lines);
            return;
        }
        let kept = self.keep(lines);
        if kept < lines.len() {
            self.give_up(written, &lines[kept..]);
        }
    }

    /// Takes the oldest lines, as many as are sent at once.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let mut budget = self.bounds.batch;
        let memory = self.memory.make_contiguous();
        let (end, _) = affordable(memory, &mut budget);
        let mut batch = memory[..end].to_vec();
        self.memory.drain(..end);
        if self.memory.is_empty() && !self.spill.is_empty() {
            match self.spill.peek(budget) {
                Ok(bytes) => {
                    let (end, lines) = affordable(&bytes, &mut budget);
                    batch.extend_from_slice(&bytes[..end]);
                    self.spill.forget(end as u64, lines);
                }
                Err(error) => {
                    let lines = self.spill.lose(&error);
                    self.miss(lines, now());
                }
            }
        }
        // Of a full log it is told at the end, how many there were in all.
        if self.is_empty() && (self.is_closed || !self.is_full) {
            self.spill.renew();
            if let Some(missing) = self.missing.take() {
                batch.extend_from_slice(&missing.line(self.is_full));
            }
        }
        self.since = (!self.is_empty()).then(Instant::now);
        batch
    }

    /// Takes nothing more.
    pub(super) const fn close(&mut self) {
        self.is_closed = true;
    }

    /// When the oldest waiting line came.
    pub(super) const fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Whether there is no point in waiting for more.
    pub(super) fn is_due(&self) -> bool {
        self.is_closed || !self.spill.is_empty() || self.memory.len() >= self.bounds.batch
    }

    fn is_empty(&self) -> bool {
        self.memory.is_empty() && self.spill.is_empty()
    }

    /// Keeps whole lines as far as there is room, in memory only if the file has none, whose lines would
    /// be older; how many bytes that were.
    fn keep(&mut self, lines: &[u8]) -> usize {
        let mut kept = 0;
        if self.spill.is_empty() {
            kept = whole_lines(lines, self.bounds.memory.saturating_sub(self.memory.len()));
            self.memory.extend(&lines[..kept]);
        }
        let rest = &lines[kept..];
        let room = usize::try_from(self.spill.room()).unwrap_or(usize::MAX);
        let fits = &rest[..whole_lines(rest, room)];
        if !fits.is_empty() && self.spill.add(fits, count(fits)) {
            kept += fits.len();
        }
        kept
    }

    /// Whether the place where lines are missing could be told. There has to be room for a batch after it,
    /// so that it is not told again and again.
    fn tell_missing(&mut self) -> bool {
        let memory = self.bounds.memory.saturating_sub(self.memory.len()) as u64;
        let room = self.spill.room() + if self.spill.is_empty() { memory } else { 0 };
        let all = self.bounds.disk + self.bounds.memory as u64;
        if room < (self.bounds.batch as u64).min(all / 4) {
            return false;
        }
        let Some(line) = self.missing.as_ref().map(|missing| missing.line(false)) else {
            return true;
        };
        let is_told = self.keep(&line) == line.len();
        if is_told {
            self.missing = None;
        }
        is_told
    }

    /// The lines without the rest of one that has lost a piece.
    fn without_rest<'a>(&mut self, written: &'a Written) -> &'a [u8] {
        let stream = written.stream as usize;
        let mut rest = &written.lines[..];
        let mut lost = 0;
        while self.is_cut[stream]
            && let Some(end) = rest.iter().position(|byte| *byte == b'\n')
        {
            match part(&rest[..end]) {
                Part::Whole | Part::First => self.is_cut[stream] = false,
                part @ (Part::Middle | Part::Last) => {
                    self.is_cut[stream] = part == Part::Middle;
                    lost += 1;
                    rest = &rest[end + 1..];
                }
            }
        }
        if lost > 0 {
            self.miss(lost, written.at.clone());
        }
        rest
    }

    fn give_up(&mut self, written: &Written, lines: &[u8]) {
        let mut last = lines.rsplit(|byte| *byte == b'\n').skip(1);
        let last = last.next().map_or(Part::Whole, part);
        self.is_cut[written.stream as usize] = matches!(last, Part::First | Part::Middle);
        self.miss(count(lines), written.at.clone());
    }

    fn miss(&mut self, lines: u64, at: String) {
        if lines == 0 {
            return;
        }
        self.missing_lines += lines;
        let missing = self.missing.get_or_insert(Missing { lines: 0, at, trouble: None });
        missing.lines += lines;
        if let Some(trouble) = self.spill.trouble() {
            missing.trouble = Some(trouble.to_owned());
        }
    }
}

impl Missing {
    /// The line that stands for them.
    fn line(&self, is_full: bool) -> Vec<u8> {
        let Self { lines, at, trouble } = self;
        let lines = if *lines == 1 { "1 line is".to_owned() } else { format!("{lines} lines are") };
        let reason = match trouble {
            _ if is_full => "the log of the session is full".to_owned(),
            None => "Warren did not take them in time, and the buffer was full".to_owned(),
            Some(trouble) => format!(
                "Warren did not take them in time, and the buffer on disk cannot be used: {trouble}"
            ),
        };
        let mut line = Written { stream: Stream::Err, at: at.clone(), lines: Vec::new() };
        line.add(Part::Whole, &format!("{OWN}{lines} missing here: {reason}"));
        mem::take(&mut line.lines)
    }
}

/// Lines of the runner itself, of which the last are kept.
#[derive(Default)]
struct LastWords {
    lines: VecDeque<u8>,
    /// How many of them were too many.
    lost: u64,
}

impl LastWords {
    /// Takes those that are among `lines`; how many lines are others.
    fn pick(&mut self, lines: &[u8]) -> u64 {
        let mark = format!(r#","s":"err","l":"{OWN}"#);
        // What stands before it is the time, which has no such word in it.
        let is_own = |line: &[u8]| {
            let comma = line.iter().position(|byte| *byte == b',');
            comma.is_some_and(|comma| line[comma..].starts_with(mark.as_bytes()))
        };
        let mut others = 0;
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if is_own(line) {
                self.lines.extend(line);
            } else {
                others += 1;
            }
        }
        while self.lines.len() > LAST_WORDS_BYTES {
            let end = self.lines.iter().position(|byte| *byte == b'\n');
            self.lines.drain(..end.map_or(self.lines.len(), |end| end + 1));
            self.lost += 1;
        }
        others
    }
}

fn now() -> String {
    clock::rfc3339(clock::now())
}

/// The end of the last line of at most `bytes` bytes.
fn whole_lines(lines: &[u8], bytes: usize) -> usize {
    if lines.len() <= bytes {
        return lines.len();
    }
    lines[..bytes].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

/// How many bytes, and lines, the budget allows for when each line has its number.
fn affordable(lines: &[u8], budget: &mut usize) -> (usize, u64) {
    let (mut end, mut count) = (0, 0);
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let cost = line.len() + NUMBER_BYTES;
        if cost > *budget || !line.ends_with(b"\n") {
            break;
        }
        *budget -= cost;
        end += line.len();
        count += 1;
    }
    (end, count)
}

/// What a line that waits is of its line. No text can look like the end of the object.
fn part(line: &[u8]) -> Part {
    [Part::First, Part::Middle, Part::Last]
        .into_iter()
        .find(|part| line.ends_with(Written::end(*part)))
        .unwrap_or(Part::Whole)
}

#[cfg(test)]
mod tests;
