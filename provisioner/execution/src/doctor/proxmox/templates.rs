//! Whether the templates are there and fit to make machines of.

use super::{Answer, Place, ask, cluster::Cluster, list, verdict};
use crate::{
    MachineSettings, Templates,
    doctor::Check,
    machines::{first_disk, holds_volume, seed_slot},
};
use proxmox_client::{
    Bridge, Client, Fault, Fields, Missing, NodeName, StorageId, Tag, VmConfig, VmId,
};
use std::collections::{BTreeMap, BTreeSet};

const TEMPLATES: &str = "templates";
const DRIVES: &str = "template-drives";
const AGENT: &str = "guest-agent";

/// Disks that are no drives: the firmware's variables, and the security chip's.
const HIDDEN_DISKS: [&str; 2] = ["efidisk0", "tpmstate0"];

/// What was seen of the template on a node.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) id: VmId,
    pub(super) config: Answer<VmConfig>,
    /// Whether nobody has its number. A token is refused on what is not there as on what it may not see.
    is_absent: bool,
}

impl Template {
    pub(super) async fn look(client: &Client, node: &NodeName, id: VmId) -> Self {
        let vm = client.node(node).vm(id);
        let (config, is_free) = tokio::join!(ask(vm.config()), ask(client.is_free(id)));
        Self { id, config, is_absent: is_free.is_ok_and(|is_free| is_free) }
    }

    /// The storages that a linked clone of it has its disks on.
    pub(super) fn storages(&self) -> BTreeSet<StorageId> {
        let Ok(config) = &self.config else { return BTreeSet::new() };
        let hidden = HIDDEN_DISKS.iter().filter_map(|key| config.get(key).map(Fields::read));
        let drives = config.drives().map(|(_, drive)| drive).filter(is_copied).chain(hidden);
        let storage = |drive: Fields| StorageId::new(drive.first()?.split_once(':')?.0).ok();
        drives.filter_map(storage).collect()
    }

    /// The bridges that its network cards are on.
    pub(super) fn bridges(&self) -> BTreeSet<Bridge> {
        let Ok(config) = &self.config else { return BTreeSet::new() };
        let cards = config.iter().filter(|(key, _)| key.starts_with("net"));
        let bridge = |card: &str| Bridge::new(Fields::read(card).get("bridge")?).ok();
        cards.filter_map(|(_, card)| bridge(card)).collect()
    }
}

/// Whether a clone gets one of its own: a disk, and the drive that Proxmox VE makes for cloud-init.
fn is_copied(drive: &Fields) -> bool {
    is_cloud_init(drive) || holds_volume(drive)
}

/// Whether Proxmox VE fills it for cloud-init.
fn is_cloud_init(drive: &Fields) -> bool {
    drive
        .first()
        .is_some_and(|volume| volume.ends_with(":cloudinit") || volume.contains("-cloudinit"))
}

/// Whether each is on its node, is a template, and is free to be cloned.
pub(super) fn check(
    cluster: &Cluster,
    settings: &MachineSettings,
    (templates, places): (&BTreeMap<NodeName, VmId>, &[Place]),
) -> Check {
    if let (Templates::Tagged(tag), true) = (&settings.templates, templates.is_empty()) {
        return untagged(cluster, tag);
    }
    let findings: Vec<_> = places.iter().filter_map(|place| finding(cluster, place)).collect();
    let seen = places.iter().map(|place| format!("{} on {}", place.template.id, place.node));
    let unseen = templates.keys().filter(|node| !places.iter().any(|p| p.node == **node));
    let unseen = list(unseen);
    let rest = if unseen.is_empty() { unseen } else { format!("; not looked at: {unseen}") };
    verdict(TEMPLATES, format!("{}{rest}", list(seen)), &findings)
}

fn untagged(cluster: &Cluster, tag: &Tag) -> Check {
    if let Err(obstacle) = &cluster.machines {
        return Check::bad(TEMPLATES, obstacle.to_string(), "see that the cluster answers");
    }
    let found = format!("no template that the token may see carries the tag {tag}");
    let advice = format!(
        "give it to a template on each node that machines are to be made on, `qm set ID --tags {tag}`, or name another \
         one in proxmox.template_tag; if there is one the token lacks VM.Audit on /vms/ID"
    );
    Check::bad(TEMPLATES, found, advice)
}

fn finding(cluster: &Cluster, Place { node, template, .. }: &Place) -> Option<(String, String)> {
    let id = template.id;
    let config = match &template.config {
        Ok(config) => config,
        Err(obstacle) if obstacle.fault() == Some(&Fault::NotFound(Missing::Vm)) => {
            let machines = cluster.machines.as_deref().unwrap_or_default();
            let elsewhere = machines.iter().find(|machine| machine.vm == Some(id));
            let elsewhere = elsewhere.and_then(|machine| machine.node.as_ref());
            let elsewhere = elsewhere.map(|node| format!(", but on {node}")).unwrap_or_default();
            let advice = format!(
                "make a template on {node}, as one on another node's own storage is of no use there, or mend \
                 proxmox.templates"
            );
            return Some((format!("machine {id} is not on {node}{elsewhere}"), advice));
        }
        Err(_) if template.is_absent => {
            let advice = format!("make a template on {node}, or mend proxmox.templates");
            return Some((format!("there is no machine {id}"), advice));
        }
        Err(obstacle) if obstacle.is_forbidden() => {
            let found = format!("machine {id} may not be read, if it is on {node}");
            return Some((
                found,
                "see privileges; if none is missing, mend proxmox.templates".to_owned(),
            ));
        }
        Err(obstacle) => {
            return Some((
                format!("machine {id} on {node}: {obstacle}"),
                format!("see that {node} answers"),
            ));
        }
    };
    if !config.is_template() {
        let advice = format!("`qm template {id}` on {node} makes it one");
        return Some((format!("machine {id} on {node} is no template"), advice));
    }
    let lock = config.lock()?;
    let advice =
        format!("wait for what holds it; if nothing does any more, `qm unlock {id}` on {node}");
    Some((format!("template {id} on {node} is locked: {lock}"), advice))
}

/// Whether each has a disk to start from, and room for the drive with what a machine has to know.
pub(super) fn drives(places: &[Place]) -> Option<Check> {
    let readable: Vec<_> = readable(places).collect();
    let (first, ..) = readable.first()?;
    let wrong = |(place, config): &(&Place, &VmConfig)| {
        let (id, node) = (place.template.id, &place.node);
        let told =
            |(what, advice): (String, String)| (format!("template {id} on {node} {what}"), advice);
        wrong_drives(config).into_iter().map(told).collect::<Vec<_>>()
    };
    let findings: Vec<_> = readable.iter().flat_map(wrong).collect();
    let disk = first_disk(first.template.config.as_ref().ok()?);
    let disk = disk.map(|slot| format!(" ({slot})")).unwrap_or_default();
    let slot = seed_slot().map(|slot| slot.to_string()).unwrap_or_default();
    let well = format!("a disk to start from{disk}, and {slot} is free for what a machine is told");
    Some(verdict(DRIVES, well, &findings))
}

fn wrong_drives(config: &VmConfig) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if first_disk(config).is_none() {
        let advice = "make the template with a disk that a system is installed on";
        found.push(("has no disk to start from".to_owned(), advice.to_owned()));
    }
    let Ok(slot) = seed_slot() else { return found };
    for (other, drive) in config.drives() {
        if other == slot && is_copied(&drive) && !is_cloud_init(&drive) {
            let advice = format!(
                "move that disk to another slot, e.g. scsi1: {slot} is for the image with the join data"
            );
            found.push((format!("has a disk at {slot}"), advice));
        }
        if other != slot && is_cloud_init(&drive) {
            let advice = format!(
                "remove it from {other}: the guest would take it for what Warren gives it at {slot}"
            );
            found.push((format!("has a cloud-init drive of its own at {other}"), advice));
        }
    }
    found
}

/// Whether the guest agent is switched on; Warren does without.
pub(super) fn agents(places: &[Place]) -> Option<Check> {
    let mut readable = readable(places).peekable();
    readable.peek()?;
    let without = readable.filter(|(_, config)| !has_agent(config));
    let without: Vec<_> =
        without.map(|(place, _)| format!("{} on {}", place.template.id, place.node)).collect();
    if without.is_empty() {
        return Some(Check::ok(AGENT, "switched on in every template"));
    }
    let found = format!("switched off in {}; Warren does without", list(without));
    let advice = "with it people see a machine's addresses and it shuts down in order: `qm set ID --agent 1`, and the \
                  program qemu-guest-agent in the image";
    Some(Check::warn(AGENT, found, advice))
}

fn has_agent(config: &VmConfig) -> bool {
    let Some(agent) = config.get("agent").map(Fields::read) else { return false };
    agent.get("enabled").or(agent.first()) == Some("1")
}

fn readable(places: &[Place]) -> impl Iterator<Item = (&Place, &VmConfig)> {
    places.iter().filter_map(|place| Some((place, place.template.config.as_ref().ok()?)))
}
