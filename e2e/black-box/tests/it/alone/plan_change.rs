//! A change of plan while the server is killed.

use crate::dedicated::{is_gone, pause, text};
use crate::plan_change::{change, has_plan, made};
use anyhow::{Result, ensure};
use black_box::{Lab, Web};
use serde_json::{Value, json};
use std::time::Duration;

fn is_over(lab: &Lab, operation: &Value) -> Result<bool> {
    let operation = lab.get(&format!("/api/v1/operations/{}", text(operation, "/id")))?;
    Ok(matches!(text(&operation, "/state"), "succeeded" | "failed"))
}

#[test]
fn a_change_whose_server_is_killed_again_and_again_ends_in_exactly_one_plan() -> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    let tenant = made(&lab, "killed-change", "pro")?;
    let web = Web::deployed(&tenant)?;
    let mut own = Vec::new();
    for (wish, nodes, often) in
        [(json!({ "plan": "dedicated-s", "nodes": 1 }), 1, 20), (json!({ "plan": "pro" }), 0, 6)]
    {
        let begun = change(&tenant, &lab, &wish)?;
        let mut kills = 0;
        while kills < often && !is_over(&lab, &begun["operation"])? {
            // From the first moments of a step to the next one.
            pause(Duration::from_millis(200 + 200 * (kills % 8)));
            lab.restart("warren", "KILL")?;
            kills += 1;
        }
        let end = tenant.operation_end(&begun["operation"], 240)?;
        ensure!(end["state"] == "succeeded", "after {kills} kills: {end}");
        ensure!(kills == often, "it was over after {kills} kills");
        own.extend(has_plan(&lab, &tenant, text(&wish, "/plan"), nodes)?);
    }
    for machine in own {
        is_gone(&lab, &machine)?;
    }
    ensure!(web.is_whole()?, "nothing of it is missing");
    Ok(())
}
