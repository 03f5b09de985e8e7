//! Whose something is, and whether anybody needs it. Nothing is asked here: what was seen is held against the record.

use super::things::{Machine, Object, Thing, Volume, is_node_name, node_of_image};
use crate::{Context, MachineSettings, machines::owned::MARK};
use domain::{Node, NodeId, NodeState, OrphanKind, OrphanProof, Sighting};
use jiff::SignedDuration;
use planning::machine::provider_id;
use std::collections::HashSet;
use store::{NodeClues, StoreError};

/// How far the clocks of Proxmox VE and of the record may be apart.
const CLOCKS: SignedDuration = SignedDuration::from_hours(1);

/// What the record knows of what was seen.
#[derive(Debug)]
pub(super) struct Known {
    nodes: Vec<Node>,
    /// Those about which an operation is under way.
    busy: HashSet<NodeId>,
}

/// Whose something is, and why.
type Verdict = (OrphanProof, String, Option<NodeId>);

impl Known {
    /// Reads what the record knows. What was seen has to be seen before this.
    pub(super) async fn of(
        cx: &Context,
        things: impl Iterator<Item = &Thing>,
    ) -> Result<Self, StoreError> {
        let mut clues = NodeClues::default();
        for thing in things {
            match thing {
                Thing::Machine(machine) => {
                    clues.vms.push(machine.vm);
                    clues
                        .marks
                        .extend(mark_of(&machine.description).map(|(_, mark)| mark.to_owned()));
                }
                Thing::Disk(disk) => clues.vms.extend(disk.vm),
                Thing::Image(image) => {
                    clues.names.extend(node_of_image(image.file()).map(str::to_owned));
                }
                Thing::JoinToken(_, node) => clues.ids.push(*node),
                Thing::NodePassword(_, name) => clues.names.push(name.clone()),
                Thing::Node(object, _) => clues.names.push(object.key.name.clone()),
            }
        }
        // First the operations: one that ends meanwhile is counted as under way.
        let busy = cx.store.operation_sagas().await?;
        let busy = busy.into_iter().filter_map(|operation| operation.node).collect();
        let nodes = cx.store.orphan_nodes(&clues).await?;
        Ok(Self { nodes, busy })
    }

    fn named(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name.as_str() == name)
    }

    /// Whether nothing of a node is to be left.
    fn is_released(&self, node: &Node) -> bool {
        node.state() == NodeState::Released && !self.busy.contains(&node.id)
    }

    /// Whether what a machine needs for its first start only is to be left no more.
    fn is_past_join(&self, node: &Node) -> bool {
        let has_joined = matches!(node.state(), NodeState::Ready | NodeState::Released);
        has_joined && !self.busy.contains(&node.id)
    }
}

/// What is to be reported of something; nothing if somebody needs it.
pub(super) fn judge(
    thing: &Thing,
    known: &Known,
    settings: Option<&MachineSettings>,
) -> Option<Sighting> {
    let (proof, reason, node) = match thing {
        Thing::Machine(machine) => judge_machine(machine, known, settings?)?,
        Thing::Disk(disk) => judge_disk(disk, known)?,
        Thing::Image(image) => judge_image(image, known)?,
        Thing::JoinToken(_, node) => judge_token(*node, known)?,
        Thing::NodePassword(_, name) => judge_password(name, known)?,
        Thing::Node(object, provider) => judge_node(object, provider.as_deref(), known)?,
    };
    Some(Sighting { proof, reason, node, ..describe(thing) })
}

#[expect(clippy::unnecessary_wraps, reason = "nothing is the other verdict")]
fn unproven(reason: impl Into<String>) -> Option<Verdict> {
    Some((OrphanProof::Unproven, reason.into(), None))
}

#[expect(clippy::unnecessary_wraps, reason = "nothing is the other verdict")]
fn ours(node: &Node, reason: impl Into<String>) -> Option<Verdict> {
    Some((OrphanProof::Ours, reason.into(), Some(node.id)))
}

/// Installation and mark, as a description says them.
fn mark_of(description: &str) -> Option<(&str, &str)> {
    description.lines().find_map(|line| {
        let (installation, mark) = line.trim().strip_prefix(MARK)?.trim().rsplit_once(' ')?;
        Some((installation, mark))
    })
}

fn judge_machine(machine: &Machine, known: &Known, settings: &MachineSettings) -> Option<Verdict> {
    let has_number = |node: &&Node| node.vm == Some(machine.vm);
    if known.nodes.iter().filter(has_number).any(|node| !known.is_released(node)) {
        // Whoever looks after that node finds out whose machine it is.
        return None;
    }
    let from =
        if settings.vms.contains(&machine.vm.0) { "number from our range" } else { "in our pool" };
    let Some((installation, mark)) = mark_of(&machine.description) else {
        return unproven(format!("{from}, but no mark of this installation"));
    };
    if installation != settings.installation {
        let reason = format!("it carries the mark of another installation, {installation}");
        return Some((OrphanProof::Foreign, reason, None));
    }
    let Some(node) = known.nodes.iter().find(|node| node.mark == mark) else {
        return unproven("it carries our mark, but of a node that the record has never known");
    };
    if node.vm != Some(machine.vm) {
        let number = node.vm.map_or_else(|| "none".to_owned(), |vm| vm.to_string());
        let name = &node.name;
        return unproven(format!(
            "it carries the mark of {name}, whose number is {number}: a copy?"
        ));
    }
    if node.name.as_str() != machine.name {
        let (name, expected) = (&machine.name, &node.name);
        return unproven(format!(
            "it carries our mark, but is called {name} instead of {expected}"
        ));
    }
    if !known.is_released(node) {
        return None;
    }
    ours(node, "number, name and mark are those of a node that is released")
}

fn judge_disk(disk: &Volume, known: &Known) -> Option<Verdict> {
    let number = disk.vm?;
    let nodes = known.nodes.iter().filter(|node| node.vm == Some(number));
    if nodes.clone().any(|node| !known.is_released(node)) {
        return None;
    }
    if !disk.file().starts_with(&format!("vm-{number}-")) {
        return unproven("number from our range, but it is not called like a disk of a machine");
    }
    let mut why =
        format!("number {number} from our range, but the record knows no node that had it");
    for node in nodes {
        match disk_of(disk, node) {
            None => {
                let reason =
                    format!("{} had its number, is released, and no machine has it now", node.name);
                return ours(node, reason);
            }
            Some(other) => why = other,
        }
    }
    unproven(why)
}

/// What speaks against a disk being that of a released node.
fn disk_of(disk: &Volume, node: &Node) -> Option<String> {
    let name = &node.name;
    if let (Some(place), Some(placed)) = (&disk.place, &node.place)
        && place != placed
    {
        return Some(format!("{name} had its number, but its machine was on {placed}"));
    }
    let released = node.released_at?;
    let created = disk.created?;
    let began = node.created_at.saturating_sub(CLOCKS).unwrap_or(node.created_at);
    let ended = released.saturating_add(CLOCKS).unwrap_or(released);
    if (began..=ended).contains(&created) {
        return None;
    }
    Some(format!("{name} had its number, but the disk was made at {created:.0}, not in its time"))
}

fn judge_image(image: &Volume, known: &Known) -> Option<Verdict> {
    let name = node_of_image(image.file())?;
    let Some(node) = known.named(name) else {
        return unproven(format!(
            "called as Warren calls images, but the record has never known {name}"
        ));
    };
    if !known.is_past_join(node) {
        return None;
    }
    ours(node, format!("{name} is {} and needs it no more", node.state().as_str()))
}

fn judge_token(id: NodeId, known: &Known) -> Option<Verdict> {
    let Some(node) = known.nodes.iter().find(|node| node.id == id) else {
        return unproven(format!("made for {id}, which the record has never known"));
    };
    if !known.is_past_join(node) {
        return None;
    }
    ours(node, format!("{} is {} and needs it no more", node.name, node.state().as_str()))
}

fn judge_password(name: &str, known: &Known) -> Option<Verdict> {
    let Some(node) = known.named(name) else {
        return unproven(format!("the record has never known a node {name}"));
    };
    known.is_released(node).then(|| ours(node, format!("{name} is released")))?
}

fn judge_node(object: &Object, provider: Option<&str>, known: &Known) -> Option<Verdict> {
    let name = &object.key.name;
    let Some(node) = known.named(name) else {
        let named = if is_node_name(name) { "called" } else { "labelled or tainted" };
        return unproven(format!("{named} as one of ours, but the record has never known {name}"));
    };
    if !known.is_released(node) {
        return None;
    }
    let expected = provider_id(node);
    if provider != Some(expected.as_str()) {
        let found = provider.unwrap_or("none");
        return unproven(format!(
            "{name} is released, but its provider id is {found} instead of {expected}"
        ));
    }
    ours(node, format!("{name} is released, and its provider id is that of its machine"))
}

/// What something is and where, without a word on whose it is.
fn describe(thing: &Thing) -> Sighting {
    let empty = |kind, name: &str| Sighting {
        kind,
        name: name.to_owned(),
        vm: None,
        place: None,
        storage: None,
        namespace: None,
        uid: None,
        size: None,
        proof: OrphanProof::Unproven,
        reason: String::new(),
        node: None,
    };
    let volume = |kind, volume: &Volume| Sighting {
        vm: volume.vm,
        place: volume.place.clone(),
        storage: Some(volume.storage.clone()),
        size: volume.size,
        ..empty(kind, &volume.name)
    };
    let object = |kind, object: &Object| Sighting {
        namespace: object.key.namespace.clone(),
        uid: Some(object.uid.clone()),
        ..empty(kind, &object.key.name)
    };
    match thing {
        Thing::Machine(machine) => Sighting {
            vm: Some(machine.vm),
            place: Some(machine.place.clone()),
            size: machine.size,
            ..empty(OrphanKind::Machine, &machine.name)
        },
        Thing::Disk(disk) => volume(OrphanKind::Disk, disk),
        Thing::Image(image) => volume(OrphanKind::Image, image),
        Thing::JoinToken(token, _) => object(OrphanKind::JoinToken, token),
        Thing::NodePassword(password, _) => object(OrphanKind::NodePassword, password),
        Thing::Node(node, _) => object(OrphanKind::Node, node),
    }
}
