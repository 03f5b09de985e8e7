//! Removes what an operator wants to be removed: everything is proven once more right before it is touched.

use super::{
    judge::{Known, judge},
    things::Thing,
    world,
};
use crate::{
    Context,
    api_server::{ApiServer, Propagation, delete_options},
    machines::{
        Machines, NodeContext, OwnNode, build, host,
        owned::{Machine, invalid, look_for, number, of_proxmox},
        power, seed,
    },
    sagas::{Progress, StepContext, StepError},
};
use domain::{Node, NodeState, Orphan, OrphanKind, OrphanProof, OrphanState};
use jiff::SignedDuration;
use planning::{Key, Kind, exclusive::SYSTEM};
use proxmox_client::{
    ContentKind, NodeEntry, NodeName, ResourceKind, Storage, StorageId, VolumeId,
};
use std::time::Duration;
use store::StoreError;

/// How long a removal is tried for.
const PATIENCE: SignedDuration = SignedDuration::from_mins(30);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_mins(10);
/// How long one task of the cluster may take.
const TASK: Duration = Duration::from_mins(4);

/// Makes one attempt, and says whether the removal is over. Repeating it is harmless.
pub(super) async fn attempt(cx: &Context, orphan: &Orphan) -> Result<bool, StoreError> {
    if orphan.state == OrphanState::Asked {
        cx.store.orphan_removing(orphan.id, None).await?;
    }
    let removed = tokio::time::timeout(ATTEMPT, Box::pin(remove(cx, orphan))).await;
    let removed = removed.unwrap_or_else(|_| {
        Err(StepError::Retry(format!("an attempt took longer than {} s", ATTEMPT.as_secs())))
    });
    let cause = match removed {
        Ok(()) => {
            cx.store.orphan_end(orphan.id, Ok(())).await?;
            tracing::info!(orphan.id = %orphan.id, "what was left over is removed");
            return Ok(true);
        }
        Err(StepError::Fail(problem)) => {
            let cause = format!("{}; {}", problem.detail, problem.hint);
            cx.store.orphan_end(orphan.id, Err(cause)).await?;
            return Ok(true);
        }
        Err(StepError::Retry(cause)) => cause,
    };
    let since = orphan.asked_at.unwrap_or(orphan.last_seen_at);
    if cx.clock.now().duration_since(since) > PATIENCE {
        let cause = format!("it was tried for {} minutes: {cause}", PATIENCE.as_mins());
        cx.store.orphan_end(orphan.id, Err(cause)).await?;
        return Ok(true);
    }
    cx.store.orphan_removing(orphan.id, Some(&cause)).await?;
    Ok(false)
}

async fn remove(cx: &Context, orphan: &Orphan) -> Result<(), StepError> {
    match orphan.seen.kind {
        OrphanKind::Machine => remove_machine(cx, orphan).await,
        OrphanKind::Disk => remove_disk(cx, orphan).await,
        OrphanKind::Image => remove_image(cx, orphan).await,
        OrphanKind::JoinToken | OrphanKind::NodePassword => {
            let key = Key::namespaced(Kind::Secret, SYSTEM, &orphan.seen.name);
            remove_object(cx, orphan, &key).await
        }
        OrphanKind::Node => remove_node(cx, orphan).await,
    }
}

/// The node that it was made for, as the record has it now. Nothing is done while anything is done about that.
async fn node(cx: &Context, orphan: &Orphan) -> Result<Node, StepError> {
    let id = orphan.seen.node.ok_or_else(|| lost("it is not known for which node it was made"))?;
    if cx.store.node_operation(id).await?.is_some() {
        return Err(StepError::Retry("an operation about its node is under way".to_owned()));
    }
    let node = cx.store.node_get(id).await?;
    node.ok_or_else(|| lost("the record does not know its node"))
}

fn machines(cx: &Context) -> Result<&Machines, StepError> {
    cx.machines.as_ref().ok_or_else(|| {
        StepError::fail(
            "not-configured",
            "without a section [proxmox] nobody can look at machines",
            "give it back to the configuration, and ask again",
        )
    })
}

/// It is not proven any more.
fn lost(why: &str) -> StepError {
    StepError::fail("not-proven", why, "nothing was touched; look at it by hand")
}

/// What the steps of a node's operations take, without an operation.
fn context<'a>(
    cx: &'a Context,
    machines: &Machines,
    node: Node,
    progress: &'a Progress<'a>,
) -> NodeContext<'a> {
    StepContext {
        cx,
        subject: OwnNode { machines: machines.clone(), node, emptied: None },
        progress,
    }
}

async fn remove_machine(cx: &Context, orphan: &Orphan) -> Result<(), StepError> {
    let (machines, node) = (machines(cx)?, node(cx, orphan).await?);
    if node.state() != NodeState::Released || node.vm != orphan.seen.vm {
        return Err(lost("its node is not released"));
    }
    match look_for(machines, &node).await? {
        Machine::Absent => return Ok(()),
        Machine::Foreign(what) if is_shown(machines, &node).await? => return Err(lost(&what)),
        // While a machine is being destroyed it is shown to nobody: an earlier attempt may have begun that.
        Machine::Foreign(what) => return Err(StepError::Retry(what)),
        Machine::Ours { .. } => {}
    }
    let progress = Progress::unheard(cx);
    // It is switched off, its disks go, then it: each time it is looked at whose it is.
    build::destroy(&context(cx, machines, node.clone(), &progress)).await?;
    match look_for(machines, &node).await? {
        Machine::Absent => Ok(()),
        Machine::Ours { .. } => Err(StepError::Retry("it is still there".to_owned())),
        Machine::Foreign(what) => Err(StepError::Retry(what)),
    }
}

/// Whether Warren may see the machine that has a node's number, so that it is known whose it is.
async fn is_shown(machines: &Machines, node: &Node) -> Result<bool, StepError> {
    let Some(id) = number(node)? else { return Ok(false) };
    let resources = machines.client.resources(Some(ResourceKind::Vm)).await.map_err(of_proxmox)?;
    let found = resources.into_iter().find(|resource| resource.vm == Some(id));
    let Some(place) = found.and_then(|found| found.node) else { return Ok(false) };
    Ok(machines.client.node(&place).vm(id).config().await.is_ok())
}

async fn remove_image(cx: &Context, orphan: &Orphan) -> Result<(), StepError> {
    let (machines, node) = (machines(cx)?, node(cx, orphan).await?);
    if !matches!(node.state(), NodeState::Released | NodeState::Ready) {
        return Err(lost("its node may still need it"));
    }
    let progress = Progress::unheard(cx);
    let cx = context(cx, machines, node, &progress);
    seed::remove(&cx).await?;
    match &orphan.seen.place {
        None => Ok(()),
        Some(place) => {
            let place = NodeName::new(place.as_str()).map_err(|error| invalid(&error))?;
            seed::delete(&cx, &place).await
        }
    }
}

async fn remove_disk(cx: &Context, orphan: &Orphan) -> Result<(), StepError> {
    let machines = machines(cx)?;
    let storage = storage(machines, orphan).await?;
    let number = orphan.seen.vm.ok_or_else(|| lost("it has no number"))?;
    let Some(thing) = find_disk(machines, orphan, &storage).await? else { return Ok(()) };
    if !world::is_free(machines, number).await.map_err(of_proxmox)? {
        return Err(lost("a machine has its number now"));
    }
    prove(cx, orphan, &thing).await?;
    let volume = VolumeId::new(orphan.seen.name.as_str()).map_err(|error| invalid(&error))?;
    let deleted = storage.delete(&volume).await.map_err(of_proxmox)?;
    deleted.finish(TASK).await.map_err(of_proxmox)?;
    match find_disk(machines, orphan, &storage).await? {
        None => Ok(()),
        Some(_) => Err(StepError::Retry("it was deleted and is still there".to_owned())),
    }
}

/// Where a disk lies; a storage that is the same everywhere is asked for by way of any node that is there.
async fn storage(machines: &Machines, orphan: &Orphan) -> Result<Storage, StepError> {
    let id = orphan.seen.storage.as_deref().unwrap_or_default();
    let id = StorageId::new(id).map_err(|error| invalid(&error))?;
    let place = if let Some(place) = &orphan.seen.place {
        NodeName::new(place.as_str()).map_err(|error| invalid(&error))?
    } else {
        let nodes = machines.client.nodes().await.map_err(of_proxmox)?;
        let nobody = || StepError::Retry("no node of Proxmox VE is there".to_owned());
        let usable = machines.settings.templates.places(&nodes);
        let is_usable = |node: &&NodeEntry| node.is_online() && usable.contains(&&node.name);
        nodes.iter().find(is_usable).ok_or_else(nobody)?.name.clone()
    };
    Ok(machines.client.node(&place).storage(&id))
}

/// The disk as it is now.
async fn find_disk(
    machines: &Machines,
    orphan: &Orphan,
    storage: &Storage,
) -> Result<Option<Thing>, StepError> {
    let content = storage.content(Some(ContentKind::Images), None).await.map_err(of_proxmox)?;
    let entry = content.iter().find(|entry| entry.volume.as_str() == orphan.seen.name);
    let id = orphan.seen.storage.clone().unwrap_or_default();
    let place = orphan.seen.place.clone();
    Ok(entry.and_then(|entry| {
        world::volume(entry, ContentKind::Images, place, id, &machines.settings.vms)
    }))
}

/// Judges once more, from what is there now and what the record says now.
async fn prove(cx: &Context, orphan: &Orphan, thing: &Thing) -> Result<(), StepError> {
    let known = Known::of(cx, std::iter::once(thing)).await?;
    let settings = cx.machines.as_ref().map(|machines| &*machines.settings);
    match judge(thing, &known, settings) {
        None => Err(lost("somebody needs it now")),
        Some(seen) if seen.proof != OrphanProof::Ours => Err(lost(&seen.reason)),
        Some(seen) if seen.key() != orphan.seen.key() => {
            Err(lost("another one has its name by now"))
        }
        Some(_) => Ok(()),
    }
}

/// Deletes an object of the host cluster that is still the one that was reported.
async fn remove_object(cx: &Context, orphan: &Orphan, key: &Key) -> Result<(), StepError> {
    let server = ApiServer::host(cx.host.client());
    let Some(object) = server.get(key).await? else { return Ok(()) };
    let thing = world::of_object(key.kind, &object).ok_or_else(|| lost("it is something else"))?;
    prove(cx, orphan, &thing).await?;
    let options = delete_options(Propagation::Background, None, orphan.seen.uid.as_deref());
    server.delete(key, &options).await?;
    match server.get(key).await? {
        None => Ok(()),
        Some(_) => Err(StepError::Retry(format!("{key} is still there"))),
    }
}

/// Deletes a node of the host cluster whose machine is proven to be off, with the pods that were on it.
async fn remove_node(cx: &Context, orphan: &Orphan) -> Result<(), StepError> {
    let (machines, node) = (machines(cx)?, node(cx, orphan).await?);
    let server = ApiServer::host(cx.host.client());
    let key = Key::global(Kind::Node, &orphan.seen.name);
    let Some(object) = server.get(&key).await? else { return Ok(()) };
    let thing =
        world::of_object(Kind::Node, &object).ok_or_else(|| lost("it is something else"))?;
    prove(cx, orphan, &thing).await?;
    let progress = Progress::unheard(cx);
    let step = context(cx, machines, node.clone(), &progress);
    // An agent that runs registers again.
    power::off(&step).await?;
    host::tell_expected(&step, Some(&node)).await?;
    for pod in host::pods_on(&server, &node).await? {
        host::end(&server, &pod).await?;
    }
    remove_object(cx, orphan, &key).await
}
