//! A node is made while the server is killed.

use crate::dedicated::{created, left_of, machines, own_node, pause, text};
use anyhow::{Result, ensure};
use black_box::Lab;
use std::time::Duration;

#[test]
fn one_machine_is_made_though_the_server_is_killed_while_it_is_and_while_it_goes() -> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    let tenant = created(&lab, "killed-attach")?;
    for _ in 0..6 {
        lab.restart("warren", "KILL")?;
        pause(Duration::from_millis(900));
    }
    tenant.wait_ready()?;
    let own = own_node(&lab, &tenant)?;
    let machine = text(&own, "/name").to_owned();
    let made = machines(&lab)?;
    ensure!(made.iter().filter(|name| **name == machine).count() == 1, "{made:?}");
    let operations = lab.get(&tenant.path("/operations"))?;
    let attached = operations["items"].as_array().into_iter().flatten();
    let attached: Vec<_> = attached.filter(|one| one["kind"] == "node-attach").collect();
    ensure!(attached.len() == 1 && attached[0]["state"] == "succeeded", "{operations}");

    let operation = tenant.delete("")?;
    for _ in 0..4 {
        pause(Duration::from_millis(900));
        lab.restart("warren", "KILL")?;
    }
    let end = tenant.operation_end(&operation, 180)?;
    ensure!(end["state"] == "succeeded", "{end}");
    let left = left_of(&lab, &machine)?;
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}
