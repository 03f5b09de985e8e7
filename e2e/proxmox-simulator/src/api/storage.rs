//! `/storage` and `/nodes/{node}/storage`: where disks and images lie.

use serde_json::{Value, json};

use super::{Call, Rights, Route, now};
use crate::failure::Failure;
use crate::http::answer::Reply;
use crate::params::{Kind, Parameter, optional};
use crate::world::World;
use crate::world::storage::Storage;

const LIST: [Parameter; 5] = [
    optional("content", Kind::Text),
    optional("enabled", Kind::Boolean),
    optional("storage", Kind::Text),
    optional("target", Kind::Text),
    optional("format", Kind::Boolean),
];

pub(crate) fn routes() -> Vec<Route> {
    let right = Rights::Any("/storage/{storage}", &["Datastore.Audit", "Datastore.AllocateSpace"]);
    vec![
        now("GET", "/storage", Rights::All, const { &[optional("type", Kind::Text)] }, all),
        now("GET", "/nodes/{node}/storage", Rights::All, &LIST, list),
        now("GET", "/nodes/{node}/storage/{storage}/status", right, &[], status),
    ]
}

fn sees(call: &Call, world: &World, name: &str) -> bool {
    let path = format!("/storage/{name}");
    ["Datastore.Audit", "Datastore.AllocateSpace"]
        .iter()
        .any(|privilege| world.may(&call.actor, &path, privilege))
}

#[expect(clippy::unnecessary_wraps, reason = "is a handler")]
fn all(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let kind = call.params.text("type");
    let seen = world
        .storages
        .iter()
        .filter(|(_, storage)| kind.is_none_or(|kind| kind == storage.kind))
        .filter(|(name, _)| sees(call, &world, name));
    let entry = |(name, storage): (&String, &Storage)| {
        let mut entry = json!({
            "storage": name, "type": storage.kind, "content": storage.content.join(","),
            "shared": u8::from(storage.is_shared),
        });
        if !storage.nodes.is_empty() {
            entry["nodes"] = json!(storage.nodes.join(","));
        }
        entry
    };
    Ok(seen.map(entry).collect::<Value>().into())
}

#[expect(clippy::unnecessary_wraps, reason = "is a handler")]
fn list(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let content = call.params.words("content");
    let one = call.params.text("storage");
    let target = call.params.text("target");
    let here = world.storages.iter().filter(|(name, storage)| {
        storage.is_on(call.node())
            && target.is_none_or(|target| storage.is_shared && storage.is_on(target))
            && one.is_none_or(|one| one == *name)
            && (content.is_empty() || content.iter().any(|content| storage.holds(content)))
            && sees(call, &world, name)
    });
    let entry = |(name, storage): (&String, &Storage)| {
        let mut entry = space(&world, call.node(), name, storage);
        entry["storage"] = json!(name);
        entry
    };
    Ok(here.map(entry).collect::<Value>().into())
}

#[expect(clippy::cast_precision_loss, reason = "is a rough share")]
fn space(world: &World, node: &str, name: &str, storage: &Storage) -> Value {
    // Of what is away nothing is known.
    let size = if storage.is_offline { 0 } else { storage.size };
    let used = world.used(node, name).min(size);
    json!({
        "type": storage.kind,
        "content": storage.content.join(","),
        "shared": u8::from(storage.is_shared),
        "active": u8::from(!storage.is_offline),
        "enabled": 1,
        "total": size,
        "used": used,
        "avail": size - used,
        "used_fraction": used as f64 / size.max(1) as f64,
    })
}

fn status(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let name = call.part("storage");
    let storage = world.storage(call.node(), name)?;
    Ok(space(&world, call.node(), name, storage).into())
}
