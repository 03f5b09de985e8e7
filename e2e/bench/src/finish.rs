//! From the end of an agent's process to the moment at which somebody who waits is told. Ours: a session, and the
//! answer to a request that waits for its end. Theirs: a Job with the same agent and without a runner, created
//! directly in the same tenant, and the event of a watch that says that it is complete. Both agents tell the time
//! as their last act.

use crate::{
    direct::{self, Agent, Batch, Shape, spoken},
    figure::{Figure, Goal},
    machine::rest,
    probe,
};
use anyhow::{Context, Result, ensure};
use black_box::{Lab, TestTenant};

/// Ends without what an interpreter does at its end, so that nothing comes after the last word.
const SAY_WHEN: &str =
    "import os, time; time.sleep(1); print('exits', time.time(), flush=True); os._exit(0)";
const WORD: &str = "exits";
const PATIENCE_S: u64 = 120;

pub(crate) fn measure(lab: &Lab, runs: usize) -> Result<Vec<Figure>> {
    let tenant = TestTenant::ready(lab, "bench-finish")?;
    let agent = Agent::python(lab, SAY_WHEN);
    // Both sides warm: image on the node, connections open.
    session(&tenant, &agent)?;
    job(&tenant, &agent)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        rest()?;
        theirs.push(job(&tenant, &agent)?);
        rest()?;
        ours.push(session(&tenant, &agent)?);
    }
    tenant.removed(PATIENCE_S)?;
    let name = "finish".to_owned();
    Ok(vec![Figure { name, unit: "ms", ours, theirs, goal: Goal::Ratio(0.1) }])
}

fn session(tenant: &TestTenant, agent: &Agent) -> Result<f64> {
    let id = tenant.session(&agent.session())?;
    let session = tenant.session_end_told(&id, PATIENCE_S)?;
    let told = probe::now();
    ensure!(session["state"] == "succeeded", "{session}");
    Ok((told - spoken(&tenant.session_log(&id)?, WORD)?) * 1000.0)
}

fn job(tenant: &TestTenant, agent: &Agent) -> Result<f64> {
    let batches = [Batch::new(tenant, 1, Shape::Bare)];
    let told = direct::complete(&tenant.lab, agent, &batches, PATIENCE_S)?;
    let told = told.first().context("one batch")?.end();
    let exit = spoken(&batches[0].log()?, WORD)?;
    direct::delete(&batches)?;
    Ok((told - exit) * 1000.0)
}
