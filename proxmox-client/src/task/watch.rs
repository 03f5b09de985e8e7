//! Watches a task by asking again and again: the API has no other way.

use super::{Progress, Task, TaskEnd, TaskEvent, TaskLine, TaskLog, TaskStatus};
use crate::{Error, Repeat, Timing, Upid};
use futures::{Stream, future::BoxFuture, stream};
use std::{collections::VecDeque, time::Duration};
use tokio::time::{Instant, sleep, timeout_at};

/// The end of a task is seen this part of its length too late at most: others may wait for it.
const LATE: u32 = 8;

/// Where a task's state comes from.
pub(super) trait Source: Send + Sync + 'static {
    fn status(&self) -> BoxFuture<'_, Result<TaskStatus, Error>>;
    fn log(&self, start: u64) -> BoxFuture<'_, Result<TaskLog, Error>>;
}

impl Source for Task {
    fn status(&self) -> BoxFuture<'_, Result<TaskStatus, Error>> {
        Box::pin(Task::status(self))
    }

    fn log(&self, start: u64) -> BoxFuture<'_, Result<TaskLog, Error>> {
        Box::pin(Task::log(self, start))
    }
}

/// A task that is watched.
pub(super) struct Watch<S> {
    source: S,
    upid: Upid,
    events: VecDeque<TaskEvent>,
    is_over: bool,
    reads_log: bool,
    /// The line that comes next.
    line: u64,
    pause: Duration,
    soonest: Duration,
    slowest: Duration,
    began: Instant,
    ends: Instant,
    /// Why the last look failed, if it did.
    trouble: Option<Error>,
}

impl<S: Source> Watch<S> {
    pub(super) fn new(
        source: S,
        upid: Upid,
        timing: &Timing,
        deadline: Duration,
        reads_log: bool,
    ) -> Self {
        let began = Instant::now();
        Self {
            source,
            upid,
            events: VecDeque::new(),
            is_over: false,
            reads_log,
            line: 0,
            pause: timing.first_look,
            soonest: timing.first_look / 2,
            slowest: timing.slowest_look,
            began,
            ends: began + deadline,
            trouble: None,
        }
    }

    pub(super) fn events(self) -> impl Stream<Item = Result<TaskEvent, Error>> + Send {
        stream::unfold(self, |mut watch| async move {
            let event = watch.next().await?;
            Some((event, watch))
        })
    }

    async fn next(&mut self) -> Option<Result<TaskEvent, Error>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(Ok(event));
            }
            if self.is_over {
                return None;
            }
            if let Err(error) = self.look().await {
                self.is_over = true;
                return Some(Err(error));
            }
        }
    }

    /// Waits a little and looks at the task.
    async fn look(&mut self) -> Result<(), Error> {
        let left = self.ends.saturating_duration_since(Instant::now());
        sleep(self.pause.min(left)).await;
        self.pause = (self.began.elapsed() / LATE).clamp(self.soonest, self.slowest);
        let is_last = Instant::now() >= self.ends;
        let patience = if is_last { Instant::now() + self.slowest } else { self.ends };
        match timeout_at(patience, self.source.status()).await {
            Ok(Ok(TaskStatus { end })) => {
                self.trouble = None;
                self.read_log(patience).await;
                if let Some(end) = end {
                    self.end(end);
                    return Ok(());
                }
            }
            Ok(Err(error)) if error.repeat() == Repeat::Later => self.trouble = Some(error),
            Ok(Err(error)) => return Err(error),
            Err(_) => {}
        }
        if !is_last {
            return Ok(());
        }
        Err(Error::StillRunning {
            upid: Box::new(self.upid.clone()),
            waited: self.began.elapsed(),
            source: self.trouble.take().map(Box::new),
        })
    }

    /// Reads what is new in the log. That it cannot be read is no fault of the task.
    async fn read_log(&mut self, patience: Instant) {
        while self.reads_log {
            match timeout_at(patience, self.source.log(self.line)).await {
                Ok(Ok(log)) if !log.lines.is_empty() => self.take_lines(log),
                Ok(Ok(_)) | Err(_) => return,
                Ok(Err(error)) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(upid = %self.upid, error, "the log of a task cannot be read");
                    return;
                }
            }
        }
    }

    fn take_lines(&mut self, log: TaskLog) {
        for line in log.lines {
            self.line = self.line.max(line.number);
            let TaskLine { text, .. } = &line;
            let event = Progress::read(text).map_or(TaskEvent::Line(line), TaskEvent::Progress);
            self.events.push_back(event);
        }
    }

    fn end(&mut self, end: TaskEnd) {
        self.events.push_back(TaskEvent::Ended(end));
        self.is_over = true;
    }
}

#[cfg(test)]
mod tests;
