//! A group of tests: one line in the summary, one log.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::count::{Count, Tally, go_text};
use crate::cache;
use crate::command::{line, open_log, wait};
use crate::context::Context;

/// How much of a failed group's log is shown.
const TAIL_LINES: usize = 150;
/// How many lines before that are shown because they speak of a failure.
const TELLING_LINES: usize = 100;

pub(crate) enum Check {
    Program(Command, Count),
    /// Something that was found out already.
    Fact(Result<String>),
}

impl Check {
    pub(crate) fn program(command: Command, count: Count) -> Self {
        Self::Program(command, count)
    }
}

/// What became of a group.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    pub(crate) tally: Tally,
    pub(crate) took: Duration,
}

#[derive(Debug)]
pub(crate) struct Group<'a> {
    cx: &'a Context,
    name: &'static str,
    log: PathBuf,
    start: Instant,
}

impl<'a> Group<'a> {
    /// Begins a group; its time runs.
    pub(crate) fn new(cx: &'a Context, name: &'static str) -> Self {
        let log = cx.layout.build_log(&format!("test/{}", name.replace(' ', "-")));
        Self { cx, name, log, start: Instant::now() }
    }

    /// Runs the checks, all of them, one after the other.
    pub(crate) fn run(self, checks: impl IntoIterator<Item = Check>) -> Outcome {
        self.run_with(checks, |_| Ok(()))
    }

    /// Runs the checks and, whatever happens, what has to follow.
    pub(crate) fn run_with(
        self,
        checks: impl IntoIterator<Item = Check>,
        after: impl FnOnce(bool) -> Result<()>,
    ) -> Outcome {
        let mut tally = Tally::default();
        let task = self.cx.progress.task(self.name);
        let renewed = cache::remove(&self.log);
        let fail = |tally: &mut Tally, error: anyhow::Error| {
            tally.add(Tally { passed: 0, failed: 1 });
            self.note(&format!("error: {error:#}"));
        };
        if let Err(error) = renewed {
            fail(&mut tally, error);
        }
        for check in checks {
            match self.check(check) {
                Ok(counted) => tally.add(counted),
                Err(error) => fail(&mut tally, error),
            }
        }
        if let Err(error) = after(tally.failed > 0) {
            fail(&mut tally, error);
        }
        drop(task);
        let Self { cx, name, log, start } = self;
        let took = start.elapsed();
        if tally.failed > 0 {
            show(name, &log);
        }
        let Tally { passed, failed } = tally;
        let seconds = took.as_secs_f64();
        cx.progress.say(format!("{name}: {passed} passed, {failed} failed in {seconds:.1} s"));
        Outcome { name, tally, took }
    }

    fn check(&self, check: Check) -> Result<Tally> {
        self.cx.cancel.check()?;
        let (mut command, count) = match check {
            Check::Fact(fact) => {
                self.note(&fact?);
                return Ok(Tally { passed: 1, failed: 0 });
            }
            Check::Program(command, count) => (command, count),
        };
        self.note(&format!("--- {}", line(&command)));
        // A file of its own, so that only this program's output is counted.
        let own = self.log.with_extension("output");
        let file = File::create(&own).with_context(|| format!("write {}", own.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let status = wait(&self.cx.cancel, &mut command);
        let output = std::fs::read(&own)?;
        let output = String::from_utf8_lossy(&output);
        self.note(&if count == Count::Go { go_text(&output) } else { output.to_string() });
        cache::remove(&own)?;
        let status = status?;
        if !status.success() {
            self.note(&format!("error: {}: {status}", line(&command)));
        }
        Ok(count.tally(&output, status.success()))
    }

    fn note(&self, text: &str) {
        let written =
            open_log(&self.log).and_then(|mut log| Ok(writeln!(log, "{}", text.trim_end())?));
        if let Err(error) = written {
            self.cx.progress.say(format!("{}: {error:#}", self.name));
        }
    }
}

/// Prints the end of a log, and what tells of failures before it.
fn show(name: &str, log: &Path) {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let shown = format!("===== {name} FAILED; {}\n{}\n=====\n", log.display(), telling(&text));
    // One write: another group may print at the same time.
    let _ = std::io::stderr().lock().write_all(shown.as_bytes());
}

fn telling(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let (before, tail) = lines.split_at(lines.len().saturating_sub(TAIL_LINES));
    let tells = |line: &&&str| ["FAIL", "panicked", "error"].iter().any(|word| line.contains(word));
    let mut shown: Vec<&str> = before.iter().filter(tells).copied().take(TELLING_LINES).collect();
    if !before.is_empty() {
        shown.push("[…]");
    }
    shown.extend(tail);
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_early_panic_is_shown_though_much_follows() {
        let mut text = "compiling\nthread 'a' panicked at src/a.rs\n".to_owned();
        text.extend((0..TAIL_LINES).map(|n| format!("line {n}\n")));
        let shown = telling(&text);
        assert!(shown.starts_with("thread 'a' panicked at src/a.rs\n[…]\nline 0\n"), "{shown}");
        assert!(!shown.contains("compiling"));
        assert!(shown.ends_with("line 149"));
    }
}
