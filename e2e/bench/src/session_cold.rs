//! From the request for a session to its running process, against Jobs of the same shape that are
//! created directly in the same tenant.

use crate::{
    direct::{self, Agent, Batch, Shape, spoken},
    figure::{Figure, Goal},
    machine::rest,
    probe::{self, Told},
};
use anyhow::{Result, ensure};
use black_box::{Lab, TestTenant};

/// Prints the time of day with more than seconds: the agent image has a real Python.
const SAY_WHEN: &str = "import time; print('started', time.time())";
const WORD: &str = "started";

/// How many sessions one after the other stand against one burst: a 95th percentile wants some values.
const ALONE: usize = 4;

pub(crate) fn measure(lab: &Lab, runs: usize) -> Result<Vec<Figure>> {
    let tenant = TestTenant::created_with_plan(lab, "bench-sessions", "enterprise")?;
    tenant.wait_ready()?;
    let agent = Agent::python(lab, SAY_WHEN);
    // Both sides warm: image on the node, connections open.
    sessions(&tenant, &agent, 1)?;
    jobs(&tenant, &agent, 1, Shape::Session)?;
    let mut figures = Vec::new();
    for (at_once, runs) in [(1, ALONE * runs), (10, runs)] {
        let (mut ours, mut theirs, mut bare) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..runs {
            rest()?;
            theirs.extend(jobs(&tenant, &agent, at_once, Shape::Session)?);
            rest()?;
            ours.extend(sessions(&tenant, &agent, at_once)?);
            rest()?;
            bare.extend(jobs(&tenant, &agent, at_once, Shape::Bare)?);
        }
        let figure = |suffix: &str, ours: &[f64], theirs: &[f64], goal| Figure {
            name: format!("session-cold {at_once} at once{suffix}"),
            unit: "ms",
            ours: ours.to_vec(),
            theirs: theirs.to_vec(),
            goal,
        };
        figures.push(figure(" p50", &ours, &theirs, Goal::Difference(60.0)));
        figures.push(figure(" p95", &ours, &theirs, Goal::DifferenceP95(150.0)));
        figures.push(figure(" / bare Job", &ours, &bare, Goal::None));
    }
    Ok(figures)
}

fn sessions(tenant: &TestTenant, agent: &Agent, count: usize) -> Result<Vec<f64>> {
    let body = agent.session();
    // A request is answered in a few milliseconds: one after the other is at once.
    let started: Vec<(String, f64)> = (0..count)
        .map(|_| {
            let start = probe::now();
            Ok((tenant.session(&body)?, start))
        })
        .collect::<Result<_>>()?;
    started
        .iter()
        .map(|(id, start)| {
            // Follows to the end: questions would take the time of the pods that start.
            let follow = ["session", "logs", id, "--tenant", &tenant.name, "--follow"];
            let log = tenant.lab.warren(&follow)?.success()?;
            let session = tenant.session_end(id, 120)?;
            ensure!(session["state"] == "succeeded", "{session}");
            Ok((spoken(&log, WORD)? - start) * 1000.0)
        })
        .collect()
}

/// Jobs that are created directly, each over an open connection of its own. The clock of each starts before
/// its first request.
fn jobs(tenant: &TestTenant, agent: &Agent, count: usize, shape: Shape) -> Result<Vec<f64>> {
    let batches: Vec<Batch<'_>> = (0..count).map(|_| Batch::new(tenant, 1, shape)).collect();
    let told = direct::complete(&tenant.lab, agent, &batches, 120)?;
    let time = |(batch, told): (&Batch<'_>, &Told)| {
        anyhow::Ok((spoken(&batch.log()?, WORD)? - told.begun) * 1000.0)
    };
    let times = batches.iter().zip(&told).map(time).collect::<Result<_>>()?;
    direct::delete(&batches)?;
    Ok(times)
}
