//! A runner with its agent, as far as Warren hears of them: what it says next, and when it ends.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{Exit, RunId, RunUsage};
use jiff::{SignedDuration, Timestamp};
use std::ops::RangeInclusive;

const HEARTBEAT: SignedDuration = SignedDuration::from_secs(5);
const START_PATIENCE: SignedDuration = SignedDuration::from_mins(1);
const END_PATIENCE: SignedDuration = SignedDuration::from_mins(15);
/// How many lines go in one piece.
const BATCH: u64 = 4;

/// What an agent will do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Agent {
    pub(super) takes: SignedDuration,
    pub(super) lines: u64,
    pub(super) code: i32,
    /// The kernel ends it for want of memory.
    pub(super) is_greedy: bool,
    /// It does not end when it is told to.
    pub(super) is_deaf: bool,
    pub(super) grace: SignedDuration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Boot,
    Running,
    /// The agent has ended; not all is said yet.
    Ended {
        at: Timestamp,
        exit: Exit,
        was_terminated: bool,
    },
    Over {
        code: i32,
    },
}

/// Something that a runner says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    Manifest,
    Started,
    Heartbeat,
    Log(RangeInclusive<u64>),
    Result,
    Exited { exit: Exit, was_terminated: bool, is_out_of_memory: bool, last_line: u64 },
}

/// What it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Whether a stop was asked for.
    Fine { is_stopping: bool },
    /// The log is kept up to here, exclusively.
    Kept(u64),
    /// Its token is not good, or not any more.
    Refused,
    /// Nothing: it says it again.
    Nothing,
}

impl Heard {
    /// Without news.
    pub(super) const WELL: Self = Self::Fine { is_stopping: false };
}

#[derive(Debug)]
pub(super) struct Process {
    pub(super) run: RunId,
    pub(super) session: String,
    pub(super) token: String,
    pub(super) agent: Agent,
    since: Timestamp,
    began: Option<Timestamp>,
    told_to_end: Option<Timestamp>,
    stage: Stage,
    is_start_told: bool,
    heartbeat: Timestamp,
    refusals: u32,
    /// How many lines the agent has written, and the number of the first one that Warren has not taken;
    /// nothing once it takes no more.
    pub(super) written: u64,
    next_line: Option<u64>,
    pub(super) is_result_kept: bool,
    /// Its end was reported, and taken.
    pub(super) is_end_told: bool,
    /// How the agent ended, if it was started.
    pub(super) exit: Option<Exit>,
}

impl Process {
    pub(super) fn new(
        run: RunId,
        session: String,
        token: &str,
        agent: Agent,
        now: Timestamp,
    ) -> Self {
        let token = STANDARD.decode(token).unwrap_or_default();
        Self {
            run,
            session,
            token: String::from_utf8(token).unwrap_or_default(),
            agent,
            since: now,
            began: None,
            told_to_end: None,
            stage: Stage::Boot,
            is_start_told: false,
            heartbeat: now,
            refusals: 0,
            written: 0,
            next_line: Some(1),
            is_result_kept: false,
            is_end_told: false,
            exit: None,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over { .. })
    }

    pub(super) fn code(&self) -> Option<i32> {
        if let Stage::Over { code } = self.stage { Some(code) } else { None }
    }

    pub(super) fn is_told_to_end(&self) -> bool {
        self.told_to_end.is_some()
    }

    pub(super) fn was_started(&self) -> bool {
        self.began.is_some()
    }

    pub(super) fn line(&self, number: u64) -> String {
        format!("line {number} of {}", self.run)
    }

    /// SIGTERM.
    pub(super) fn terminate(&mut self, now: Timestamp) {
        self.told_to_end.get_or_insert(now);
        if self.stage == Stage::Boot {
            self.stage = Stage::Over { code: 143 };
        }
    }

    /// SIGKILL to all of it.
    pub(super) fn kill(&mut self) {
        if !self.is_over() {
            self.stage = Stage::Over { code: 137 };
        }
    }

    /// Lets time pass.
    pub(super) fn tick(&mut self, now: Timestamp) {
        match self.stage {
            Stage::Boot if now >= self.since + START_PATIENCE => {
                self.stage = Stage::Over { code: 70 };
            }
            Stage::Running => self.run_agent(now),
            Stage::Ended { at, exit, .. } if now >= at + END_PATIENCE => self.leave(exit),
            Stage::Boot | Stage::Ended { .. } | Stage::Over { .. } => {}
        }
    }

    fn run_agent(&mut self, now: Timestamp) {
        let Some(began) = self.began else { return };
        let Agent { takes, lines, code, is_greedy, is_deaf, grace } = self.agent;
        let gone_by = now.duration_since(began);
        let millis = |time: SignedDuration| u64::try_from(time.as_millis()).unwrap_or(0);
        let so_far = lines * millis(gone_by) / millis(takes).max(1);
        self.written = self.written.max(so_far.min(lines));
        let by_signal = |signal| Exit { code: None, signal: Some(signal) };
        let ended = match self.told_to_end {
            Some(told) if !is_deaf && now >= told => Some(by_signal(15)),
            Some(told) if now >= told + grace => Some(by_signal(9)),
            Some(_) | None if gone_by >= takes && is_greedy => Some(by_signal(9)),
            Some(_) | None if gone_by >= takes => Some(Exit { code: Some(code), signal: None }),
            Some(_) | None => None,
        };
        if let Some(exit) = ended {
            let was_terminated = self.told_to_end.is_some();
            self.exit = Some(exit);
            self.stage = Stage::Ended { at: now, exit, was_terminated };
        }
    }

    fn leave(&mut self, exit: Exit) {
        let code = exit.code.or(exit.signal.map(|signal| 128 + signal)).unwrap_or(1);
        self.stage = Stage::Over { code };
    }

    /// When it will do something by itself.
    pub(super) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        match self.stage {
            Stage::Boot => Some(self.since + START_PATIENCE),
            Stage::Running => {
                let ends = self.began.map(|began| began + self.agent.takes);
                let dies = self.told_to_end.map(|told| told + self.agent.grace);
                let beats = Some(self.heartbeat + HEARTBEAT);
                [ends, dies, beats].into_iter().flatten().filter(|time| *time > now).min()
            }
            Stage::Ended { at, .. } => Some(at + END_PATIENCE),
            Stage::Over { .. } => None,
        }
    }

    /// What it says next, if it has anything to say now.
    pub(super) fn call(&self, now: Timestamp) -> Option<Call> {
        let log = || {
            let next = self.next_line.filter(|next| *next <= self.written)?;
            Some(next..=self.written.min(next + BATCH - 1))
        };
        match self.stage {
            Stage::Boot => Some(Call::Manifest),
            Stage::Running if !self.is_start_told => Some(Call::Started),
            Stage::Running if now >= self.heartbeat + HEARTBEAT => Some(Call::Heartbeat),
            Stage::Running => log().map(Call::Log),
            Stage::Ended { exit, was_terminated, .. } => {
                if self.was_started() && !self.is_start_told {
                    return Some(Call::Started);
                }
                if let Some(lines) = log() {
                    return Some(Call::Log(lines));
                }
                if exit.code == Some(0) && !self.is_result_kept {
                    return Some(Call::Result);
                }
                let is_out_of_memory = self.agent.is_greedy && exit.signal == Some(9);
                let last_line = self.next_line.unwrap_or(1) - 1;
                Some(Call::Exited { exit, was_terminated, is_out_of_memory, last_line })
            }
            Stage::Over { .. } => None,
        }
    }

    /// Goes on with what it was answered.
    pub(super) fn hear(&mut self, call: &Call, heard: Heard, now: Timestamp) {
        match (call, heard) {
            (Call::Heartbeat, Heard::Nothing) => self.heartbeat = now,
            (_, Heard::Nothing) | (Call::Log(_), Heard::Fine { .. }) => {}
            (_, Heard::Refused) => self.refused(call, now),
            (Call::Manifest, Heard::Fine { is_stopping: true }) => {
                let exit = Exit { code: Some(143), signal: None };
                self.stage = Stage::Ended { at: now, exit, was_terminated: true };
            }
            (Call::Manifest, _) => {
                self.stage = Stage::Running;
                self.began = Some(now);
                self.heartbeat = now;
            }
            (Call::Started, _) => self.is_start_told = true,
            (Call::Heartbeat, heard) => {
                self.heartbeat = now;
                if heard == (Heard::Fine { is_stopping: true }) {
                    self.terminate(now);
                }
            }
            (Call::Log(_), Heard::Kept(next)) => self.next_line = Some(next),
            (Call::Result, _) => self.is_result_kept = true,
            (Call::Exited { exit, .. }, _) => {
                self.is_end_told = true;
                self.leave(*exit);
            }
        }
    }

    fn refused(&mut self, call: &Call, now: Timestamp) {
        match (self.stage, call) {
            (Stage::Boot, _) => self.stage = Stage::Over { code: 77 },
            (Stage::Ended { exit, .. }, _) => self.leave(exit),
            (Stage::Running, Call::Log(_)) => self.next_line = None,
            (Stage::Running, _) => {
                // What was refused is not said again.
                self.is_start_told = true;
                self.heartbeat = now;
                self.refusals += 1;
                if self.refusals >= 2 {
                    self.terminate(now);
                }
            }
            (Stage::Over { .. }, _) => {}
        }
    }

    /// What every agent uses.
    pub(super) const USAGE: RunUsage =
        RunUsage { cpu_ms: 1, peak_memory_bytes: 1 << 20, wall_ms: 1 };
}
