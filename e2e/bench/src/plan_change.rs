//! A tenant moves to a node of its own and back while six sessions and a Deployment with a budget run in it. Ours: how
//! long its API server does not answer meanwhile. Theirs: how long it does not when somebody deletes the pod of its
//! control plane, which is the one restart that a change may cost.

use crate::{
    direct::Agent,
    figure::{Figure, Goal},
    machine::rest,
};
use anyhow::{Result, ensure};
use black_box::{Lab, Look, TestTenant, Web, until};
use serde_json::{Value, json};
use std::time::Instant;

const SESSIONS: usize = 6;
/// How long each of them runs, in seconds: less than a change takes, and more than its first steps.
const SESSION_S: u64 = 15;
const PATIENCE_S: u64 = 300;

/// What the moves of all runs came to.
#[derive(Default)]
struct Moves {
    away: Vec<f64>,
    there: Vec<f64>,
    back: Vec<f64>,
    below_budget: f64,
    lost: f64,
}

pub(crate) fn measure(lab: &Lab, runs: usize) -> Result<Vec<Figure>> {
    let tenant = TestTenant::created_with_plan(lab, "bench-moves", "pro")?;
    tenant.wait_ready()?;
    let web = Web::deployed(&tenant)?;
    let (mut theirs, mut moves) = (Vec::new(), Moves::default());
    for _ in 0..runs {
        rest()?;
        theirs.push(restarted(&tenant, &web)?);
        rest()?;
        let time = moved(&tenant, &web, &json!({ "plan": "dedicated-s", "nodes": 1 }), &mut moves)?;
        moves.there.push(time);
        rest()?;
        let time = moved(&tenant, &web, &json!({ "plan": "pro" }), &mut moves)?;
        moves.back.push(time);
    }
    tenant.removed(PATIENCE_S)?;
    let figure = |name: &str, unit, ours, goal| Figure {
        name: format!("plan-change{name}"),
        unit,
        ours,
        theirs: Vec::new(),
        goal,
    };
    let away = figure(": API away", "s", moves.away, Goal::Ratio(1.5));
    Ok(vec![
        Figure { theirs, ..away },
        figure(": below the budget", "looks", vec![moves.below_budget], Goal::Never(0.0)),
        figure(": lost", "sessions", vec![moves.lost], Goal::Never(0.0)),
        figure(": to a node of its own", "s", moves.there, Goal::None),
        figure(": back to shared nodes", "s", moves.back, Goal::None),
    ])
}

/// One change, with sessions that began before it; how long it took, in seconds.
fn moved(tenant: &TestTenant, web: &Web<'_>, wish: &Value, moves: &mut Moves) -> Result<f64> {
    let body = Agent::small(&tenant.lab, &format!("sleep {SESSION_S}")).session();
    let sessions = (0..SESSIONS).map(|_| tenant.session(&body));
    let sessions = sessions.collect::<Result<Vec<_>>>()?;
    for id in &sessions {
        tenant.session_wait(id, &["running"], PATIENCE_S)?;
    }
    let (took, seen) = web.watched(|| {
        let start = Instant::now();
        let (status, change) = tenant.lab.post(&tenant.path("/plan-changes"), wish)?;
        ensure!(status == 202, "{status} {change}");
        let end = tenant.operation_end(&change["operation"], PATIENCE_S)?;
        ensure!(end["state"] == "succeeded", "{end}");
        Ok(start.elapsed().as_secs_f64())
    })?;
    moves.away.push(away(&seen));
    let below = u32::try_from(seen.iter().filter(|look| look.is_below()).count())?;
    moves.below_budget += f64::from(below);
    for id in &sessions {
        let session = tenant.session_end_told(id, PATIENCE_S)?;
        if session["state"] != "succeeded" || session["run"]["attempt"] != 1 {
            eprintln!("{session}");
            moves.lost += 1.0;
        }
    }
    Ok(took)
}

/// Deletes the pod of the tenant's control plane; how long its API server does not answer, in seconds.
fn restarted(tenant: &TestTenant, web: &Web<'_>) -> Result<f64> {
    let pod = format!("{}-0", tenant.cluster()?);
    let identifier = || {
        let said = tenant.on_host(&["get", "pod", &pod, "-o", "jsonpath={.metadata.uid}"])?;
        Ok::<_, anyhow::Error>(said.success().unwrap_or_default())
    };
    let before = identifier()?;
    let ((), seen) = web.watched(|| {
        tenant.on_host(&["delete", "pod", &pod])?.success()?;
        until("another pod", PATIENCE_S, || {
            let now = identifier()?;
            Ok(if now.is_empty() || now == before { Err(now) } else { Ok(()) })
        })?;
        until("it answers", PATIENCE_S, || {
            Ok(if web.is_whole()? { Ok(()) } else { Err("not yet".to_owned()) })
        })
    })?;
    tenant.wait_ready()?;
    Ok(away(&seen))
}

/// From the first question without an answer to the first answer after the last of those, in seconds.
fn away(seen: &[Look]) -> f64 {
    let is_silent = |look: &Look| look.available.is_none();
    let (Some(first), Some(last)) =
        (seen.iter().find(|look| is_silent(look)), seen.iter().rposition(is_silent))
    else {
        return 0.0;
    };
    let back = seen.get(last + 1).unwrap_or(&seen[last]);
    back.answered.duration_since(first.asked).as_secs_f64()
}
