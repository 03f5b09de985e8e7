//! Short programs that are run to their end.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Runs a program and returns what it printed.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let line = line(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("start {line}"))?;
    if !output.status.success() {
        bail!("{line}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `ip` with these words.
pub(crate) fn ip(words: &str) -> Result<String> {
    capture(Command::new("ip").args(words.split_whitespace()))
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
