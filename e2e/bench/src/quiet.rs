//! How much Warren writes to API servers when there is nothing to do.

use crate::{
    figure::{Figure, Goal},
    machine::wait,
    tenants,
};
use anyhow::{Context, Result};
use black_box::Lab;
use std::{fs, time::Duration};

const TENANTS: usize = 5;
const WINDOW: Duration = Duration::from_mins(1);

pub(crate) fn measure(lab: &Lab, runs: usize) -> Result<Vec<Figure>> {
    let tenants = tenants::made(lab, "quiet", TENANTS, "starter")?;
    let mut counts = Vec::new();
    let mut before = settled(lab)?;
    for _ in 0..runs {
        wait(WINDOW);
        let now = writes(lab)?;
        counts.push(now - before);
        before = now;
    }
    tenants::removed(&tenants)?;
    Ok(vec![Figure {
        name: "quiet: host writes in 60 s, 5 tenants".to_owned(),
        unit: "writes",
        ours: counts,
        theirs: Vec::new(),
        goal: Goal::AtMost(0.0),
    }])
}

/// Waits until the count has not moved for five seconds.
fn settled(lab: &Lab) -> Result<f64> {
    let mut last = writes(lab)?;
    loop {
        wait(Duration::from_secs(5));
        let now = writes(lab)?;
        if (now - last).abs() < 0.5 {
            return Ok(now);
        }
        last = now;
    }
}

/// Writes that the host's API server has audited for Warren's account.
#[expect(clippy::cast_precision_loss, reason = "a small count")]
fn writes(lab: &Lab) -> Result<f64> {
    let log =
        fs::read_to_string(lab.state.join("log/audit.log")).context("read the host's audit log")?;
    let is_write = |line: &&str| {
        ["create", "update", "patch", "delete", "deletecollection"]
            .iter()
            .any(|verb| line.contains(&format!("\"verb\":\"{verb}\"")))
    };
    Ok(log.lines().filter(|line| line.contains("\"username\":\"warren\"")).filter(is_write).count()
        as f64)
}
