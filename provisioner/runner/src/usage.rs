use nix::{
    sys::resource::{UsageWho, getrusage},
    unistd::{SysconfVar, sysconf},
};
use serde::Serialize;
use std::{collections::BTreeSet, fs, time::Instant};

/// What the agent used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Usage {
    pub(crate) cpu_ms: u64,
    pub(crate) peak_memory_bytes: u64,
    pub(crate) wall_ms: u64,
}

/// Measures all processes below this one, living and dead.
#[derive(Debug)]
pub(crate) struct Meter {
    started: Instant,
    peak_memory_bytes: u64,
    ticks_per_second: u64,
}

/// A process, from proc(5), `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    id: i32,
    parent: i32,
    /// CPU time of itself and of its children that it has waited for, in clock ticks.
    ticks: u64,
}

impl Meter {
    /// Starts the clock.
    pub(crate) fn start() -> Self {
        let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten();
        let ticks_per_second = ticks.and_then(|ticks| u64::try_from(ticks).ok()).unwrap_or(100);
        Self { started: Instant::now(), peak_memory_bytes: 0, ticks_per_second }
    }

    /// What was used until now, or until the agent's end.
    ///
    /// The peak is that of the samples and that of each process, whichever is higher: memory that
    /// several processes held for a moment between two samples is not seen.
    pub(crate) fn sample(&mut self, ended: Option<Instant>) -> Usage {
        let (mut ticks, mut resident) = (0, 0);
        for process in descendants(own_id()) {
            ticks += process.ticks;
            let status = fs::read_to_string(format!("/proc/{}/status", process.id));
            let memory = status.map(|status| Memory::parse(&status)).unwrap_or_default();
            resident += memory.resident;
            self.peak_memory_bytes = self.peak_memory_bytes.max(memory.peak);
        }
        self.peak_memory_bytes = self.peak_memory_bytes.max(resident);
        let mut cpu_ms = ticks * 1000 / self.ticks_per_second.max(1);
        if let Ok(dead) = getrusage(UsageWho::RUSAGE_CHILDREN) {
            let millis = |seconds: i64, micros: i64| seconds * 1000 + micros / 1000;
            let (user, system) = (dead.user_time(), dead.system_time());
            let dead_ms =
                millis(user.tv_sec(), user.tv_usec()) + millis(system.tv_sec(), system.tv_usec());
            cpu_ms += u64::try_from(dead_ms).unwrap_or(0);
            let peak = u64::try_from(dead.max_rss()).unwrap_or(0) << 10;
            self.peak_memory_bytes = self.peak_memory_bytes.max(peak);
        }
        let wall = ended.unwrap_or_else(Instant::now).saturating_duration_since(self.started);
        Usage {
            cpu_ms,
            peak_memory_bytes: self.peak_memory_bytes,
            wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// The processes that the agent has left.
pub(crate) fn left_behind() -> Vec<i32> {
    descendants(own_id()).into_iter().map(|process| process.id).collect()
}

/// How often the kernel has ended a process of this container because its memory was used up.
///
/// Source: Linux, admin-guide/cgroup-v2 (`memory.events`) and cgroup-v1/memory (`oom_control`).
pub(crate) fn out_of_memory_kills() -> u64 {
    let version_2 = fs::read_to_string("/sys/fs/cgroup/memory.events");
    let text =
        version_2.or_else(|_| fs::read_to_string("/sys/fs/cgroup/memory/memory.oom_control"));
    kills(&text.unwrap_or_default())
}

fn kills(text: &str) -> u64 {
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

fn own_id() -> i32 {
    nix::unistd::getpid().as_raw()
}

/// All processes below `root`, parents before children.
fn descendants(root: i32) -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let processes = entries.filter_map(|entry| {
        let id: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        Process::parse(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
    });
    below(root, processes.collect())
}

fn below(root: i32, mut others: Vec<Process>) -> Vec<Process> {
    let mut known = BTreeSet::from([root]);
    let mut found = Vec::new();
    loop {
        let (children, rest): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|process| known.contains(&process.parent));
        if children.is_empty() {
            return found;
        }
        known.extend(children.iter().map(|child| child.id));
        found.extend(children);
        others = rest;
    }
}

impl Process {
    fn parse(stat: &str) -> Option<Self> {
        // The name is in parentheses and may hold anything, also parentheses.
        let (head, rest) = stat.rsplit_once(')')?;
        let id = head.split(' ').next()?.parse().ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<u64>().unwrap_or(0));
        // A zombie's time is counted when it is waited for.
        let ticks = if *fields.first()? == "Z" { 0 } else { ticks.sum() };
        Some(Self { id, parent: fields.get(1)?.parse().ok()?, ticks })
    }
}

/// Memory of a process, from proc(5), `/proc/PID/status`, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Memory {
    resident: u64,
    peak: u64,
}

impl Memory {
    fn parse(status: &str) -> Self {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            let kibibytes = line.split_ascii_whitespace().next().unwrap_or_default().parse::<u64>();
            kibibytes.unwrap_or(0) << 10
        };
        Self { resident: field("VmRSS:"), peak: field("VmHWM:") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_it_calls_itself() {
        let stat = "42 (a) R 7 (b)) S 17 42 42 0 -1 4194304 1 2 3 4 10 20 30 40 20 0 1 0 5 6 7";
        assert_eq!(Process::parse(stat), Some(Process { id: 42, parent: 17, ticks: 100 }));
        assert_eq!(Process::parse("42 (cut off"), None);
    }

    #[test]
    fn only_descendants_are_counted() {
        let process = |id, parent| Process { id, parent, ticks: 0 };
        let all = vec![process(5, 4), process(4, 2), process(3, 1), process(9, 8)];
        let ids: Vec<i32> = below(2, all).iter().map(|process| process.id).collect();
        assert_eq!(ids, [4, 5]);
    }

    #[test]
    fn kills_for_want_of_memory_are_counted() {
        assert_eq!(kills("low 0\noom 4\noom_kill 3\noom_group_kill 0\n"), 3);
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"), 2);
        assert_eq!(kills(""), 0);
    }

    #[test]
    fn memory_is_read_in_kibibytes() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(Memory::parse(status), Memory { resident: 1 << 20, peak: 2 << 20 });
    }
}
