//! `…/agent`: what the guest says and does.
//!
//! A command's end is told once; who asks again is told that there is no such process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Call, Rights, Route, later, now};
use crate::failure::Failure;
use crate::http::answer::Reply;
use crate::machines::{Interface, Output};
use crate::params::{Kind, Parameter, optional, required};

/// Characters that a file may have.
const FILE: usize = 61_440;

const EXEC: [Parameter; 2] = [required("command", Kind::List), optional("input-data", Kind::Text)];
const PID: [Parameter; 1] = [required("pid", Kind::Integer(1, i64::MAX))];
const WRITE: [Parameter; 3] = [
    required("file", Kind::Text),
    required("content", Kind::Short(FILE)),
    optional("encode", Kind::Boolean),
];

/// What commands led to, by VM and process; `None` while they run.
#[derive(Debug, Default)]
pub(crate) struct Commands(Mutex<HashMap<(u32, i64), Option<Output>>>);

impl Commands {
    fn all(&self) -> MutexGuard<'_, HashMap<(u32, i64), Option<Output>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        later("POST", "/nodes/{node}/qemu/{vmid}/agent/ping", Rights::All, &[], |call| {
            Box::pin(ping(call))
        }),
        later(
            "GET",
            "/nodes/{node}/qemu/{vmid}/agent/network-get-interfaces",
            Rights::All,
            &[],
            |call| Box::pin(interfaces(call)),
        ),
        later("POST", "/nodes/{node}/qemu/{vmid}/agent/exec", Rights::All, &EXEC, |call| {
            Box::pin(exec(call))
        }),
        now("GET", "/nodes/{node}/qemu/{vmid}/agent/exec-status", Rights::All, &PID, exec_status),
        later("POST", "/nodes/{node}/qemu/{vmid}/agent/file-write", Rights::All, &WRITE, |call| {
            Box::pin(write(call))
        }),
    ]
}

/// The right has another name in every other release.
fn check_right(call: &Call, name: &str) -> Result<(), Failure> {
    let path = format!("/vms/{}", call.vm());
    if !call.release().has_agent_rights() {
        return call.require(&path, &["VM.Monitor"]);
    }
    let own = format!("VM.GuestAgent.{name}");
    let wanted = [own.as_str(), "VM.GuestAgent.Unrestricted"];
    call.cluster.world().require_any(&call.actor, &path, &wanted)
}

/// The network of a guest whose agent answers.
async fn reach(call: &Call) -> Result<Vec<Interface>, Failure> {
    let id = call.vm();
    let is_silent = {
        let world = call.cluster.world();
        let vm = world.vm(call.node(), id)?;
        if vm.run.is_none() {
            return Err(Failure::internal(format!("VM {id} is not running")));
        }
        if !vm.has_agent() {
            return Err(Failure::internal("No QEMU guest agent configured"));
        }
        world.silent.contains(&id)
    };
    let found = if is_silent { None } else { call.cluster.machines.interfaces(id).await };
    if let Some(found) = found {
        return Ok(found);
    }
    call.cluster.pause(call.cluster.config.times.agent_patience_ms).await;
    Err(Failure::internal("QEMU guest agent is not running"))
}

async fn ping(call: Call) -> Result<Reply, Failure> {
    check_right(&call, "Audit")?;
    reach(&call).await?;
    Ok(json!({"result": {}}).into())
}

async fn interfaces(call: Call) -> Result<Reply, Failure> {
    check_right(&call, "Audit")?;
    let found = reach(&call).await?;
    let render = |card: Interface| {
        let addresses = card.addresses.iter().map(|(address, prefix)| {
            let kind = if address.is_ipv4() { "ipv4" } else { "ipv6" };
            json!({"ip-address": address, "ip-address-type": kind, "prefix": prefix})
        });
        json!({
            "name": card.name,
            "hardware-address": card.mac,
            "ip-addresses": addresses.collect::<Value>(),
            "statistics": {"rx-bytes": 0, "tx-bytes": 0, "rx-packets": 0, "tx-packets": 0},
        })
    };
    Ok(json!({"result": found.into_iter().map(render).collect::<Value>()}).into())
}

async fn exec(call: Call) -> Result<Reply, Failure> {
    check_right(&call, "Unrestricted")?;
    let command = call.params.list("command");
    if !call.release().takes_command_lists() && command.len() > 1 {
        return Err(Failure::parameter("command", "type check ('string') failed"));
    }
    reach(&call).await?;
    let input = call.params.text("input-data").unwrap_or_default().to_owned();
    let id = call.vm();
    let cluster = call.cluster.clone();
    let pid = {
        let mut commands = cluster.commands.all();
        let last = commands.keys().filter(|(vm, _)| *vm == id).map(|(_, pid)| *pid).max();
        let pid = last.unwrap_or(1000) + 1;
        commands.insert((id, pid), None);
        pid
    };
    tokio::spawn(async move {
        let output = cluster.machines.run(id, &command, &input).await;
        let failed = |error: crate::machines::MachineError| Output {
            code: 127,
            out: String::new(),
            err: error.to_string(),
        };
        let output = output.unwrap_or_else(failed);
        cluster.commands.all().insert((id, pid), Some(output));
    });
    Ok(json!({"pid": pid}).into())
}

fn exec_status(call: &Call) -> Result<Reply, Failure> {
    check_right(call, "Unrestricted")?;
    let pid = call.params.number("pid").unwrap_or_default();
    let key = (call.vm(), pid);
    let mut commands = call.cluster.commands.all();
    match commands.get(&key) {
        None => Err(Failure::internal("Agent error: Invalid parameter 'pid'")),
        Some(None) => Ok(json!({"exited": 0}).into()),
        Some(Some(output)) => {
            let mut body = json!({"exited": 1, "exitcode": output.code});
            for (name, text) in [("out-data", &output.out), ("err-data", &output.err)] {
                if !text.is_empty() {
                    body[name] = json!(text);
                }
            }
            commands.remove(&key);
            Ok(body.into())
        }
    }
}

async fn write(call: Call) -> Result<Reply, Failure> {
    check_right(&call, "FileWrite")?;
    reach(&call).await?;
    let content = call.params.text("content").unwrap_or_default();
    let is_plain = call.params.number("encode").is_none_or(|encode| encode == 1);
    let bytes = if is_plain {
        content.as_bytes().to_vec()
    } else {
        let decoded = STANDARD.decode(content);
        decoded.map_err(|_| Failure::internal("Agent error: content is no base64"))?
    };
    let file = call.params.text("file").unwrap_or_default();
    let written = call.cluster.machines.write_file(call.vm(), file, &bytes).await;
    written.map_err(|error| Failure::internal(format!("Agent error: {error}")))?;
    Ok(Value::Null.into())
}
