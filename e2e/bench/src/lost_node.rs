//! A machine vanishes, with two sessions on it: one that may run again, and one that may not. From the cut until
//! Warren tells why the first one's run ended and the second one failed, and until the next run's agent runs on the
//! other machine. The host's node monitor is as upstream has it: a node counts as lost after 40 to 50 s.
//!
//! There is no other side: a Job's pod stays where it was for five more minutes, by the toleration that every pod
//! gets.

use crate::{
    direct::Agent,
    figure::{Figure, Goal},
    probe,
};
use anyhow::{Result, bail, ensure};
use black_box::{Lab, Node, TestTenant, until};
use serde_json::{Value, json};

/// Longer than anything here takes.
const LINE: &str = "echo begun; sleep 900";
const PATIENCE_S: u64 = 180;

pub(crate) fn measure(lab: &Lab, runs: usize) -> Result<Vec<Figure>> {
    let [stays, goes] = lab.nodes.as_slice() else { bail!("two nodes: {:?}", lab.nodes) };
    let cordoned = goes.cordon(lab)?;
    let tenant = TestTenant::ready(lab, "bench-lost")?;
    drop(cordoned);
    let (mut told, mut again) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let lost = one_cut(&tenant, stays, goes)?;
        told.push(lost.told);
        again.push(lost.again);
    }
    tenant.removed(PATIENCE_S)?;
    let figure = |what: &str, ours| Figure {
        name: format!("lost-node: {what}"),
        unit: "s",
        ours,
        theirs: Vec::new(),
        goal: Goal::AtMost(60.0),
    };
    Ok(vec![figure("infrastructure", told), figure("next run", again)])
}

/// Seconds from the cut.
struct Lost {
    /// Until both sessions tell what happened.
    told: f64,
    /// Until another agent runs.
    again: f64,
}

fn one_cut(tenant: &TestTenant, stays: &Node, goes: &Node) -> Result<Lost> {
    let lab = &tenant.lab;
    let cordoned = stays.cordon(lab)?;
    let mut body = Agent::small(lab, LINE).session();
    body["gracePeriodSeconds"] = json!(1);
    let once = tenant.session(&body)?;
    body["retry"] = json!({"infrastructure": {"attempts": 2, "backoffSeconds": 0}});
    let twice = tenant.session(&body)?;
    for id in [&once, &twice] {
        tenant.session_wait(id, &["running"], PATIENCE_S)?;
    }
    drop(cordoned);

    let unplugged = goes.unplug()?;
    let cut = probe::now();
    let (mut failed, mut ended, mut again) = (None, None, None);
    let lost = until("both sessions' ends and the next run", PATIENCE_S, || {
        let since = probe::now() - cut;
        let session = tenant.session_get(&once)?;
        if session["state"] == "failed" {
            ensure!(is_lost(&session), "{session}");
            failed.get_or_insert(since);
        }
        let runs = lab.get(&tenant.path(&format!("/sessions/{twice}/runs")))?["items"].clone();
        if runs[0]["cause"].is_object() {
            ensure!(is_lost(&runs[0]), "{runs}");
            ended.get_or_insert(since);
        }
        if runs[1]["startedAt"].is_string() {
            again.get_or_insert(since);
        }
        let lost = failed.zip(ended).zip(again);
        let lost =
            lost.map(|((failed, ended), again)| Lost { told: f64::max(failed, ended), again });
        Ok(lost.ok_or_else(|| format!("{session} {runs}")))
    })?;

    drop(unplugged);
    goes.wait_ready(lab, PATIENCE_S)?;
    lab.post(&tenant.path(&format!("/sessions/{twice}/stop")), &json!({}))?;
    tenant.session_end(&twice, PATIENCE_S)?;
    Ok(lost)
}

fn is_lost(of: &Value) -> bool {
    of["cause"]["class"] == "infrastructure" && of["cause"]["reason"] == "NodeLost"
}
