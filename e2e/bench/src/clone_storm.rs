//! Thirty nodes asked for at once, on the simulated Proxmox VE without machines, in a time of its own: the executor's
//! harness measures it, on a storage of each node's own and on one of all, beside the time that the copies leave no way around, and beside somebody who makes the
//! same machines by hand, one after the other. It needs nothing of the lab.

use crate::figure::{Figure, Goal};
use anyhow::{Context, Result};
use black_box::{Lab, run};
use serde::Deserialize;
use std::process::Command;

const TESTS: &str = "sagas::harness::storm::thirty_nodes_asked_for_at_once_";
/// Which there are, by what machines' disks are on.
const STORAGES: [(&str, &str); 2] = [
    ("a storage each", "are_ready_as_soon_as_their_storages_let_them"),
    ("one storage", "take_turns_where_one_storage_has_all_disks"),
];
/// How the line begins that has the figures.
const LINE: &str = "clone-storm: ";

/// Seconds of the time in which it is measured.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    makespan: f64,
    /// The copies by themselves, by how many there may be at once, and what one node takes beside.
    bound: f64,
    by_hand: f64,
    refused_locks: f64,
}

pub(crate) fn measure(_: &Lab, runs: usize) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (storage, test) in STORAGES {
        let all = (0..runs).map(|_| once(test)).collect::<Result<Vec<_>>>()?;
        let each = |of: fn(&Measured) -> f64| all.iter().map(of).collect::<Vec<_>>();
        let figure = |what: &str, unit, ours, theirs, goal| Figure {
            name: format!("clone-storm, {storage}: {what}"),
            unit,
            ours,
            theirs,
            goal,
        };
        let ready = each(|one| one.makespan);
        let (bound, by_hand) = (each(|one| one.bound), each(|one| one.by_hand));
        let refused = each(|one| one.refused_locks);
        figures.extend([
            figure("30 nodes ready", "s", ready.clone(), bound, Goal::Ratio(1.2)),
            figure("by hand, one by one", "s", ready, by_hand, Goal::Ratio(1.0)),
            figure("locks refused", "locks", refused, vec![], Goal::Never(0.0)),
        ]);
    }
    Ok(figures)
}

fn once(test: &str) -> Result<Measured> {
    let mut command = Command::new("cargo");
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args(["test", "--quiet", "--package", "execution", "--lib", "--"]);
    command.args(["--exact", &format!("{TESTS}{test}"), "--nocapture"]);
    // The test holds the goal, too: one that is missed is told here like any other.
    let told = run(&mut command, "")?.text();
    let line = told.lines().find_map(|line| Some(line.split_once(LINE)?.1));
    let line = line.with_context(|| format!("no line with figures in {told}"))?;
    serde_json::from_str(line).context("read the figures")
}
