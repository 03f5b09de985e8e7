//! What `warren serve` holds in memory.

use crate::{
    figure::{Figure, Goal, percentile},
    machine::wait,
    tenants,
};
use anyhow::{Context, Result};
use black_box::{Lab, TestTenant};
use std::{fs, time::Duration};

const REAL_TENANTS: usize = 10;
const REGISTERED_TENANTS: usize = 200;

pub(crate) fn measure(lab: &Lab, runs: usize) -> Result<Vec<Figure>> {
    lab.restart("warren", "TERM")?;
    let empty = resident_mib(lab, runs)?;
    let real = tenants::made(lab, "memory", REAL_TENANTS, "starter")?;
    let with_real = resident_mib(lab, runs)?;
    let registered: Vec<TestTenant> = (0..REGISTERED_TENANTS)
        .map(|n| TestTenant::created(lab, &format!("row-{n}")))
        .collect::<Result<_>>()?;
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let each =
        |with_rows: &f64| (with_rows - percentile(&with_real, 0.5)) / REGISTERED_TENANTS as f64;
    let each: Vec<f64> = resident_mib(lab, runs)?.iter().map(each).collect();
    tenants::removed(&registered)?;
    tenants::removed(&real)?;
    let figure = |name: &str, values: &[f64], most| Figure {
        name: format!("memory {name}"),
        unit: "MiB",
        ours: values.to_vec(),
        theirs: Vec::new(),
        goal: Goal::AtMost(most),
    };
    Ok(vec![
        figure("empty", &empty, 48.0),
        figure("with 10 tenants", &with_real, 64.0),
        figure("per registered tenant", &each, 0.1),
    ])
}

/// What it holds at several moments, two seconds apart.
fn resident_mib(lab: &Lab, moments: usize) -> Result<Vec<f64>> {
    let pid = fs::read_to_string(lab.state.join("pid/warren")).context("read the pid of warren")?;
    let path = format!("/proc/{}/status", pid.trim());
    let mut found = Vec::new();
    for _ in 0..moments {
        wait(Duration::from_secs(2));
        let status = fs::read_to_string(&path).context("read its status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().context("a number of KiB")?;
        found.push(kib / 1024.0);
    }
    Ok(found)
}
