//! Whether machines find their network on every node.

use super::{Place, list, verdict};
use crate::{MachineSettings, doctor::Check};

const NETWORK: &str = "network";

pub(super) fn check(settings: &MachineSettings, places: &[Place]) -> Check {
    let findings: Vec<_> = places.iter().filter_map(|place| finding(settings, place)).collect();
    if places.is_empty() {
        let found = "it could not be looked at on any node";
        return Check::bad(NETWORK, found, "see nodes and templates, which tell why");
    }
    let vlan = settings.vlan.map(|vlan| format!(", VLAN {vlan}")).unwrap_or_default();
    let nodes = list(places.iter().map(|place| &place.node));
    verdict(NETWORK, format!("{}{vlan} on {nodes}", settings.bridge), &findings)
}

fn finding(settings: &MachineSettings, place: &Place) -> Option<(String, String)> {
    let (node, bridge) = (&place.node, &settings.bridge);
    let bridges = match &place.bridges {
        Ok(bridges) => bridges,
        Err(obstacle) => {
            return Some((format!("{node}: {obstacle}"), format!("see that {node} answers")));
        }
    };
    let Some(entry) = bridges.iter().find(|entry| entry.name == bridge.as_str()) else {
        let advice = format!(
            "make it there, or name another one in proxmox.bridge; if it is there the token lacks SDN.Use on its path, \
             /sdn/zones/localnetwork/{bridge} for a bridge"
        );
        return Some((format!("{node} has no bridge {bridge} that the token may use"), advice));
    };
    if !entry.is_active {
        let advice = format!("see `ip link show {bridge}` there");
        return Some((format!("{bridge} on {node} is down"), advice));
    }
    let vlan = settings.vlan.filter(|vlan| !entry.carries(*vlan))?;
    let advice =
        format!("add it to the VLANs of {bridge} there (bridge-vids), or change proxmox.vlan");
    Some((format!("{bridge} on {node} does not carry VLAN {vlan}"), advice))
}
