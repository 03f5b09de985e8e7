//! What is ours on Proxmox VE. A number proves nothing: clones race for one, people and other programs take it when it is
//! free. A machine is ours if its number, its name and the mark in its description are what the record says.

use crate::{
    machines::{Machines, NodeContext},
    sagas::StepError,
};
use domain::Node;
use proxmox_client::{
    Client, ContentKind, Error, Fault, NodeName, Repeat, TaskFilter, Vm, VmConfig, VmId,
};

/// What is known about the machine of a node.
#[derive(Debug)]
pub(super) enum Machine {
    /// No machine has its number.
    Absent,
    /// It is ours.
    Ours { vm: Vm, config: Box<VmConfig> },
    /// Somebody else's machine has its number; the sentence says what differs.
    Foreign(String),
}

/// How the line of a machine's description begins that says whose it is.
pub(super) const MARK: &str = "warren ";

/// The line of a machine's description that says whose it is.
pub(super) fn mark(installation: &str, node: &Node) -> String {
    format!("{MARK}{installation} {}", node.mark)
}

/// What a machine's description says, for people too.
pub(super) fn description(installation: &str, node: &Node) -> String {
    let mark = mark(installation, node);
    format!(
        "{mark}\nA node that Warren made and will destroy. Do not change this description: it proves whose it is.\n"
    )
}

/// Finds out whose machine has the number of a node, wherever in the cluster it is.
pub(super) async fn look(cx: &NodeContext<'_>) -> Result<Machine, StepError> {
    look_for(&cx.subject.machines, &cx.subject.node).await
}

/// The same outside of an operation.
pub(super) async fn look_for(machines: &Machines, node: &Node) -> Result<Machine, StepError> {
    let Some(id) = number(node)? else { return Ok(Machine::Absent) };
    let client = &machines.client;
    // The one question that is answered whatever rights there are.
    if client.is_free(id).await.map_err(of_proxmox)? {
        return Ok(Machine::Absent);
    }
    let Some((vm, config)) = find(client, node, id).await? else {
        // It is shown to nobody while it is being copied, and never if it is not in our pool.
        if is_cloning(machines, node).await? {
            return Err(StepError::Retry(format!("machine {id} is still being copied")));
        }
        return Ok(Machine::Foreign(format!("machine {id} is none that Warren may see")));
    };
    let place = vm.node();
    let mark = mark(&machines.settings.installation, node);
    let (description, name) = (config.description(), config.name().unwrap_or_default());
    if !description.lines().any(|line| line.trim() == mark) {
        return Ok(Machine::Foreign(format!(
            "machine {id} on {place} does not carry the mark of this node"
        )));
    }
    if name != node.name.as_str() {
        let expected = &node.name;
        return Ok(Machine::Foreign(format!(
            "machine {id} on {place} is called {name} instead of {expected}"
        )));
    }
    Ok(Machine::Ours { vm, config: Box::new(config) })
}

/// The machine where it was made, unless somebody moved it.
async fn find(client: &Client, node: &Node, id: VmId) -> Result<Option<(Vm, VmConfig)>, StepError> {
    if let Some(place) = placed(node)? {
        let vm = client.node(&place).vm(id);
        if let Ok(config) = vm.config().await {
            return Ok(Some((vm, config)));
        }
    }
    let resources =
        client.resources(Some(proxmox_client::ResourceKind::Vm)).await.map_err(of_proxmox)?;
    let found = resources.into_iter().find(|resource| resource.vm == Some(id));
    let Some(place) = found.and_then(|found| found.node) else { return Ok(None) };
    let vm = client.node(&place).vm(id);
    let config = vm.config().await.map_err(of_proxmox)?;
    Ok(Some((vm, config)))
}

/// Whether a template is being copied for us where the machine is to be.
async fn is_cloning(machines: &Machines, node: &Node) -> Result<bool, StepError> {
    let Some(place) = placed(node)? else { return Ok(false) };
    let filter = TaskFilter {
        // One that is told by its tag may have lost that since.
        vm: machines.settings.templates.named().and_then(|named| named.get(&place).copied()),
        kind: Some("qmclone".to_owned()),
        since: u64::try_from(node.created_at.as_second()).ok(),
        limit: None,
    };
    let tasks = machines.client.node(&place).tasks(&filter).await.map_err(of_proxmox)?;
    Ok(tasks.iter().any(|task| task.end().is_none()))
}

/// The disks that carry the number of a node's machine, on the storages that it could have some on. A token that has its
/// rights from a pool is shown none of a machine that is gone: they are deleted before it.
pub(super) async fn disks(cx: &NodeContext<'_>) -> Result<Vec<String>, StepError> {
    let (Some(id), Some(place)) = (number(&cx.subject.node)?, placed(&cx.subject.node)?) else {
        return Ok(Vec::new());
    };
    if let Machine::Foreign(_) = look(cx).await? {
        // They are those of whoever has the number now.
        return Ok(Vec::new());
    }
    let place = cx.subject.machines.client.node(&place);
    let mut found = Vec::new();
    for storage in place.storages().await.map_err(of_proxmox)? {
        if storage.is_active && storage.takes(ContentKind::Images) {
            let content =
                place.storage(&storage.id).content(Some(ContentKind::Images), Some(id)).await;
            found.extend(
                content.map_err(of_proxmox)?.into_iter().map(|entry| entry.volume.to_string()),
            );
        }
    }
    Ok(found)
}

/// The number of a node's machine, as Proxmox VE has it.
pub(super) fn number(node: &Node) -> Result<Option<VmId>, StepError> {
    node.vm.map(|vm| VmId::new(vm.0)).transpose().map_err(|error| invalid(&error))
}

/// Where a node's machine was placed.
pub(super) fn placed(node: &Node) -> Result<Option<NodeName>, StepError> {
    node.place.as_deref().map(NodeName::new).transpose().map_err(|error| invalid(&error))
}

/// Something in the record or the configuration that Proxmox VE would refuse.
pub(super) fn invalid(error: &proxmox_client::Invalid) -> StepError {
    StepError::fail("invalid", error.to_string(), "mend the configuration of Proxmox VE")
}

/// What comes of a lock that others held for too long. Which of them is for those who run Proxmox VE, not for a tenant.
pub(super) fn busy(text: &str) -> StepError {
    tracing::warn!(text, "a lock of Proxmox VE was waited for in vain");
    StepError::Retry("Proxmox VE is busy with other machines there; it is tried again".to_owned())
}

/// What comes of an error: most of them pass, and every step has a deadline.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(super) fn of_proxmox(error: Error) -> StepError {
    let text = error.with_sources();
    if let Some(Fault::LockTimeout) = error.fault() {
        return busy(&text);
    }
    match error.repeat() {
        Repeat::Later | Repeat::AfterLook => StepError::Retry(text),
        Repeat::Never => {
            let hint = "mend what Proxmox VE refuses; `warren doctor proxmox` asks it for everything that is needed";
            StepError::fail("proxmox-refused", text, hint)
        }
    }
}
