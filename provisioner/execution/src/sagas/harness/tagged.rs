//! Templates that Warren is told of by their tag alone.

use super::{
    node::{attached, calmly},
    site::Site,
    time::quickly,
    world::{Beginning, World},
};
use crate::machines::RELEASE;
use domain::PlanName;
use proxmox_simulator::Act;
use std::time::Duration;
use tokio::time::sleep;

const TAG: &str = "warren-node";
/// Until a cluster of Proxmox VE shows what was changed.
const SHOWN: Duration = Duration::from_secs(15);

fn tag(vm: u32, tags: Option<&str>) -> Act {
    Act::SetOption { vm, key: "tags".to_owned(), value: tags.map(str::to_owned) }
}

#[test]
fn a_machine_is_made_of_the_template_that_carries_the_tag_now() {
    quickly(async {
        let site = Site { tag: Some(TAG), ..Site::default() };
        let world = World::at(site, &Beginning::new().await, PlanName::DedicatedS, 1).await;
        let act = async |act| world.simulator.act(act).await.expect("it is there");
        let first = attached(&world).await;
        assert_eq!(first.place.as_deref(), Some("pve1"), "both are empty");
        let release = world.store.node_release(first.id).await.expect("it is there").id;
        calmly(&world, &RELEASE, release).await;

        act(tag(9001, Some("Other;warren-node-old"))).await;
        act(tag(9002, Some("other;Warren-Node"))).await;
        sleep(SHOWN).await;
        let second = attached(&world).await;
        assert_eq!(second.place.as_deref(), Some("pve2"), "there is none on pve1 any more");
    });
}
