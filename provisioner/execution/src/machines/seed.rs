//! The steps in which a machine is given what it has to know to join, and in which that is taken away again.

use super::{
    host, image,
    owned::{Machine, invalid, look, of_proxmox, placed},
    power,
};
use crate::{
    machines::{NodeContext, OwnNode},
    sagas::{Step, StepError},
};
use async_trait::async_trait;
use domain::Node;
use planning::machine::{Seed as SeedContent, render_seed};
use proxmox_client::{
    ConfigChange, ContentKind, Drive, FileName, Invalid, NodeName, Slot, Storage,
};
use secrecy::ExposeSecret as _;
use std::time::Duration;

/// How long one task of the cluster may take.
const TASK: Duration = Duration::from_mins(4);

/// Gives the machine what it has to know to join.
#[derive(Debug)]
pub(super) struct Seed;

#[async_trait]
impl Step<OwnNode> for Seed {
    fn name(&self) -> &'static str {
        "seed"
    }

    async fn run(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        let Machine::Ours { vm, .. } = look(cx).await? else { return Err(power::gone()) };
        let (storage, name) = (seeds(cx, vm.node()), file_name(&cx.subject.node)?);
        let image = content(cx).await?;
        let uploaded = storage.upload_iso(&name, &image).await.map_err(of_proxmox)?;
        uploaded.finish(TASK).await.map_err(of_proxmox)?;
        let volume = storage.iso(&name).map_err(of_proxmox)?;
        let change = ConfigChange::new().drive(slot()?, &Drive::disc(volume));
        let change = change.map_err(|error| invalid(&error))?;
        vm.change(&change).await.map_err(of_proxmox)?;
        Ok(format!("{} bytes for its first start are in its drive", image.len()))
    }

    async fn undo(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        remove(cx).await
    }
}

/// Where the image lies while the machine needs it.
fn seeds(cx: &NodeContext<'_>, place: &NodeName) -> Storage {
    cx.subject.machines.client.node(place).storage(&cx.subject.machines.settings.seed_storage)
}

fn file_name(node: &Node) -> Result<FileName, StepError> {
    FileName::new(format!("{}.iso", node.name)).map_err(|error| invalid(&error))
}

/// Where the drive of the image is plugged in.
///
/// # Errors
/// Never in practice: there is such a slot.
pub(crate) fn seed_slot() -> Result<Slot, Invalid> {
    Slot::ide(2)
}

fn slot() -> Result<Slot, StepError> {
    seed_slot().map_err(|error| invalid(&error))
}

/// The image with all that a machine has to know. It holds secrets: it is made, sent and forgotten.
async fn content(cx: &NodeContext<'_>) -> Result<Vec<u8>, StepError> {
    let node = &cx.subject.node;
    let secrets = cx.cx.store.node_secrets(node.id).await?;
    let network = cx.subject.machines.settings.network(node.address).ok_or_else(power::gone)?;
    let cluster = host::cluster(cx).await?;
    let authority = host::authority(cx).await?;
    let files = render_seed(&SeedContent {
        node,
        cluster: &cluster,
        server: &cx.subject.machines.settings.server,
        authority: &authority,
        token: (&secrets.token_id, secrets.token_secret.expose_secret()),
        password: secrets.password.expose_secret(),
        network,
    });
    image::write("cidata", &files).map_err(|error| {
        StepError::fail("image", format!("the image could not be made: {error}"), "report this")
    })
}

/// Takes the image out of the drive, and deletes it: where it was put, and where the machine is if somebody moved it.
pub(super) async fn remove(cx: &NodeContext<'_>) -> Result<String, StepError> {
    let mut places: Vec<NodeName> = placed(&cx.subject.node)?.into_iter().collect();
    if let Machine::Ours { vm, config } = look(cx).await? {
        if config.drive(slot()?).is_some() {
            let change = ConfigChange::new().unplug(slot()?);
            vm.change(&change).await.map_err(of_proxmox)?;
        }
        if !places.contains(vm.node()) {
            places.push(vm.node().clone());
        }
    }
    for place in &places {
        delete(cx, place).await?;
    }
    Ok("the image with its token is deleted".to_owned())
}

/// Deletes the image on one node of Proxmox VE.
pub(super) async fn delete(cx: &NodeContext<'_>, place: &NodeName) -> Result<(), StepError> {
    let (storage, name) = (seeds(cx, place), file_name(&cx.subject.node)?);
    let volume = storage.iso(&name).map_err(of_proxmox)?;
    let is_there = async || {
        let content = storage.content(Some(ContentKind::Iso), None).await.map_err(of_proxmox)?;
        Ok::<_, StepError>(content.iter().any(|entry| entry.volume == volume))
    };
    if is_there().await? {
        let deleted = storage.delete(&volume).await.map_err(of_proxmox)?;
        deleted.finish(TASK).await.map_err(of_proxmox)?;
        if is_there().await? {
            return Err(StepError::Retry(format!("{volume} was deleted and is still there")));
        }
    }
    Ok(())
}

/// Takes away what the machine needed for its first start only.
#[derive(Debug)]
pub(super) struct Tidy;

#[async_trait]
impl Step<OwnNode> for Tidy {
    fn name(&self) -> &'static str {
        "tidy"
    }

    async fn run(&self, cx: &NodeContext<'_>) -> Result<String, StepError> {
        remove(cx).await
    }

    async fn undo(&self, _: &NodeContext<'_>) -> Result<String, StepError> {
        Ok("there is nothing to put back".to_owned())
    }
}
