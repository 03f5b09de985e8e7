//! From nothing to the first write that a new tenant's API server accepts.

use crate::{
    by_hand::Template,
    figure::{Figure, Goal},
    machine::rest,
    probe,
};
use anyhow::{Context, Result};
use black_box::{Lab, TestTenant, program_in, run, until};
use std::path::Path;

const PATIENCE_S: &str = "120";

pub(crate) fn measure(lab: &Lab, runs: usize) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let template = Template::made(lab, "bench-template")?;
    let (mut ours, mut theirs, mut accepted) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..runs {
        rest()?;
        let (made, start, kubeconfig) = template.apply(lab, number, folder.path())?;
        theirs.push(write_at(lab, &kubeconfig)? - start);
        drop(made);
        rest()?;
        let cold = by_warren(lab, number)?;
        ours.push(cold.first_write);
        accepted.push(cold.accepted * 1000.0);
    }
    Ok(vec![
        Figure { name: "tenant-cold".to_owned(), unit: "s", ours, theirs, goal: Goal::Ratio(1.10) },
        Figure {
            name: "tenant-cold: 201".to_owned(),
            unit: "ms",
            ours: accepted,
            theirs: Vec::new(),
            goal: Goal::AtMost(50.0),
        },
    ])
}

/// Seconds from the request to Warren.
pub(crate) struct Cold {
    /// Until Warren has answered that there will be a tenant.
    accepted: f64,
    /// Until the tenant's API server accepts a write.
    pub(crate) first_write: f64,
}

pub(crate) fn by_warren(lab: &Lab, number: usize) -> Result<Cold> {
    let start = probe::now();
    let tenant = TestTenant::created(lab, &format!("bench-{number}"))?;
    let accepted = probe::now() - start;
    until("a kubeconfig with an address", 120, || {
        Ok(tenant.kubeconfig().map_err(|error| format!("{error:#}")))
    })?;
    let first_write = write_at(lab, &tenant.kubeconfig()?)? - start;
    // The next run must not share the machine with this one's end.
    tenant.removed(120)?;
    Ok(Cold { accepted, first_write })
}

/// The time of day of the first accepted write, seen from inside the lab's network.
pub(crate) fn write_at(lab: &Lab, kubeconfig: &Path) -> Result<f64> {
    let mut command = program_in(&lab.control_namespace, std::env::current_exe()?);
    command.arg("wait-write").arg(kubeconfig).arg(PATIENCE_S);
    run(&mut command, "")?.success()?.trim().parse().context("the probe prints a time")
}
