//! The process that starts the parts, watches them, records what happens to them and
//! stops them. It starts nothing again on its own: a part that died stays dead, and
//! everybody can see that it did.

mod boot;
mod control;

pub(crate) use control::{EndBy, Order, send};

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use command_fds::{CommandFdExt, FdMapping};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::cancel::Attempt;
use crate::command::{open_log, tail};
use crate::context::Context;
use crate::layout::{read_json, write_json};
use crate::part::Part;
use crate::plan::Plan;
use crate::process::{Identity, age, boot_id, now_ms};
use crate::record::{Health, PartRecord, Phase, Record};
use crate::{cgroups, warren};

/// How often every part is probed.
const PROBE_EVERY: Duration = Duration::from_secs(2);
/// How many probes in a row must fail before a part counts as unhealthy.
const PROBES: u32 = 2;
/// The number that an inherited socket has (`sd_listen_fds(3)`).
const LISTENER_FD: i32 = 3;

/// What the supervisor tells `up`, one line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    Step(String),
    Ready,
    Failed(String),
}

#[derive(Debug)]
struct Supervisor {
    cx: Context,
    plan: Plan,
    /// Warren's API, kept open while Warren is started again.
    listener: TcpListener,
    /// All parts that were ever started, by name.
    parts: Mutex<BTreeMap<String, Part>>,
    record: Mutex<Record>,
}

/// Runs the lab until it is asked to end.
pub(crate) fn run(cx: Context) -> Result<()> {
    cgroups::join()?;
    let supervisor = Arc::new(Supervisor::new(cx)?);
    control::listen(&supervisor)?;
    match supervisor.boot() {
        Ok(()) => {
            supervisor.enter(Phase::Ready);
            report(&Report::Ready);
            supervisor.watch();
            supervisor.stop_all();
            Ok(())
        }
        Err(error) => {
            report(&Report::Failed(format!("{error:#}")));
            supervisor.stop_all();
            Err(error)
        }
    }
}

impl Supervisor {
    fn new(cx: Context) -> Result<Self> {
        let plan: Plan = read_json(&cx.layout.plan())?;
        let own = i32::try_from(std::process::id())?;
        let record = Record {
            boot: boot_id(),
            supervisor: Identity::of(own).context("this process lives")?,
            phase: Phase::Starting,
            since_ms: now_ms(),
            parts: Vec::new(),
        };
        write_json(&cx.layout.record(), &record)?;
        let (parts, record) = (Mutex::default(), Mutex::new(record));
        Ok(Self { cx, plan, listener: warren::listen()?, parts, record })
    }

    /// Starts a part and waits until it is healthy.
    fn start(self: &Arc<Self>, part: &Part) -> Result<Identity> {
        let start = Instant::now();
        let process = self.spawn(part)?;
        let what = format!("{} becomes healthy", part.name);
        let ready = self.cx.cancel.until(part.start_limit, what, || match self.death(&part.name) {
            Some(death) => Attempt::Failed(anyhow!("{death}")),
            None => Attempt::retry(part.probe()),
        });
        if let Err(error) = ready {
            let log = std::fs::read_to_string(self.cx.layout.log(&part.name)).unwrap_or_default();
            return Err(error.context(format!(
                "the log of {} ends with\n{}",
                part.name,
                tail(&log)
            )));
        }
        self.turn(process, Health::Healthy, "");
        let seconds = start.elapsed().as_secs_f64();
        report(&Report::Step(format!("{} is healthy after {seconds:.1} s", part.name)));
        Ok(process)
    }

    fn spawn(self: &Arc<Self>, part: &Part) -> Result<Identity> {
        let log = open_log(&self.cx.layout.log(&part.name))?;
        let mut command = part.command();
        command.stdin(std::process::Stdio::null()).stdout(log.try_clone()?).stderr(log);
        if part.inherits_listener {
            let parent_fd: OwnedFd = self.listener.as_fd().try_clone_to_owned()?;
            command.fd_mappings(vec![FdMapping { parent_fd, child_fd: LISTENER_FD }])?;
            command.env("LISTEN_FDS", "1");
        }
        let child = command.spawn().with_context(|| format!("start {}", part.name))?;
        let process = Identity::of_child(&child)?;
        self.parts().insert(part.name.clone(), part.clone());
        self.note_pid(part, process)?;
        self.update(|record| match record.part_mut(&part.name) {
            Some(known) => {
                known.process = process;
                known.starts += 1;
                known.turn(Health::Starting, "");
            }
            None => record.parts.push(PartRecord {
                name: part.name.clone(),
                process,
                health: Health::Starting,
                detail: String::new(),
                since_ms: now_ms(),
                starts: 1,
            }),
        });
        let supervisor = Arc::clone(self);
        let pid = self.cx.layout.pid(&part.name);
        thread::spawn(move || {
            supervisor.await_end(process, child);
            // Unless it is another one's by now.
            if std::fs::read_to_string(&pid).is_ok_and(|text| text == process.pid.to_string()) {
                let _ = std::fs::remove_file(&pid);
            }
        });
        Ok(process)
    }

    /// Notices the end of a part.
    fn await_end(&self, process: Identity, mut child: Child) {
        let detail = match child.wait() {
            Ok(status) => describe(status),
            Err(error) => format!("could not be waited for: {error}"),
        };
        let health = match self.health(process) {
            Some(Health::Stopped) => Health::Stopped,
            _ => Health::Died,
        };
        self.turn(process, health, detail);
    }

    /// Writes the part's process number where scripts look for it.
    fn note_pid(&self, part: &Part, process: Identity) -> Result<()> {
        let path = self.cx.layout.pid(&part.name);
        std::fs::write(&path, process.pid.to_string())
            .with_context(|| format!("write {}", path.display()))
    }

    /// Ends a part and waits until it is gone.
    fn stop(&self, part: &Part, signal: Signal) -> Result<()> {
        let process = self.record().part_mut(&part.name).map(|known| known.process);
        let Some(process) = process.filter(|process| process.is_alive()) else { return Ok(()) };
        self.turn(process, Health::Stopped, "asked to end");
        if signal != Signal::TERM {
            process.signal(signal);
        }
        process.stop(part.stop_limit).with_context(|| format!("stop {}", part.name))
    }

    /// Probes all parts until the end is asked for.
    fn watch(&self) {
        let mut failures: BTreeMap<String, u32> = BTreeMap::new();
        while self.cx.cancel.wait(PROBE_EVERY).is_ok() {
            let parts: Vec<Part> = self.parts().values().cloned().collect();
            let results = thread::scope(|scope| {
                let probe = |part: Part| scope.spawn(move || (part.probe(), part));
                let threads: Vec<_> = parts.into_iter().map(probe).collect();
                threads.into_iter().filter_map(|thread| thread.join().ok()).collect::<Vec<_>>()
            });
            for (result, part) in results {
                let count = failures.entry(part.name.clone()).or_default();
                *count = if result.is_ok() { 0 } else { *count + 1 };
                self.judge(&part, result, *count);
            }
        }
    }

    fn judge(&self, part: &Part, result: Result<()>, failures: u32) {
        let known = self.record().part_mut(&part.name).map(|known| (known.process, known.health));
        let Some((process, Health::Healthy | Health::Unhealthy)) = known else { return };
        match result {
            Ok(()) => self.turn(process, Health::Healthy, ""),
            Err(error) if failures >= PROBES => {
                self.turn(process, Health::Unhealthy, format!("{error:#}"));
            }
            Err(_) => {}
        }
    }

    fn death(&self, name: &str) -> Option<String> {
        let mut record = self.record();
        let part = record.part_mut(name)?;
        let is_dead = matches!(part.health, Health::Died | Health::Stopped);
        is_dead.then(|| format!("{name} {}", part.detail))
    }

    fn health(&self, process: Identity) -> Option<Health> {
        let record = self.record();
        record.parts.iter().find(|part| part.process == process).map(|part| part.health)
    }

    /// Records the health of a part, and logs a change of it.
    fn turn(&self, process: Identity, health: Health, detail: impl Into<String>) {
        let detail = detail.into();
        self.update(|record| {
            let part = record.parts.iter_mut().find(|part| part.process == process);
            let Some(part) = part else { return };
            let before = (part.health, age(part.since_ms));
            if part.turn(health, &*detail) {
                eprintln!(
                    "{} {}: {:?} for {}, now {health:?} {detail}",
                    now_ms(),
                    part.name,
                    before.0,
                    before.1
                );
            }
        });
    }

    fn enter(&self, phase: Phase) {
        self.update(|record| {
            record.phase = phase;
            record.since_ms = now_ms();
        });
    }

    /// Changes the record, in memory and on disk.
    fn update(&self, change: impl FnOnce(&mut Record)) {
        let mut record = self.record();
        change(&mut record);
        if let Err(error) = write_json(&self.cx.layout.record(), &*record) {
            eprintln!("{} the record: {error:#}", now_ms());
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parts(&self) -> MutexGuard<'_, BTreeMap<String, Part>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn describe(status: ExitStatus) -> String {
    format!("ended with {status}")
}

/// Tells `up`, which may not listen any more.
fn report(report: &Report) {
    let mut out = std::io::stdout().lock();
    let line = serde_json::to_string(report).unwrap_or_default();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
