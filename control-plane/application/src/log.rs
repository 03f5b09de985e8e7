//! A session's log: numbered lines, the same address while it runs and for ever after.

use crate::{
    App,
    blobs::{BlobError, BlobPath},
    error::FindError,
    session,
    tenant::TenantRef,
};
use domain::{Actor, ReadSession, RunId, SessionId, SessionState};
use futures::{Stream, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use store::{Change, LogSegment, StoreError};
use tokio::sync::broadcast;

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
}

/// Which lines a reader wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogQuery {
    /// The first line.
    pub start: Start,
    /// Only those of one stream.
    pub stream: Option<LogStream>,
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
    /// The session went away.
    #[error("the session is gone")]
    Gone,
}

/// Reads the log of a session's run: what is there, and on request what is still to come.
///
/// Without `is_following`, [`LogEvent::End`] comes only if the session is over.
///
/// # Errors
/// If the session cannot be found; the stream ends after its first error.
pub async fn read(
    app: &App,
    actor: &Actor,
    tenant: &TenantRef,
    session: SessionId,
    query: LogQuery,
) -> Result<impl Stream<Item = Result<LogEvent, LogError>> + Send + use<>, FindError> {
    // Before the first look, so that nothing is missed between looking and waiting.
    let changes = app.store.changes();
    let (session, _) = session::find::<ReadSession>(app, actor, tenant, session).await?;
    let reader = Reader {
        app: app.clone(),
        session: session.id,
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
    /// The number of the next line; nothing before the run and the start are known.
    next: Option<u64>,
    /// Known and not yet read.
    segments: VecDeque<LogSegment>,
    /// Read and not yet handed out.
    lines: VecDeque<LogLine>,
    state: ReaderState,
    changes: broadcast::Receiver<Change>,
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
            if let Some(segment) = self.segments.pop_front() {
                self.read_segment(&segment).await?;
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
        if let Some(run) = session.run {
            let from = self.start(run).await?;
            let segments = self.app.store.log_segments(run, from).await?;
            let is_new = |segment: &LogSegment| segment.first + segment.lines > from;
            self.segments = segments.into_iter().filter(is_new).collect();
        }
        if !self.segments.is_empty() {
            if !self.query.is_following && !session.state.is_final() {
                self.state = ReaderState::Done;
            }
        } else if session.state.is_final() {
            self.state = ReaderState::Over(session.state);
        } else if self.query.is_following {
            self.wait(session.run).await;
        } else {
            self.state = ReaderState::Done;
        }
        Ok(())
    }

    async fn wait(&mut self, run: Option<RunId>) {
        loop {
            match self.changes.recv().await {
                Ok(Change::Log(of)) if Some(of) == run => return,
                Ok(Change::Session { session, .. }) if session == self.session => return,
                Ok(_) => {}
                // Too many at once, or the store is closing: look again, the record knows.
                Err(_) => return,
            }
        }
    }

    async fn start(&mut self, run: RunId) -> Result<u64, LogError> {
        if let Some(next) = self.next {
            return Ok(next);
        }
        let start = match self.query.start {
            Start::From(number) => number.max(1),
            Start::Tail(count) => self.tail(run, count).await?,
        };
        self.next = Some(start);
        Ok(start)
    }

    /// The number of the `count`-th matching line before the end.
    async fn tail(&self, run: RunId, count: u64) -> Result<u64, LogError> {
        let segments = self.app.store.log_segments(run, 1).await?;
        let end = segments.last().map_or(1, |segment| segment.first + segment.lines);
        let (mut missing, mut start) = (count, end);
        for segment in segments.iter().rev() {
            for line in self.load(segment).await?.into_iter().rev() {
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

    async fn read_segment(&mut self, segment: &LogSegment) -> Result<(), LogError> {
        let next = self.next.unwrap_or(1);
        let lines = self.load(segment).await?;
        let lines = lines.into_iter().filter(|line| line.number >= next && self.is_wanted(line));
        self.lines = lines.collect();
        self.next = Some(next.max(segment.first + segment.lines));
        Ok(())
    }

    async fn load(&self, segment: &LogSegment) -> Result<Vec<LogLine>, LogError> {
        let damaged = || LogError::Damaged { path: segment.path.clone() };
        let bytes = self.app.blobs.get(&BlobPath::stored(&segment.path)).await?;
        let bytes = bytes.ok_or_else(damaged)?;
        let lines = serde_json::Deserializer::from_slice(&bytes).into_iter();
        lines.collect::<Result<_, _>>().map_err(|_| damaged())
    }

    fn is_wanted(&self, line: &LogLine) -> bool {
        self.query.stream.is_none_or(|stream| stream == line.stream)
    }
}
