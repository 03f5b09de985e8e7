//! `/pools`.

use serde_json::{Value, json};

use super::{Call, Rights, Route, now};
use crate::failure::Failure;
use crate::http::answer::Reply;
use crate::params::{Kind, Parameter, optional, required};
use crate::world::{Pool, World};

const LIST: [Parameter; 2] = [optional("poolid", Kind::Text), optional("type", Kind::Text)];
const MAKE: [Parameter; 2] = [required("poolid", Kind::Text), optional("comment", Kind::Text)];
const CHANGE: [Parameter; 6] = [
    optional("poolid", Kind::Text),
    optional("comment", Kind::Text),
    optional("vms", Kind::Text),
    optional("storage", Kind::Text),
    optional("delete", Kind::Boolean),
    optional("allow-move", Kind::Boolean),
];
const REMOVE: [Parameter; 1] = [optional("poolid", Kind::Text)];

pub(crate) fn routes() -> Vec<Route> {
    let audit = Rights::Need("/pool/{poolid}", &["Pool.Audit"]);
    let allocate = Rights::Need("/pool/{poolid}", &["Pool.Allocate"]);
    vec![
        now("GET", "/pools", Rights::All, &LIST, list),
        now("POST", "/pools", Rights::All, &MAKE, make),
        now("PUT", "/pools", Rights::All, &CHANGE, change),
        now("DELETE", "/pools", Rights::All, &REMOVE, remove),
        now("GET", "/pools/{poolid*}", audit, const { &[optional("type", Kind::Text)] }, show),
        now("PUT", "/pools/{poolid*}", allocate, &CHANGE, change),
        now("DELETE", "/pools/{poolid*}", allocate, &[], remove),
    ]
}

/// The pool of the path, or of the query where the release knows that.
fn name(call: &Call) -> Result<String, Failure> {
    if let Some(name) = call.path.get("poolid") {
        return Ok(name.clone());
    }
    if !call.release().has_pools_by_query() {
        let method = "PUT /pools";
        return Err(Failure::not_implemented(format!("Method '{method}' not implemented")));
    }
    let missing = || Failure::parameter("poolid", "property is missing and it is not optional");
    call.params.text("poolid").map(str::to_owned).ok_or_else(missing)
}

fn no_such(name: &str) -> Failure {
    Failure::internal(format!("pool '{name}' does not exist"))
}

fn list(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    if let Some(name) = call.params.text("poolid") {
        world.require(&call.actor, &format!("/pool/{name}"), &["Pool.Audit"])?;
        let pool = world.pools.get(name).ok_or_else(|| no_such(name))?;
        let mut entry = members(&world, pool);
        entry["poolid"] = json!(name);
        return Ok(json!([entry]).into());
    }
    let audited = world
        .pools
        .iter()
        .filter(|(name, _)| world.may(&call.actor, &format!("/pool/{name}"), "Pool.Audit"));
    let entries = audited.map(|(name, pool)| json!({"poolid": name, "comment": pool.comment}));
    Ok(entries.collect::<Value>().into())
}

fn show(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let name = call.part("poolid");
    Ok(members(&world, world.pools.get(name).ok_or_else(|| no_such(name))?).into())
}

fn members(world: &World, pool: &Pool) -> Value {
    let vms = pool.vms.iter().filter_map(|id| {
        let vm = world.vms.get(id)?;
        let status = world.seen(*id).map_or("unknown", |seen| seen.status.as_str());
        Some(json!({
            "id": format!("qemu/{id}"), "type": "qemu", "vmid": id, "node": vm.node,
            "name": vm.name(), "status": status, "template": u8::from(vm.is_template()),
        }))
    });
    let storages =
        pool.storages.iter().map(|storage| json!({"type": "storage", "storage": storage}));
    json!({"comment": pool.comment, "members": vms.chain(storages).collect::<Value>()})
}

fn make(call: &Call) -> Result<Reply, Failure> {
    let name = call.params.text("poolid").unwrap_or_default().to_owned();
    call.require(&format!("/pool/{name}"), &["Pool.Allocate"])?;
    let mut world = call.cluster.world();
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
    if name.is_empty() || !name.chars().all(is_letter) {
        let text = "invalid format - value does not look like a valid pool name";
        return Err(Failure::parameter("poolid", text));
    }
    if let Some((above, _)) = name.rsplit_once('/')
        && !world.pools.contains_key(above)
    {
        let text = format!("create pool failed: parent '{above}' of pool '{name}' does not exist");
        return Err(Failure::internal(text));
    }
    if world.pools.contains_key(&name) {
        return Err(Failure::internal(format!("create pool failed: pool '{name}' already exists")));
    }
    let comment = call.params.text("comment").unwrap_or_default().to_owned();
    world.pools.insert(name, Pool { comment, ..Pool::default() });
    Ok(Value::Null.into())
}

fn change(call: &Call) -> Result<Reply, Failure> {
    let name = name(call)?;
    let path = format!("/pool/{name}");
    call.require(&path, &["Pool.Allocate"])?;
    let mut world = call.cluster.world();
    if !world.pools.contains_key(&name) {
        return Err(no_such(&name));
    }
    let (deletes, moves) = (call.params.is_set("delete"), call.params.is_set("allow-move"));
    let mut vms = Vec::new();
    for text in call.params.words("vms") {
        let id: u32 = text.parse().map_err(|_| Failure::parameter("vms", "invalid VM ID"))?;
        world.require(&call.actor, &format!("/vms/{id}"), &["VM.Allocate"])?;
        let holder = world.pool_of(id).map(str::to_owned);
        let fail = |text: String| Err(Failure::internal(format!("update pools failed: {text}")));
        match holder {
            Some(holder) if deletes && holder != name => {
                return fail(format!("VM {id} is not a pool member"));
            }
            Some(holder) if !deletes && holder != name && !moves => {
                return fail(format!("VM {id} is already a pool member"));
            }
            None if deletes => return fail(format!("VM {id} is not a pool member")),
            None if !world.vms.contains_key(&id) => return fail(format!("VM {id} does not exist")),
            _ => vms.push(id),
        }
    }
    if !deletes {
        for pool in world.pools.values_mut() {
            pool.vms.retain(|id| !vms.contains(id));
        }
    }
    let Some(pool) = world.pools.get_mut(&name) else { return Err(no_such(&name)) };
    for id in vms {
        if deletes {
            pool.vms.remove(&id)
        } else {
            pool.vms.insert(id)
        };
    }
    for storage in call.params.words("storage") {
        if deletes {
            pool.storages.remove(&storage)
        } else {
            pool.storages.insert(storage)
        };
    }
    if let Some(comment) = call.params.text("comment") {
        comment.clone_into(&mut pool.comment);
    }
    Ok(Value::Null.into())
}

fn remove(call: &Call) -> Result<Reply, Failure> {
    let name = name(call)?;
    call.require(&format!("/pool/{name}"), &["Pool.Allocate"])?;
    let mut world = call.cluster.world();
    let pool = world.pools.get(&name).ok_or_else(|| no_such(&name))?;
    let below = format!("{name}/");
    let content = if let Some(other) = world.pools.keys().find(|other| other.starts_with(&below)) {
        Some(format!("pool '{other}'"))
    } else if let Some(vm) = pool.vms.first() {
        Some(format!("VM {vm}"))
    } else {
        pool.storages.first().map(|storage| format!("storage '{storage}'"))
    };
    if let Some(content) = content {
        let text = format!("delete pool failed: pool '{name}' is not empty (contains {content})");
        return Err(Failure::internal(text));
    }
    world.pools.remove(&name);
    Ok(Value::Null.into())
}
