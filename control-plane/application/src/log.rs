//! A session's log: numbered lines, the same address while it runs and for ever after. The lines of its
//! runs follow one another and are numbered through.

use crate::{
    App,
    blobs::{BlobError, BlobPath},
    error::FindError,
    session,
    tenant::TenantRef,
};
use domain::{Actor, Kept, ReadSession, Run, SessionId, SessionState};
use futures::{Stream, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use store::{Change, LogSegment, StoreError};
use tokio::sync::broadcast;

mod plain;
pub mod segment;

pub use plain::PlainText;

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogStream {
    /// Standard output.
    #[serde(rename = "out")]
    Out,
    /// Standard error.
    #[serde(rename = "err")]
    Err,
}

/// What a piece is of its line: runners cut lines of more than 16 KiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinePart {
    /// All of it.
    #[default]
    Whole,
    /// The first of several pieces.
    First,
    /// Neither the first nor the last.
    Middle,
    /// The last of several pieces.
    Last,
}

impl LinePart {
    /// Whether it is all of its line.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        matches!(self, Self::Whole)
    }
}

/// One line of a log, in the form in which runners send it and segments keep it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its number; the first line of a run is 1.
    #[serde(rename = "n")]
    pub number: u64,
    /// When it was written.
    #[serde(rename = "t")]
    pub at: Timestamp,
    /// Where it was written to.
    #[serde(rename = "s")]
    pub stream: LogStream,
    /// Its text, without the line feed.
    #[serde(rename = "l")]
    pub text: String,
    /// What it is of a line that was too long for one piece. Earlier releases did not say it.
    #[serde(rename = "p", default, skip_serializing_if = "LinePart::is_whole")]
    pub part: LinePart,
}

/// Which lines a reader wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogQuery {
    /// The first line.
    pub start: Start,
    /// Only those of one stream.
    pub stream: Option<LogStream>,
    /// Only those that were written then or later.
    pub since: Option<Timestamp>,
    /// Only those with this text in them, in the same case.
    pub search: Option<String>,
    /// Whether to wait for more until the session is over.
    pub is_following: bool,
}

/// Where a reader starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At a line number.
    From(u64),
    /// So many lines before the present end.
    Tail(u64),
}

/// What a reader gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEvent {
    /// A line.
    Line(LogLine),
    /// There are no more lines, and there never will be.
    End {
        /// How the session ended.
        state: SessionState,
    },
}

/// Why reading broke off. A reader goes on at the number after its last line.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The record did not answer.
    #[error("read the record")]
    Store(#[from] StoreError),
    /// The object store failed.
    #[error("read the log")]
    Blob(#[from] BlobError),
    /// The record knows of a segment that is not there, or not in its form.
    #[error("the log segment {path} is damaged")]
    Damaged {
        /// Its path.
        path: String,
    },
    /// The session went away, or its log was removed.
    #[error("the log of the session is gone")]
    Gone,
}

/// Reads the log of a session's run: what is there, and on request what is still to come.
///
/// Without `is_following`, [`LogEvent::End`] comes only if the session is over.
///
/// # Errors
/// If the session cannot be found, or the time of its log is over; the stream ends after its first error.
pub async fn read(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    session: SessionId,
    query: LogQuery,
) -> Result<impl Stream<Item = Result<LogEvent, LogError>> + Send + use<>, FindError> {
    // Before the first look, so that nothing is missed between looking and waiting.
    let changes = app.store.changes();
    let found = session::find::<ReadSession>(app, actor, tenant, session).await?;
    found.still_keeps(app, Kept::Log).await?;
    let reader = Reader {
        app: app.clone(),
        session: found.session.id,
        query,
        next: None,
        segments: VecDeque::new(),
        lines: VecDeque::new(),
        state: ReaderState::Looking,
        changes,
    };
    Ok(stream::try_unfold(reader, |mut reader| async move {
        let event = reader.next_event().await?;
        Ok(event.map(|event| (event, reader)))
    }))
}

#[derive(Debug)]
struct Reader {
    app: App,
    session: SessionId,
    query: LogQuery,
    /// The number of the next line; nothing before a run and the start are known.
    next: Option<u64>,
    /// Known and not yet read.
    segments: VecDeque<Part>,
    /// Read and not yet handed out.
    lines: VecDeque<LogLine>,
    state: ReaderState,
    changes: broadcast::Receiver<Change>,
}

/// A segment in the log of the session.
#[derive(Debug)]
struct Part {
    /// How many lines earlier runs have.
    before: u64,
    segment: LogSegment,
}

impl Part {
    /// The number after its last line.
    const fn end(&self) -> u64 {
        self.before + self.segment.first + self.segment.lines
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReaderState {
    /// There may be more in the record.
    Looking,
    /// All is read, and the session was over before the last look.
    Over(SessionState),
    /// Everything was handed out.
    Done,
}

impl Reader {
    async fn next_event(&mut self) -> Result<Option<LogEvent>, LogError> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Ok(Some(LogEvent::Line(line)));
            }
            if let Some(part) = self.segments.pop_front() {
                self.read_part(&part).await?;
                continue;
            }
            match self.state {
                ReaderState::Done => return Ok(None),
                ReaderState::Over(state) => {
                    self.state = ReaderState::Done;
                    return Ok(Some(LogEvent::End { state }));
                }
                ReaderState::Looking => self.look().await?,
            }
        }
    }

    /// Looks for new segments; waits if there are none and more may come.
    async fn look(&mut self) -> Result<(), LogError> {
        // The state first: what was appended before the session was over is then seen below.
        let session = self.app.store.session_get(self.session).await?.ok_or(LogError::Gone)?;
        let runs = self.app.store.runs_of_session(self.session).await?;
        let from = self.start(&runs).await?;
        self.segments = self.parts(&runs, from).await?.into();
        if session.log_removed_at.is_some() {
            return Err(LogError::Gone);
        }
        if !self.segments.is_empty() {
            if !self.query.is_following && !session.state.is_final() {
                self.state = ReaderState::Done;
            }
        } else if session.state.is_final() {
            self.state = ReaderState::Over(session.state);
        } else if self.query.is_following {
            self.wait(&runs).await;
        } else {
            self.state = ReaderState::Done;
        }
        Ok(())
    }

    /// The segments of all runs that hold line `from` and later ones, in order.
    async fn parts(&self, runs: &[Run], from: u64) -> Result<Vec<Part>, LogError> {
        let mut parts = Vec::new();
        for run in runs.iter().filter(|run| run.log_lines() >= from) {
            let before = run.lines_before;
            let own = from.saturating_sub(before).max(1);
            let segments = self.app.store.log_segments(run.id, own).await?;
            parts.extend(segments.into_iter().map(|segment| Part { before, segment }));
        }
        Ok(parts)
    }

    async fn wait(&mut self, runs: &[Run]) {
        loop {
            match self.changes.recv().await {
                Ok(Change::Log(of)) if runs.last().is_some_and(|run| run.id == of) => return,
                Ok(Change::Session { session, .. }) if session == self.session => return,
                Ok(_) => {}
                // Too many at once, or the store is closing: look again, the record knows.
                Err(_) => return,
            }
        }
    }

    async fn start(&mut self, runs: &[Run]) -> Result<u64, LogError> {
        if let Some(next) = self.next {
            return Ok(next);
        }
        let start = match self.query.start {
            Start::From(number) => number.max(1),
            Start::Tail(count) => self.tail(runs, count).await?,
        };
        if !runs.is_empty() {
            self.next = Some(start);
        }
        Ok(start)
    }

    /// The number of the `count`-th matching line before the end.
    async fn tail(&self, runs: &[Run], count: u64) -> Result<u64, LogError> {
        let parts = self.parts(runs, 1).await?;
        let (mut missing, mut start) = (count, parts.last().map_or(1, Part::end));
        for part in parts.iter().rev() {
            for line in self.load(part).await?.into_iter().rev() {
                if missing == 0 {
                    return Ok(start);
                }
                if self.is_wanted(&line) {
                    (missing, start) = (missing - 1, line.number);
                }
            }
        }
        Ok(start)
    }

    async fn read_part(&mut self, part: &Part) -> Result<(), LogError> {
        let next = self.next.unwrap_or(1);
        let lines = self.load(part).await?;
        let lines = lines.into_iter().filter(|line| line.number >= next && self.is_wanted(line));
        self.lines = lines.collect();
        self.next = Some(next.max(part.end()));
        Ok(())
    }

    /// The lines of a segment, as the session counts them.
    async fn load(&self, part: &Part) -> Result<Vec<LogLine>, LogError> {
        let lines = load(&self.app, &part.segment).await?;
        let counted = |line: LogLine| LogLine { number: part.before + line.number, ..line };
        Ok(lines.into_iter().map(counted).collect())
    }

    fn is_wanted(&self, line: &LogLine) -> bool {
        let LogQuery { stream, since, search, .. } = &self.query;
        stream.is_none_or(|stream| stream == line.stream)
            && since.is_none_or(|since| line.at >= since)
            && search.as_ref().is_none_or(|text| line.text.contains(text))
    }
}

/// The lines of a segment, as their run counts them.
async fn load(app: &App, segment: &LogSegment) -> Result<Vec<LogLine>, LogError> {
    let damaged = || LogError::Damaged { path: segment.path.clone() };
    let bytes = app.blobs.get(&BlobPath::stored(&segment.path)).await?;
    segment::lines(&segment.path, &bytes.ok_or_else(damaged)?).map_err(|_| damaged())
}

/// The last lines of a run.
pub(crate) async fn last_lines(app: &App, run: &Run, count: u64) -> Result<Vec<LogLine>, LogError> {
    let from = run.next_log_line.saturating_sub(count).max(1);
    let mut lines = Vec::new();
    for segment in app.store.log_segments(run.id, from).await? {
        let part = load(app, &segment).await?;
        lines.extend(part.into_iter().filter(|line| line.number >= from));
    }
    Ok(lines)
}
