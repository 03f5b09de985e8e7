//! `/nodes/{node}/tasks`: what workers did and do.

use serde_json::{Value, json};

use super::{Call, Rights, Route, now};
use crate::failure::Failure;
use crate::http::answer::Reply;
use crate::params::{Kind, Parameter, optional};
use crate::task::{Task, node_of};
use crate::world::World;

const PIECE: [Parameter; 2] =
    [optional("start", Kind::Integer(0, i64::MAX)), optional("limit", Kind::Integer(0, i64::MAX))];

const FILTERS: [Parameter; 10] = [
    optional("start", Kind::Integer(0, i64::MAX)),
    optional("limit", Kind::Integer(0, i64::MAX)),
    optional("vmid", Kind::Integer(100, 999_999_999)),
    optional("source", Kind::Choice(&["archive", "active", "all"])),
    optional("typefilter", Kind::Text),
    optional("userfilter", Kind::Text),
    optional("statusfilter", Kind::Text),
    optional("since", Kind::Integer(0, i64::MAX)),
    optional("until", Kind::Integer(0, i64::MAX)),
    optional("errors", Kind::Boolean),
];

pub(crate) fn routes() -> Vec<Route> {
    vec![
        now("GET", "/nodes/{node}/tasks", Rights::All, &FILTERS, list),
        now("GET", "/nodes/{node}/tasks/{upid}/status", Rights::All, &[], status),
        now("GET", "/nodes/{node}/tasks/{upid}/log", Rights::All, &PIECE, log),
        now("DELETE", "/nodes/{node}/tasks/{upid}", Rights::All, &[], abort),
    ]
}

/// The task of the path, if the caller may see it, or change it.
fn task<'a>(call: &Call, world: &'a World, privilege: &str) -> Result<&'a Task, Failure> {
    let upid = call.part("upid");
    let node = node_of(upid)?;
    let task = world.tasks.get(upid).filter(|_| node == call.node());
    let task = task.ok_or_else(|| Failure::parameter("upid", "no such task"))?;
    if !is_own(call, task) {
        world.require(&call.actor, &format!("/nodes/{node}"), &[privilege])?;
    }
    Ok(task)
}

/// A user sees what his tokens did; a token sees what it did.
fn is_own(call: &Call, task: &Task) -> bool {
    let of_user =
        call.actor.token.is_none() && task.user.split('!').next() == Some(call.actor.user.as_str());
    task.user == call.actor.name() || of_user
}

fn status(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    Ok(task(call, &world, "Sys.Audit")?.status().into())
}

fn log(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let task = task(call, &world, "Sys.Audit")?;
    let number = |name: &str, default: usize| {
        call.params.number(name).and_then(|n| usize::try_from(n).ok()).unwrap_or(default)
    };
    let (start, limit) = (number("start", 0), number("limit", 50));
    if task.log.is_empty() {
        return Ok(Reply { data: json!([{"n": 1, "t": "no content"}]), total: Some(1) });
    }
    let limit = if limit == 0 { usize::MAX } else { limit };
    let lines = task.log.iter().enumerate().skip(start).take(limit);
    let lines = lines.map(|(index, line)| json!({"n": index + 1, "t": line}));
    Ok(Reply { data: lines.collect(), total: Some(task.log.len()) })
}

fn abort(call: &Call) -> Result<Reply, Failure> {
    let upid = {
        let world = call.cluster.world();
        task(call, &world, "Sys.Modify")?.upid.clone()
    };
    call.cluster.abort(&upid);
    Ok(Value::Null.into())
}

#[expect(clippy::unnecessary_wraps, reason = "is a handler")]
fn list(call: &Call) -> Result<Reply, Failure> {
    let world = call.cluster.world();
    let params = &call.params;
    let sees_all = world.may(&call.actor, &format!("/nodes/{}", call.node()), "Sys.Audit");
    let source = params.text("source").unwrap_or("archive");
    let time = |name: &str| params.number(name).and_then(|time| u64::try_from(time).ok());
    let fits = |task: &&Task| {
        let status = task.exit.as_deref().unwrap_or("running");
        task.node == call.node()
            && (sees_all || is_own(call, task))
            && match source {
                "active" => task.exit.is_none(),
                "all" => true,
                _ => task.exit.is_some(),
            }
            && params.number("vmid").is_none_or(|id| task.id == id.to_string())
            && params.text("typefilter").is_none_or(|kind| task.kind == kind)
            && params.text("userfilter").is_none_or(|user| task.user.contains(user))
            && time("since").is_none_or(|since| task.start_s >= since)
            && time("until").is_none_or(|until| task.start_s <= until)
            && (!params.is_set("errors") || (status != "OK" && task.exit.is_some()))
    };
    let all: Vec<&Task> = world.tasks.latest().filter(fits).collect();
    let number = |name: &str, default: usize| {
        params.number(name).and_then(|n| usize::try_from(n).ok()).unwrap_or(default)
    };
    let piece = all.iter().skip(number("start", 0)).take(number("limit", 50));
    Ok(Reply { data: piece.map(|task| task.listed()).collect(), total: Some(all.len()) })
}
