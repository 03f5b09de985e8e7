//! A node is made while the server is killed.

use crate::dedicated::{is_gone, machines, own_node, pause, text};
use anyhow::{Result, ensure};
use black_box::{Lab, TestTenant};
use std::time::Duration;

#[test]
fn one_machine_is_made_though_the_server_is_killed_while_it_is_and_while_it_goes() -> Result<()> {
    let Some(lab) = Lab::alone() else { return Ok(()) };
    let tenant = TestTenant::created_with_nodes(&lab, "killed-attach", 1)?;
    for _ in 0..6 {
        lab.restart("warren", "KILL")?;
        pause(Duration::from_millis(900));
    }
    tenant.wait_ready()?;
    let own = own_node(&lab, &tenant)?;
    let machine = text(&own, "/name").to_owned();
    let made = machines(&lab)?;
    ensure!(made.iter().filter(|name| **name == machine).count() == 1, "{made:?}");
    let attached = tenant.operations("node-attach")?;
    ensure!(attached.len() == 1 && attached[0]["state"] == "succeeded", "{attached:?}");

    let operation = tenant.delete("")?;
    for _ in 0..4 {
        pause(Duration::from_millis(900));
        lab.restart("warren", "KILL")?;
    }
    let end = tenant.operation_end(&operation, 180)?;
    ensure!(end["state"] == "succeeded", "{end}");
    is_gone(&lab, &machine)?;
    Ok(())
}
