//! The network of a machine: a cable to its switch, and what its seed says of its cards.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::command::{capture, ip};
use super::inside::{Order, say};
use super::settings::{Route, Settings, port};
use crate::nocloud::{Ethernet, Seed};

/// How long a machine that boots is told of another one, and how often.
const TOLD: Duration = Duration::from_mins(1);
const AGAIN: Duration = Duration::from_millis(200);

/// Puts the cable in, from inside the machine and before its `/run` is hidden. The other end vanishes with the machine.
pub(crate) fn connect(order: &Order) -> Result<()> {
    ip("link set lo up")?;
    let Some(card) = order.hardware.cards.first() else { return Ok(()) };
    let switch = order.settings.switches.get(&card.bridge);
    let switch = switch.with_context(|| format!("no switch is there for {}", card.bridge))?;
    let (namespace, port) = (&switch.namespace, port(order.hardware.vm));
    ip(&format!(
        "link add eth0 address {} type veth peer name {port} netns {namespace}",
        card.mac
    ))?;
    ip(&format!("-n {namespace} link set {port} master {} up", switch.bridge))?;
    for (name, value) in
        [("ip_forward", "1"), ("conf/all/rp_filter", "0"), ("conf/default/rp_filter", "0")]
    {
        std::fs::write(format!("/proc/sys/net/ipv4/{name}"), value)
            .with_context(|| format!("set {name}"))?;
    }
    Ok(())
}

/// Sets up the card as the seed says.
pub(crate) fn configure(order: &Order, seed: &Seed) -> Result<()> {
    let Some(card) = order.hardware.cards.first() else { return Ok(()) };
    let wanted = seed.card(&card.mac);
    let wanted = wanted.with_context(|| format!("the seed knows no card {}", card.mac))?;
    for command in commands(wanted) {
        ip(&command)?;
    }
    for route in &order.routes {
        if let Err(error) = ip(&format!("route replace {} via {}", route.network, route.via)) {
            say(&format!("{error:#}"));
        }
    }
    let servers =
        wanted.nameservers.addresses.iter().map(|server| format!("nameserver {server}\n"));
    let search = &wanted.nameservers.search;
    let search =
        if search.is_empty() { String::new() } else { format!("search {}\n", search.join(" ")) };
    // A link would lead to another machine's file.
    let _ = std::fs::remove_file("/etc/resolv.conf");
    std::fs::write("/etc/resolv.conf", search + &servers.collect::<String>())
        .context("write the resolvers")
}

/// What `ip` has to be told.
fn commands(card: &Ethernet) -> Vec<String> {
    let mut commands: Vec<String> =
        card.addresses.iter().map(|address| format!("address add {address} dev eth0")).collect();
    commands.extend(card.mtu.map(|mtu| format!("link set eth0 mtu {mtu}")));
    commands.push("link set eth0 up".into());
    commands
        .extend(card.gateway4.iter().map(|gateway| format!("route replace default via {gateway}")));
    commands.extend(card.routes.iter().map(|route| {
        let to = if route.to == "0.0.0.0/0" { "default" } else { &route.to };
        format!("route replace {to} via {}", route.via)
    }));
    commands
}

/// The first IPv4 address that a seed gives to a card.
pub(crate) fn address(seed: &Seed, mac: &str) -> Option<Ipv4Addr> {
    seed.addresses(mac)?.into_iter().find_map(|(address, _)| match address {
        std::net::IpAddr::V4(address) => Some(address),
        std::net::IpAddr::V6(_) => None,
    })
}

/// Tells the peers where the pods of a machine are.
pub(crate) fn announce(settings: &Settings, route: &Route) -> Result<()> {
    for peer in &settings.peers {
        ip(&format!("-n {} route replace {} via {}", peer.namespace, route.network, route.via))?;
    }
    Ok(())
}

/// Tells another machine, by its first process, where the pods of a machine are. It is told again and again until it
/// has an address, or is gone.
pub(crate) fn tell(machine: u32, route: &Route) {
    let words =
        format!("--target={machine} --net ip route replace {} via {}", route.network, route.via);
    std::thread::spawn(move || {
        let began = Instant::now();
        let is_there = || std::path::Path::new("/proc").join(machine.to_string()).exists();
        while began.elapsed() < TOLD && is_there() {
            if capture(Command::new("nsenter").args(words.split(' '))).is_ok() {
                return;
            }
            std::thread::park_timeout(AGAIN);
        }
    });
}

/// Takes back what was told. What is gone already is fine.
pub(crate) fn withdraw(settings: &Settings, route: &Route) {
    for peer in &settings.peers {
        let _ =
            ip(&format!("-n {} route delete {} via {}", peer.namespace, route.network, route.via));
    }
}

/// Takes the cable out of the switch, or puts it back.
pub(crate) fn plug(settings: &Settings, bridge: &str, vm: u32, is_plugged: bool) -> Result<()> {
    let switch = settings.switches.get(bridge);
    ensure!(switch.is_some(), "no switch is there for {bridge}");
    let namespace = switch.map_or("", |switch| switch.namespace.as_str());
    let state = if is_plugged { "up" } else { "down" };
    ip(&format!("-n {namespace} link set {} {state}", port(vm))).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nocloud::Route as SeedRoute;

    #[test]
    fn a_card_is_set_up_in_the_order_that_routes_need() {
        let card = Ethernet {
            addresses: vec!["25.77.0.113/24".into()],
            mtu: Some(1400),
            routes: vec![SeedRoute { to: "0.0.0.0/0".into(), via: "25.77.0.1".into() }],
            ..Ethernet::default()
        };
        let expected = [
            "address add 25.77.0.113/24 dev eth0",
            "link set eth0 mtu 1400",
            "link set eth0 up",
            "route replace default via 25.77.0.1",
        ];
        assert_eq!(commands(&card), expected);
    }
}
