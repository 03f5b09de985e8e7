//! Running other programs.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::cancel::Cancel;

/// How often a running program is looked at.
const LOOK: Duration = Duration::from_millis(25);
/// How long a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
/// How much of a log an error shows.
const TAIL_LINES: usize = 20;

/// Runs a short program to its end and returns what it printed.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {}", line(command)))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}\n{}", line(command), output.status, tail(&errors));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a short program to its end, with `input` as its standard input.
pub(crate) fn feed(command: &mut Command, input: &str) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", line(command)))?;
    // Small inputs only: they fit into the pipe, so writing cannot wait for reading.
    child.stdin.take().context("standard input is a pipe")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}\n{}", line(command), output.status, tail(&errors));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a long program with its output appended to a log; the end of the log is
/// shown if it fails, and it is ended when the lab is.
pub(crate) fn logged(cancel: &Cancel, command: &mut Command, log: &Path) -> Result<()> {
    let mut file = open_log(log)?;
    writeln!(file, "--- {}", line(command))?;
    let start = file.metadata()?.len();
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let status = wait(cancel, command)?;
    if !status.success() {
        let text = std::fs::read(log).unwrap_or_default();
        let new = text.get(usize::try_from(start)?..).unwrap_or(&text);
        let end = tail(&String::from_utf8_lossy(new));
        bail!("{}: {status}; {} ends with\n{end}", line(command), log.display());
    }
    Ok(())
}

/// Runs a program in a process group of its own until it ends or the lab is asked to.
pub(crate) fn wait(cancel: &Cancel, command: &mut Command) -> Result<ExitStatus> {
    let mut child =
        command.process_group(0).spawn().with_context(|| format!("start {}", line(command)))?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if let Err(ended) = cancel.wait(LOOK) {
            end(&mut child)?;
            return Err(ended.context(line(command)));
        }
    }
}

/// Runs a program to its end, or until the lab is asked to end, and returns what it said.
pub(crate) fn output(cancel: &Cancel, command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child =
        command.process_group(0).spawn().with_context(|| format!("start {}", line(command)))?;
    let group = Pid::from_child(&child);
    let reader = thread::spawn(move || child.wait_with_output());
    while !reader.is_finished() {
        if let Err(ended) = cancel.wait(LOOK) {
            // It may be gone already.
            let _ = kill_process_group(group, Signal::TERM);
            return Err(ended.context(line(command)));
        }
    }
    let output = reader.join().map_err(|_| anyhow!("reading what it says panicked"))?;
    output.with_context(|| format!("wait for {}", line(command)))
}

fn end(child: &mut Child) -> Result<()> {
    let group = Pid::from_child(child);
    let never = Cancel::default();
    for (signal, grace) in [(Signal::TERM, GRACE), (Signal::KILL, GRACE)] {
        // The group may be gone already.
        let _ = kill_process_group(group, signal);
        let mut left = grace;
        while left > Duration::ZERO {
            if child.try_wait()?.is_some() {
                return Ok(());
            }
            never.wait(LOOK)?;
            left = left.saturating_sub(LOOK);
        }
    }
    bail!("process {} does not end", child.id())
}

pub(crate) fn open_log(log: &Path) -> Result<File> {
    if let Some(folder) = log.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let file = OpenOptions::new().create(true).append(true).open(log);
    file.with_context(|| format!("open {}", log.display()))
}

/// The last lines of a text.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// The program with its arguments, for messages.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
