//! Tasks: what a call has begun and how it ends.

mod find;
mod progress;
mod watch;

pub use progress::Progress;

use crate::{
    Client, Error, Fault, Upid, VmId,
    form::Form,
    request::{self, Request},
    scalar,
};
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use serde::Deserialize;
use std::time::Duration;
use watch::Watch;

/// The most lines of a log that are read at once.
const LINES: u64 = 500;

/// A task that has begun. Dropping it does not end it. Cheap to copy.
#[derive(Debug, Clone)]
#[must_use = "that a task has begun does not mean that it ends well"]
pub struct Task {
    client: Client,
    upid: Upid,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEnd {
    /// Well.
    Ok,
    /// With so many warnings, which its log tells. After a removal disks may be left.
    Warnings(u32),
    /// Not well. Part of its work may be done.
    Failed {
        /// The kind of fault.
        fault: Fault,
        /// Its last words.
        text: String,
    },
}

/// What happens to a task that is watched.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskEvent {
    /// It has got further.
    Progress(Progress),
    /// It has said something else.
    Line(TaskLine),
    /// It is over. Nothing comes after this.
    Ended(TaskEnd),
}

/// One line of a task's log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct TaskLine {
    /// Its number, from 1.
    #[serde(rename = "n", deserialize_with = "scalar::whole")]
    pub number: u64,
    /// Its text.
    #[serde(default, rename = "t", deserialize_with = "scalar::text")]
    pub text: String,
}

/// A part of a task's log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskLog {
    /// The lines.
    pub lines: Vec<TaskLine>,
    /// How many there are by now.
    pub total: u64,
}

/// How a task is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskStatus {
    /// How it ended; nothing while it runs.
    pub end: Option<TaskEnd>,
}

/// A task as its node lists it.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct TaskEntry {
    /// Its identifier, which also says what it does to what.
    pub upid: Upid,
    /// When it ended, in seconds of Unix time.
    #[serde(default, rename = "endtime", deserialize_with = "scalar::maybe_whole")]
    pub ended: Option<u64>,
    #[serde(default, deserialize_with = "scalar::maybe_text")]
    status: Option<String>,
}

/// Which tasks are listed; without any limit, the 50 latest that are still known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Only those about this VM; for a clone the source.
    pub vm: Option<VmId>,
    /// Only those of this type, e.g. `qmclone`.
    pub kind: Option<String>,
    /// Only those that began then or later, in seconds of Unix time.
    pub since: Option<u64>,
    /// At most so many.
    pub limit: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct StatusAnswer {
    #[serde(deserialize_with = "scalar::text")]
    status: String,
    #[serde(default, deserialize_with = "scalar::text")]
    exitstatus: String,
}

impl TaskEnd {
    /// Reads an exit status.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let text = text.trim();
        if text == "OK" {
            return Self::Ok;
        }
        match text.strip_prefix("WARNINGS:").and_then(|count| count.trim().parse().ok()) {
            Some(count) => Self::Warnings(count),
            None => Self::Failed { fault: Fault::of_task(text), text: text.to_owned() },
        }
    }
}

impl TaskEntry {
    /// How it ended; nothing while it runs.
    #[must_use]
    pub fn end(&self) -> Option<TaskEnd> {
        let status = self.status.as_deref()?;
        (!status.eq_ignore_ascii_case("running")).then(|| TaskEnd::read(status))
    }
}

impl TaskFilter {
    pub(crate) fn form(&self) -> Form {
        let mut form = Form::new();
        // Unless asked, only those that are over are listed.
        form.set("source", "all");
        if let Some(vm) = self.vm {
            form.set("vmid", vm);
        }
        if let Some(kind) = &self.kind {
            form.set("typefilter", kind);
        }
        if let Some(since) = self.since {
            form.set("since", since);
        }
        if let Some(limit) = self.limit {
            form.set("limit", limit);
        }
        form
    }
}

impl Task {
    pub(crate) fn new(client: Client, upid: Upid) -> Self {
        Self { client, upid }
    }

    /// Its identifier, e.g. to record it.
    #[must_use]
    pub fn upid(&self) -> &Upid {
        &self.upid
    }

    fn path(&self, rest: &[&str]) -> String {
        let base = ["nodes", self.upid.node().as_str(), "tasks", self.upid.as_str()];
        request::path(&base.iter().chain(rest).copied().collect::<Vec<_>>())
    }

    fn get(&self, rest: &str) -> Request {
        Request::get(self.path(&[rest])).on(self.upid.node()).protected()
    }

    /// How it is: `GET .../tasks/{upid}/status`.
    ///
    /// # Errors
    /// If it cannot be asked, or its log is gone.
    pub async fn status(&self) -> Result<TaskStatus, Error> {
        let answer: StatusAnswer = self.client.fetch(self.get("status")).await?;
        let is_over = answer.status != "running";
        Ok(TaskStatus { end: is_over.then(|| TaskEnd::read(&answer.exitstatus)) })
    }

    /// Its log from a line on, the first being 0; at most 500 lines: `GET .../tasks/{upid}/log`.
    ///
    /// # Errors
    /// If it cannot be asked, or its log is gone.
    pub async fn log(&self, start: u64) -> Result<TaskLog, Error> {
        let mut form = Form::new();
        form.set("start", start);
        form.set("limit", LINES);
        let request = self.get("log").with(form);
        let answer = self.client.answer(&request).await?;
        let total = answer.total;
        let mut lines: Vec<TaskLine> = answer.read(&request.call)?;
        // What stands in an empty log is not its own.
        if matches!(lines.as_slice(), [only] if only.text == "no content") {
            lines.clear();
        }
        let last = lines.last().map_or(start, |line| line.number);
        Ok(TaskLog { lines, total: total.unwrap_or(last) })
    }

    /// Asks for its end: `DELETE .../tasks/{upid}`. It then ends as [`Fault::Interrupted`] or with the error
    /// of what it was doing.
    ///
    /// # Errors
    /// If the server refuses it.
    pub async fn abort(&self) -> Result<(), Error> {
        self.client.done(Request::delete(self.path(&[])).on(self.upid.node())).await
    }

    /// What happens to it until it is over, or until the deadline, which is then
    /// [`Error::StillRunning`]. The task goes on if the stream is dropped.
    ///
    /// It is looked at after 0.2 seconds and then ever more rarely, at last every 2 seconds. A node that is
    /// silent for a while is no end.
    #[must_use = "a stream does nothing unless it is read"]
    pub fn watch(&self, deadline: Duration) -> BoxStream<'static, Result<TaskEvent, Error>> {
        let (task, upid) = (self.clone(), self.upid.clone());
        Watch::new(task, upid, self.client.timing(), deadline, true).events().boxed()
    }

    /// Waits for its end without reading its log.
    ///
    /// # Errors
    /// [`Error::StillRunning`] after the deadline, or if it cannot be asked. That it failed is no error here.
    pub async fn wait(&self, deadline: Duration) -> Result<TaskEnd, Error> {
        let watch =
            Watch::new(self.clone(), self.upid.clone(), self.client.timing(), deadline, false);
        let mut events = watch.events().boxed();
        while let Some(event) = events.try_next().await? {
            if let TaskEvent::Ended(end) = event {
                return Ok(end);
            }
        }
        let (upid, source) = (Box::new(self.upid.clone()), None);
        Err(Error::StillRunning { upid, waited: deadline, source })
    }

    /// Waits for its good end; gives the number of its warnings. Its fault is then told as that of a call,
    /// since early checks refuse the call and later ones end the task.
    ///
    /// # Errors
    /// [`Error::Task`] if it failed, [`Error::StillRunning`] after the deadline, or if it cannot be asked.
    pub async fn finish(&self, deadline: Duration) -> Result<u32, Error> {
        match self.wait(deadline).await? {
            TaskEnd::Ok => Ok(0),
            TaskEnd::Warnings(count) => Ok(count),
            TaskEnd::Failed { fault, text } => {
                Err(Error::Task { upid: Box::new(self.upid.clone()), fault, text })
            }
        }
    }
}
