//! Tasks: what a worker process on a node does, with its log and how it ended.

pub(crate) mod work;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::failure::Failure;

/// How many tasks are remembered; older ones are rotated away.
const KEPT: usize = 2_000;

/// What a task that a restart cut off ended with.
pub(crate) const INTERRUPTED: &str = "interrupted by signal";

/// All tasks of the cluster, the oldest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Tasks {
    list: Vec<Task>,
    next_pid: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) upid: String,
    pub(crate) node: String,
    pub(crate) pid: u32,
    pub(crate) process_start: u64,
    pub(crate) start_s: u64,
    pub(crate) end_s: Option<u64>,
    /// The same in milliseconds, which the API does not tell: by them it is seen what was at work at the same time.
    #[serde(default)]
    pub(crate) start_ms: u64,
    #[serde(default)]
    pub(crate) end_ms: Option<u64>,
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) user: String,
    pub(crate) log: Vec<String>,
    /// `None` while it runs.
    pub(crate) exit: Option<String>,
}

/// A task that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) node: String,
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    pub(crate) user: String,
}

impl Tasks {
    /// Makes a task and says its name.
    pub(crate) fn begin(&mut self, order: &Order, now: Duration) -> String {
        let now_s = now.as_secs();
        self.next_pid = self.next_pid.max(0x0000_0400) + 7;
        let pid = self.next_pid;
        let process_start = 0x0010_0000 + u64::from(pid) * 64;
        let Order { node, kind, id, user } = order;
        let upid =
            format!("UPID:{node}:{pid:08X}:{process_start:08X}:{now_s:08X}:{kind}:{id}:{user}:");
        self.list.push(Task {
            upid: upid.clone(),
            node: node.clone(),
            pid,
            process_start,
            start_s: now_s,
            end_s: None,
            start_ms: millis(now),
            end_ms: None,
            kind: (*kind).to_owned(),
            id: id.clone(),
            user: user.clone(),
            log: Vec::new(),
            exit: None,
        });
        if self.list.len() > KEPT {
            let oldest = self.list.iter().position(|task| task.exit.is_some());
            oldest.map(|oldest| self.list.remove(oldest));
        }
        upid
    }

    pub(crate) fn get(&self, upid: &str) -> Option<&Task> {
        self.list.iter().find(|task| task.upid == upid)
    }

    pub(crate) fn log(&mut self, upid: &str, line: &str) {
        if let Some(task) = self.list.iter_mut().find(|task| task.upid == upid) {
            task.log.extend(line.lines().map(str::to_owned));
        }
    }

    pub(crate) fn end(&mut self, upid: &str, exit: &str, now: Duration) {
        let last = match exit {
            "OK" => "TASK OK".to_owned(),
            warnings if warnings.starts_with("WARNINGS: ") => format!("TASK {warnings}"),
            error => format!("TASK ERROR: {error}"),
        };
        self.log(upid, &last);
        if let Some(task) = self.list.iter_mut().find(|task| task.upid == upid) {
            task.exit = Some(exit.to_owned());
            task.end_s = Some(now.as_secs());
            task.end_ms = Some(millis(now));
        }
    }

    /// Ends what ran when the cluster was stopped.
    pub(crate) fn interrupt_all(&mut self, now: Duration) {
        let running = self.list.iter().filter(|task| task.exit.is_none());
        let running: Vec<String> = running.map(|task| task.upid.clone()).collect();
        for upid in running {
            self.end(&upid, INTERRUPTED, now);
        }
    }

    /// Forgets all that ended, as the rotation of their files does.
    pub(crate) fn rotate(&mut self) {
        self.list.retain(|task| task.exit.is_none());
    }

    /// The latest first.
    pub(crate) fn latest(&self) -> impl Iterator<Item = &Task> {
        self.list.iter().rev()
    }
}

impl Task {
    /// As a list shows it.
    pub(crate) fn listed(&self) -> Value {
        let mut entry = self.head();
        if let (Some(exit), Some(end)) = (&self.exit, self.end_s) {
            entry.insert("status".into(), json!(exit));
            entry.insert("endtime".into(), json!(end));
        }
        Value::Object(entry)
    }

    /// As its own page shows it.
    pub(crate) fn status(&self) -> Value {
        let mut entry = self.head();
        match &self.exit {
            Some(exit) => {
                entry.insert("status".into(), json!("stopped"));
                entry.insert("exitstatus".into(), json!(exit));
            }
            None => {
                entry.insert("status".into(), json!("running"));
            }
        }
        Value::Object(entry)
    }

    fn head(&self) -> Map<String, Value> {
        let (user, token) = self.user.split_once('!').unwrap_or((&self.user, ""));
        let mut entry = Map::from_iter([
            ("upid".to_owned(), json!(self.upid)),
            ("node".to_owned(), json!(self.node)),
            ("pid".to_owned(), json!(self.pid)),
            ("pstart".to_owned(), json!(self.process_start)),
            ("starttime".to_owned(), json!(self.start_s)),
            ("type".to_owned(), json!(self.kind)),
            ("id".to_owned(), json!(self.id)),
            ("user".to_owned(), json!(user)),
        ]);
        if !token.is_empty() {
            entry.insert("tokenid".into(), json!(token));
        }
        entry
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The node of a name such as `UPID:pve1:…`.
pub(crate) fn node_of(upid: &str) -> Result<&str, Failure> {
    let parts: Vec<&str> = upid.split(':').collect();
    let is_hex = |text: &str, lengths: &[usize]| {
        lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    match parts[..] {
        ["UPID", node, pid, process, start, kind, .., ""]
            if parts.len() >= 9
                && is_hex(pid, &[8])
                && is_hex(process, &[8, 9])
                && is_hex(start, &[8])
                && !kind.is_empty() =>
        {
            Ok(node)
        }
        _ => Err(Failure::parameter("upid", "unable to parse worker upid")),
    }
}

/// A size as the lines of a copy say it, such as `4.0 GiB`.
#[expect(clippy::cast_precision_loss, reason = "is shown to two digits")]
pub(crate) fn size_words(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes >> shift > 0) {
        Some((shift, unit)) => format!("{:.1} {unit}", bytes as f64 / (1u64 << shift) as f64),
        None => format!("{bytes}.0 B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn order(id: &str) -> Order {
        let user = "root@pam!t1".into();
        Order { node: "pve1".into(), kind: "qmclone", id: id.into(), user }
    }

    #[test]
    fn a_name_has_nine_parts_and_says_its_node() {
        let mut tasks = Tasks::default();
        for id in ["9000", ""] {
            let upid = tasks.begin(&order(id), at(0x6561_0000));
            assert_eq!(node_of(&upid).expect("is one"), "pve1");
            assert!(upid.ends_with(&format!(":65610000:qmclone:{id}:root@pam!t1:")), "{upid}");
        }
        for wrong in
            ["", "UPID:pve1", "UPID:pve1:1:2:3:a:b:c:", "x:pve1:00000001:00000001:00000001:a:b:c:"]
        {
            assert!(node_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_ran_at_a_restart_was_interrupted() {
        let mut tasks = Tasks::default();
        let (done, cut) = (tasks.begin(&order("1"), at(1)), tasks.begin(&order("2"), at(1)));
        tasks.end(&done, "OK", at(2));
        tasks.interrupt_all(at(3));
        let exit = |upid: &str| tasks.get(upid).and_then(|task| task.exit.clone());
        assert_eq!(exit(&done).as_deref(), Some("OK"));
        assert_eq!(exit(&cut).as_deref(), Some(INTERRUPTED));
    }

    #[test]
    fn the_last_line_of_a_log_says_how_it_ended() {
        let mut tasks = Tasks::default();
        for (exit, line) in [
            ("OK", "TASK OK"),
            ("WARNINGS: 2", "TASK WARNINGS: 2"),
            ("no way", "TASK ERROR: no way"),
        ] {
            let upid = tasks.begin(&order("1"), at(1));
            tasks.end(&upid, exit, at(2));
            let task = tasks.get(&upid).expect("is there");
            assert_eq!(task.log.last().map(String::as_str), Some(line));
            assert_eq!(task.listed()["status"], exit);
            assert_eq!(task.status()["exitstatus"], exit);
            assert_eq!(task.status()["tokenid"], "t1");
        }
    }
}
