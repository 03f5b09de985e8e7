//! `status`: every part with its process, its health and since when.

use std::io::Write;

use anyhow::{Context as _, Result};

use crate::layout::{Layout, read_json};
use crate::process::age;
use crate::record::{Health, Phase, Record};

/// Prints the lab's state; returns whether all is well.
pub(crate) fn print(layout: &Layout, as_json: bool) -> Result<bool> {
    let mut out = std::io::stdout().lock();
    let Some(record) = read(layout) else {
        let text = if as_json { "{\"phase\":\"down\",\"parts\":[]}" } else { "the lab is down" };
        writeln!(out, "{text}")?;
        return Ok(false);
    };
    if as_json {
        writeln!(out, "{}", serde_json::to_string_pretty(&record)?)?;
        return Ok(record.is_healthy());
    }
    writeln!(out, "{:<28} {:>8}  {:<10} {:>12}  DETAIL", "PART", "PID", "HEALTH", "SINCE")?;
    for part in &record.parts {
        writeln!(
            out,
            "{:<28} {:>8}  {:<10} {:>12}  {}",
            part.name,
            part.process.pid,
            name(&part.health)?,
            age(part.since_ms),
            part.detail
        )?;
    }
    writeln!(out, "{} for {}", name(&record.phase)?, age(record.since_ms))?;
    Ok(record.is_healthy())
}

/// The record as it is now: if the supervisor is gone, nobody updates it, so look.
fn read(layout: &Layout) -> Option<Record> {
    let mut record: Record = read_json(&layout.record()).ok()?;
    let alive = record.processes();
    if !alive.contains(&record.supervisor) {
        record.phase = Phase::Abandoned;
        for part in record.parts.iter_mut().filter(|part| !alive.contains(&part.process)) {
            if !matches!(part.health, Health::Died | Health::Stopped) {
                part.turn(Health::Died, "ended unseen");
            }
        }
    }
    Some(record)
}

/// The name that a value has in JSON.
fn name(value: &impl serde::Serialize) -> Result<String> {
    let value = serde_json::to_value(value)?;
    value.as_str().map(str::to_owned).context("is a name")
}
