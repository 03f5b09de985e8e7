//! A part that is started again when it ends, as its unit would.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::say;

/// How long a part rests before it is started again.
const REST: Duration = Duration::from_secs(2);
/// How long a part may take to end.
const GRACE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Service {
    name: &'static str,
    command: Command,
    child: Option<Child>,
    died: Instant,
}

impl Service {
    /// Starts a part with a log of its own.
    pub(crate) fn start(name: &'static str, mut command: Command, logs: &Path) -> Result<Self> {
        std::fs::create_dir_all(logs)?;
        let path = logs.join(format!("{name}.log"));
        let log = OpenOptions::new().create(true).append(true).open(&path);
        let log = log.with_context(|| format!("open {}", path.display()))?;
        command.stdout(log.try_clone()?).stderr(log);
        let child = Some(command.spawn().with_context(|| format!("start {name}"))?);
        say(&format!("started {name}"));
        Ok(Self { name, command, child, died: Instant::now() })
    }

    /// Starts it again if it ended a while ago.
    pub(crate) fn keep(&mut self) {
        if let Some(child) = &mut self.child
            && let Ok(Some(status)) = child.try_wait()
        {
            say(&format!("{} ended with {status}", self.name));
            self.child = None;
            self.died = Instant::now();
        }
        if self.child.is_none() && self.died.elapsed() >= REST {
            self.child = self.command.spawn().ok();
            self.died = Instant::now();
        }
    }

    /// Asks it to end and waits a while.
    pub(crate) fn end(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // It may be gone already.
        let _ = kill_process(Pid::from_child(&child), Signal::TERM);
        let began = Instant::now();
        while began.elapsed() < GRACE && matches!(child.try_wait(), Ok(None)) {
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}
