//! Warren is killed in the middle of its work: 50 sessions of 5 tenants live. There is no other side, as Jobs have
//! nobody who could be killed for them.
//!
//! Measured from the kill, with the time that the lab's supervisor takes to start it again, until it is ready and
//! every tenant's quota is back that was deleted on the host while nobody looked: what is only ready has not put
//! anything right yet. Afterwards all sessions have to succeed, each with every line of its log, once.

use crate::{
    direct::Agent,
    figure::{Figure, Goal},
    machine::wait,
    probe, tenants,
};
use anyhow::{Result, ensure};
use black_box::{Lab, TestTenant, until};
use std::{path::Path, time::Duration};

const TENANTS: usize = 5;
const SESSIONS: usize = 50;
/// Its sessions may all run at the same time: 20 of each tenant.
const PLAN: &str = "pro";
/// Until the last of them runs, in seconds; the first one must not be over by then.
const START_S: usize = 150;
/// How long one run takes at most, in seconds, with the pause after it.
const RUN_S: usize = 12;
const PAUSE: Duration = Duration::from_secs(5);
const PATIENCE_S: u64 = 60;
const QUOTAS: [&str; 4] = ["resourcequotas", "--all-namespaces", "-l", MANAGED];
const MANAGED: &str = "app.kubernetes.io/managed-by=warren";

pub(crate) fn measure(lab: &Lab, runs: usize) -> Result<Vec<Figure>> {
    let tenants = tenants::made(lab, "bench-killed", TENANTS, PLAN)?;
    let lines = START_S + RUN_S * runs;
    let line =
        format!("n=0; while [ $n -lt {lines} ]; do n=$((n + 1)); echo line $n; sleep 1; done");
    let body = Agent::small(lab, &line).session();
    let sessions: Vec<(&TestTenant, String)> = tenants
        .iter()
        .cycle()
        .take(SESSIONS)
        .map(|tenant| Ok((tenant, tenant.session(&body)?)))
        .collect::<Result<_>>()?;
    for (tenant, id) in &sessions {
        let patience = u64::try_from(START_S)?;
        let session = tenant.session_wait(id, &["running", "succeeded", "failed"], patience)?;
        ensure!(session["state"] == "running", "all live at the same time: {session}");
    }
    let mut times = Vec::new();
    for _ in 0..runs {
        times.push(reconciles(lab)?);
        wait(PAUSE);
    }
    let is_over = |(tenant, id): &&(&TestTenant, String)| {
        tenant.session_get(id).is_ok_and(|session| session["finishedAt"].is_string())
    };
    let over = sessions.iter().filter(is_over).count();
    ensure!(over == 0, "{over} sessions were over before the last kill");

    let expected: Vec<String> = (1..=lines).map(|n| format!("line {n}")).collect();
    let (mut lost, mut broken) = (0.0, 0.0);
    for (tenant, id) in &sessions {
        let session = tenant.session_end_told(id, u64::try_from(lines)? + PATIENCE_S)?;
        if session["state"] != "succeeded" {
            eprintln!("{session}");
            lost += 1.0;
        }
        if !tenant.session_log(id)?.lines().eq(&expected) {
            broken += 1.0;
        }
    }
    tenants::removed(&tenants)?;
    let figure = |name: &str, unit, ours, goal| Figure {
        name: format!("restart{name}"),
        unit,
        ours,
        theirs: Vec::new(),
        goal,
    };
    Ok(vec![
        figure("", "s", times, Goal::AtMost(2.0)),
        figure(": lost", "sessions", vec![lost], Goal::Never(0.0)),
        figure(": with a gap or a repeat", "logs", vec![broken], Goal::Never(0.0)),
    ])
}

/// Seconds from a kill until Warren puts right what happened meanwhile.
fn reconciles(lab: &Lab) -> Result<f64> {
    let before = quotas(lab)?;
    let process = lab.process("warren")?;
    let start = probe::now();
    let restart = lab.restart_begin("warren", "KILL")?;
    until("the server has ended", PATIENCE_S, || {
        let is_there = Path::new("/proc").join(&process).exists();
        Ok(if is_there { Err(format!("{process} is there")) } else { Ok(()) })
    })?;
    let delete: Vec<&str> = ["delete"].into_iter().chain(QUOTAS).collect();
    lab.kubectl(&delete)?.success()?;
    until("the server is ready", PATIENCE_S, || {
        // A connection that is made before the server accepts waits for it; one may break with the old server.
        let answer = lab.request(reqwest::Method::GET, "/readyz")?.send();
        let is_ready = answer.as_ref().is_ok_and(|answer| answer.status().is_success());
        Ok(if is_ready { Ok(()) } else { Err(format!("{answer:?}")) })
    })?;
    until("all quotas are back", PATIENCE_S, || {
        let now = quotas(lab)?;
        Ok(if now == before { Ok(()) } else { Err(format!("{now} of {before}")) })
    })?;
    let took = probe::now() - start;
    restart.wait()?;
    Ok(took)
}

fn quotas(lab: &Lab) -> Result<usize> {
    let get: Vec<&str> = ["get", "-o", "name"].into_iter().chain(QUOTAS).collect();
    Ok(lab.kubectl(&get)?.success()?.lines().count())
}
