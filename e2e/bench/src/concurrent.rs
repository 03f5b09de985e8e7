//! Many sessions of several tenants, all asked for at once: from the first request until the last one is over.
//!
//! Theirs are Jobs with the same agent and the same resources, created directly in the same tenants, one client for
//! each tenant, and waited for by a watch. The tenants' plan lets all sessions begin at the same time, so nothing
//! waits for Warren's leave: how many run at once is on both sides what the scheduler finds room for on the same two
//! nodes. A bare Job has neither the runner nor its init container; what those cost is shown by Jobs that have them.
//!
//! Agents of two seconds with hardly any processor time of their own make the machine do nothing but start and end
//! pods: the worst that can be asked for. Agents of twenty seconds are what the shortest real ones are like.

use crate::{
    direct::{self, Agent, Batch, Shape},
    figure::{Figure, Goal},
    machine::rest,
    probe::{self, Told},
    tenants,
};
use anyhow::Result;
use black_box::{Lab, TestTenant};

const TENANTS: usize = 5;
/// Its sessions may all run at the same time: 100 of each tenant.
const PLAN: &str = "enterprise";
const PATIENCE_S: u64 = 600;

/// So many sessions at once.
struct Case {
    count: usize,
    /// How long an agent takes by itself.
    agent_s: u32,
    /// Its processor time, requested and at most.
    cpu: &'static str,
    /// What they are held against. The second shape is there for comparison only.
    shapes: &'static [Shape],
}

const CASES: [Case; 3] = [
    Case { count: 50, agent_s: 2, cpu: "40m", shapes: &[Shape::Bare, Shape::Session] },
    Case { count: 50, agent_s: 20, cpu: "100m", shapes: &[Shape::Bare] },
    Case { count: 200, agent_s: 20, cpu: "100m", shapes: &[Shape::Bare] },
];

pub(crate) fn measure(lab: &Lab, runs: usize) -> Result<Vec<Figure>> {
    let tenants = tenants::made(lab, "bench-many", TENANTS, PLAN)?;
    // Both sides warm: images on the nodes, connections open.
    let agent = Agent::small(lab, "echo begun; echo over");
    jobs(lab, &tenants, &agent, TENANTS, Shape::Session)?;
    sessions(&tenants, &agent, TENANTS)?;
    let mut figures = Vec::new();
    for case in CASES {
        figures.extend(measured(lab, &tenants, &case, runs)?);
    }
    tenants::removed(&tenants)?;
    Ok(figures)
}

fn measured(lab: &Lab, tenants: &[TestTenant], case: &Case, runs: usize) -> Result<Vec<Figure>> {
    let Case { count, agent_s, cpu, shapes } = *case;
    let line = format!("echo begun; sleep {agent_s}; echo over");
    let agent = Agent::small(lab, &line).with_cpu(cpu);
    let (mut ours, mut failed) = (Vec::new(), Vec::new());
    let mut theirs = vec![Vec::new(); shapes.len()];
    for _ in 0..runs {
        for (theirs, shape) in theirs.iter_mut().zip(shapes) {
            rest()?;
            theirs.push(jobs(lab, tenants, &agent, count, *shape)?);
        }
        rest()?;
        let end = sessions(tenants, &agent, count)?;
        ours.push(end.makespan);
        failed.push(end.failed);
    }
    let name = format!("concurrent {count} of {agent_s} s");
    let mut figures = Vec::new();
    for (theirs, shape) in theirs.into_iter().zip(shapes) {
        let (suffix, goal) = match shape {
            Shape::Bare => ("", Goal::Ratio(1.15)),
            Shape::Session => (" / with init", Goal::None),
        };
        let name = format!("{name}{suffix}");
        figures.push(Figure { name, unit: "s", ours: ours.clone(), theirs, goal });
    }
    figures.push(Figure {
        name: format!("{name}: not succeeded"),
        unit: "sessions",
        ours: failed,
        theirs: Vec::new(),
        goal: Goal::Never(0.0),
    });
    Ok(figures)
}

struct End {
    /// Seconds.
    makespan: f64,
    /// How many did not succeed.
    failed: f64,
}

fn sessions(tenants: &[TestTenant], agent: &Agent, count: usize) -> Result<End> {
    let body = agent.session();
    let start = probe::now();
    let mut begun = Vec::new();
    for tenant in tenants.iter().cycle().take(count) {
        begun.push((tenant, tenant.session(&body)?));
    }
    let mut failed = 0.0;
    for (tenant, id) in &begun {
        let session = tenant.session_end_told(id, PATIENCE_S)?;
        if session["state"] != "succeeded" {
            eprintln!("{session}");
            failed += 1.0;
        }
    }
    let makespan = probe::now() - start;
    eprintln!("  {count} sessions: {makespan:.1} s");
    for tenant in tenants {
        direct::delete_of_sessions(tenant)?;
    }
    Ok(End { makespan, failed })
}

/// `count` is a multiple of the number of tenants.
fn jobs(
    lab: &Lab,
    tenants: &[TestTenant],
    agent: &Agent,
    count: usize,
    shape: Shape,
) -> Result<f64> {
    let each = count / tenants.len();
    let batches: Vec<Batch<'_>> =
        tenants.iter().map(|tenant| Batch::new(tenant, each, shape)).collect();
    let told = direct::complete(lab, agent, &batches, PATIENCE_S)?;
    let begun = told.iter().map(|told| told.begun).fold(f64::INFINITY, f64::min);
    let makespan = told.iter().map(Told::end).fold(begun, f64::max) - begun;
    eprintln!("  {count} Jobs: {makespan:.1} s");
    for batch in &batches {
        direct::delete(std::slice::from_ref(batch))?;
    }
    Ok(makespan)
}
