//! Processes, known by more than a number that the kernel gives away again.

use std::process::Child;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::cancel::{Attempt, Cancel};

/// A process of this boot: its number and the moment it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// Clock ticks since boot (proc(5), field 22 of `stat`).
    pub(crate) started: u64,
}

impl Identity {
    /// The living process with this number; a zombie does not live.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = Stat::of(pid)?;
        stat.is_alive.then_some(Self { pid, started: stat.started })
    }

    /// A child that was not waited for yet, so that its number is its own.
    pub(crate) fn of_child(child: &Child) -> Result<Self> {
        let pid = i32::try_from(child.id())?;
        let stat = Stat::of(pid).with_context(|| format!("look at process {pid}"))?;
        Ok(Self { pid, started: stat.started })
    }

    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends a signal; a process that is gone is no error.
    pub(crate) fn signal(self, signal: Signal) {
        if self.is_alive()
            && let Some(pid) = Pid::from_raw(self.pid)
        {
            // It may end between the look and the signal.
            let _ = kill_process(pid, signal);
        }
    }

    /// Asks the process to end and, after `limit`, ends it.
    pub(crate) fn stop(self, limit: Duration) -> Result<()> {
        let never = Cancel::default();
        let gone = |what: &str, limit| {
            never.until(limit, format!("process {} ends after {what}", self.pid), || {
                if self.is_alive() { Attempt::Again("it runs".into()) } else { Attempt::Done(()) }
            })
        };
        self.signal(Signal::TERM);
        gone("SIGTERM", limit).or_else(|_| {
            self.signal(Signal::KILL);
            gone("SIGKILL", Duration::from_secs(10))
        })
    }
}

/// What `/proc/PID/stat` says (proc(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    is_alive: bool,
    parent: i32,
    started: u64,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        // The name in parentheses may hold anything, so count from the last one.
        let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
        let is_zombie = matches!(fields.next()?, "Z" | "X");
        let parent = fields.next()?.parse().ok()?;
        let threads: u32 = fields.nth(15)?.parse().ok()?;
        let started = fields.nth(1)?.parse().ok()?;
        // A main thread that ended counts until the others, which hold the files, are gone.
        Some(Self { is_alive: !is_zombie || threads > 1, parent, started })
    }
}

/// The parent of a process.
pub(crate) fn parent(pid: i32) -> Option<i32> {
    Stat::of(pid).map(|stat| stat.parent)
}

/// Numbers of all processes that the kernel shows now.
pub(crate) fn all() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Names this boot of the machine: process numbers mean nothing in another.
pub(crate) fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// Milliseconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the lab is no part of the product: no clock to inject"
)]
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// An age in words: `3 s`, `4 m 10 s`, `2 h 5 m`.
pub(crate) fn age(since_ms: u64) -> String {
    let seconds = now_ms().saturating_sub(since_ms) / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} m {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} m", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn stat(state: char, threads: u32) -> Option<Stat> {
        let middle = "7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0";
        Stat::parse(&format!("42 (a) b (c) {state} {middle} {threads} 0 987654 1 2"))
    }

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let expected = Stat { is_alive: true, parent: 7, started: 987_654 };
        assert_eq!(stat('S', 1), Some(expected));
    }

    #[test]
    fn a_process_lives_until_its_last_thread_has_ended() {
        let is_alive = |threads| stat('Z', threads).expect("is of the right form").is_alive;
        assert!(is_alive(2), "the main thread ended, another one holds the files");
        assert!(!is_alive(1));
    }

    #[test]
    fn a_zombie_is_no_living_process() {
        let mut child = Command::new("true").spawn().expect("a program that ends at once");
        let process = Identity::of_child(&child).expect("was not waited for");
        let ended = Cancel::default().until(Duration::from_secs(10), "it ends", || {
            if process.is_alive() { Attempt::Again("alive".into()) } else { Attempt::Done(()) }
        });
        ended.expect("a zombie does not live");
        child.wait().expect("it is our child");
    }

    #[test]
    fn a_reused_number_is_another_process() {
        let this = i32::try_from(std::process::id()).expect("process numbers are small");
        let alive = Identity::of(this).expect("this test runs");
        assert!(alive.is_alive());
        assert!(!Identity { started: alive.started + 1, ..alive }.is_alive());
    }
}
