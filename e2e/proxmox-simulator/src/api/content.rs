//! `…/storage/{storage}/content` and `…/upload`: what lies on a storage.

use serde_json::{Value, json};

use super::{Call, Rights, Route, Takes, now};
use crate::failure::Failure;
use crate::fault::Moment;
use crate::http::answer::Reply;
use crate::params::{Kind, Parameter, optional};
use crate::world::storage::Volume;

/// Kinds of content that can be uploaded; snippets are none of them.
const UPLOADS: [&str; 3] = ["iso", "vztmpl", "import"];

const LIST: [Parameter; 2] =
    [optional("content", Kind::Text), optional("vmid", Kind::Integer(100, 999_999_999))];
const REMOVE: [Parameter; 1] = [optional("delay", Kind::Integer(1, 30))];

pub(crate) fn routes() -> Vec<Route> {
    let audit = Rights::Any("/storage/{storage}", &["Datastore.Audit", "Datastore.AllocateSpace"]);
    let template = Rights::Need("/storage/{storage}", &["Datastore.AllocateTemplate"]);
    let list_path = "/nodes/{node}/storage/{storage}/content";
    let one = "/nodes/{node}/storage/{storage}/content/{volume*}";
    let upload = now("POST", "/nodes/{node}/storage/{storage}/upload", template, &[], upload);
    vec![
        now("GET", list_path, audit, &LIST, list),
        now("GET", one, audit, &[], show),
        now("DELETE", one, Rights::All, &REMOVE, remove),
        Route { takes: Takes::Upload, ..upload },
    ]
}

fn render(volume: &Volume) -> Value {
    let mut entry = json!({
        "volid": volume.id(), "format": volume.format, "size": volume.size,
        "content": volume.content, "ctime": volume.made_s,
    });
    if let Some(vm) = volume.vm {
        entry["vmid"] = json!(vm);
    }
    if let Some(parent) = &volume.parent {
        entry["parent"] = json!(parent);
    }
    entry
}

fn list(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let storage = call.part("storage");
    world.storage(call.node(), storage)?;
    let content = call.params.text("content");
    let vm = call.params.vm("vmid");
    // Disks are shown to those who may see their VM.
    let sees_all = world.may(&call.actor, &format!("/storage/{storage}"), "Datastore.Allocate");
    let sees = |volume: &&Volume| {
        let of_vm = volume.vm.is_none_or(|id| {
            sees_all || world.may(&call.actor, &format!("/vms/{id}"), "VM.Config.Disk")
        });
        volume.storage == storage
            && volume.is_on(call.node())
            && content.is_none_or(|content| content == volume.content)
            && vm.is_none_or(|vm| volume.vm == Some(vm))
            && of_vm
    };
    Ok(world.volumes.iter().filter(sees).map(render).collect::<Value>().into())
}

/// The full name of the volume of the path, which may leave the storage out.
fn volume_id(call: &Call) -> String {
    let (storage, volume) = (call.part("storage"), call.part("volume"));
    if volume.contains(':') { volume.to_owned() } else { format!("{storage}:{volume}") }
}

fn show(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let id = volume_id(call);
    let volume = world.volume(call.node(), &id);
    let volume =
        volume.ok_or_else(|| Failure::internal(format!("volume '{id}' does not exist")))?;
    let mut entry = render(volume);
    entry["path"] = json!(format!("/mnt/pve/{}", volume.name));
    entry["used"] = json!(volume.used);
    Ok(entry.into())
}

fn remove(call: &Call) -> Result<Reply, Failure> {
    let id = volume_id(call);
    {
        let world = call.cluster.world();
        world.storage(call.node(), call.part("storage"))?;
        // Whatever it is, and whoever put it there (pve-storage 9.1, API2/Storage/Content.pm).
        let path = format!("/storage/{}", call.part("storage"));
        world.require(&call.actor, &path, &["Datastore.Allocate"])?;
    }
    let storage = call.part("storage");
    let name = owner(&id).map_or(storage.to_owned(), |vm| format!("{vm}@{storage}"));
    call.start("imgdel", &name, |work| async move {
        work.pause(work.cluster.config.times.destroy_ms).await;
        work.reach(Moment::Middle)?;
        let mut world = work.world();
        let node = world.volume(&work.node, &id).and_then(|volume| volume.node.clone());
        world.free(&work.node, &id)?;
        work.cluster.images.remove(&node.unwrap_or_default(), &id);
        Ok(())
    })
}

/// The VM that a name of a disk speaks of.
fn owner(id: &str) -> Option<u32> {
    let last = id.rsplit([':', '/']).next()?;
    let rest = last.strip_prefix("vm-").or_else(|| last.strip_prefix("base-"))?;
    rest.split('-').next()?.parse().ok()
}

fn upload(call: &Call) -> Result<Reply, Failure> {
    let Some(upload) = call.upload.clone() else {
        return Err(Failure::not_implemented("upload without a file"));
    };
    let storage = call.part("storage").to_owned();
    let content = upload.fields.get("content").cloned().unwrap_or_default();
    if !UPLOADS.contains(&content.as_str()) {
        let known = UPLOADS.join(", ");
        let text = format!("value '{content}' does not have a value in the enumeration '{known}'");
        return Err(Failure::parameter("content", text));
    }
    let name = upload.file_name.clone();
    let is_good = !name.is_empty() && !name.contains('/') && !name.starts_with('.');
    if !is_good || (content == "iso" && !name.to_lowercase().ends_with(".iso")) {
        return Err(Failure::parameter("filename", "wrong file extension"));
    }
    {
        let world = call.cluster.world();
        let state = world.storage(call.node(), &storage)?;
        if !state.holds(&content) {
            let text = format!("storage '{storage}' does not support '{content}' content");
            return Err(Failure::internal(text));
        }
    }
    let made_s = call.now_s();
    call.start("imgcopy", "", |work| async move {
        work.pause(work.cluster.config.times.upload_ms).await;
        work.reach(Moment::Middle)?;
        let mut world = work.world();
        let state = world.storage(&work.node, &storage).map_err(|failure| failure.reason)?;
        if state.is_offline {
            return Err(format!("storage '{storage}' is not online"));
        }
        let size = upload.content.len() as u64;
        if world.used(&work.node, &storage) + size > state.size {
            return Err("error copying file: No space left on device".into());
        }
        let volume = Volume {
            node: (!state.is_shared).then(|| work.node.clone()),
            name: format!("{content}/{name}"),
            storage,
            vm: None,
            size,
            used: size,
            format: content.clone(),
            content,
            parent: None,
            made_s,
        };
        let node = volume.node.clone().unwrap_or_default();
        let put = work.cluster.images.put(&node, &volume.id(), upload.content);
        put.map_err(|error| format!("error copying file: {error}"))?;
        // An upload of the same name takes its place.
        world.volumes.retain(|old| old.id() != volume.id() || old.node != volume.node);
        world.volumes.push(volume);
        Ok(())
    })
}
