//! `up`: prepare, make network and certificates, start the supervisor, wait until all
//! is healthy.

use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::cargo;
use crate::command::open_log;
use crate::context::Context;
use crate::layout::{read_json, write_json};
use crate::lock::Present;
use crate::plan::Plan;
use crate::record::Record;
use crate::supervisor::Report;
use crate::{certificates, cgroups, clean, kernel, mounts, network, space};

/// How often the wish to end is looked at while the supervisor works.
const LOOK: Duration = Duration::from_millis(100);

/// What `up` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Started,
    WasUp,
}

/// Brings the lab up, unless it is.
pub(crate) fn up(cx: &Context, with_warren: bool) -> Result<Outcome> {
    if is_up(cx, with_warren)? {
        return Ok(Outcome::WasUp);
    }
    if clean::is_anything_left(&cx.layout)? {
        cx.progress.say("an earlier lab ended without `down`: its remains are removed");
        clean::clean(cx)?;
    }
    let plan = Plan::prepare(cx, |cx| with_warren.then(|| cargo::build_servers(cx)).transpose())?;
    bring_up(cx, &plan)?;
    Ok(Outcome::Started)
}

/// Brings up a lab where none is; removes it again if it does not become healthy.
pub(crate) fn bring_up(cx: &Context, plan: &Plan) -> Result<()> {
    let started = start(cx, plan);
    if started.is_err() {
        keep_logs(cx);
        clean::down(&cx.patient()).context("remove what was started")?;
    }
    started
}

/// Whether the lab runs; one that runs but is not well is an error.
fn is_up(cx: &Context, with_warren: bool) -> Result<bool> {
    let mut layout = cx.layout.clone();
    if let Some(present) = Present::read() {
        layout.state = present.state;
    }
    let Ok(record) = read_json::<Record>(&layout.record()) else { return Ok(false) };
    if !record.processes().contains(&record.supervisor) {
        return Ok(false);
    }
    let state = layout.state.display();
    ensure!(layout.state == cx.layout.state, "the lab of {state} is up: only one can be");
    ensure!(record.is_healthy(), "the lab is up but not well: see `cargo lab status`");
    let plan: Plan = read_json(&layout.plan())?;
    ensure!(
        plan.host == cx.host,
        "the lab is up with another host cluster (WARREN_K3S): `cargo lab down`, then again"
    );
    let has_warren = record.parts.iter().any(|part| part.name == "warren");
    ensure!(
        has_warren || !with_warren,
        "the lab is up without Warren: `cargo lab down`, then again"
    );
    Ok(true)
}

fn start(cx: &Context, plan: &Plan) -> Result<()> {
    let layout = &cx.layout;
    space::check(layout)?;
    let present = Present { state: layout.state.clone(), settings: kernel::read() };
    present.write()?;
    layout.create_state()?;
    plan.link(cx)?;
    write_json(&layout.plan(), plan)?;
    cgroups::create()?;
    network::create()?;
    certificates::create(layout)?;
    mounts::create_holder(layout)?;
    plan.host.prepare(layout, plan)?;
    cx.progress.say("network, certificates and configuration are made");
    cx.cancel.check()?;

    let mut supervisor = Command::new("setsid");
    supervisor.arg(std::env::current_exe()?);
    supervisor.arg("--cache").arg(&layout.cache).arg("--state").arg(&layout.state);
    supervisor.arg("supervise").current_dir("/").stdin(Stdio::null());
    supervisor.stdout(Stdio::piped()).stderr(open_log(&layout.log("supervisor"))?);
    let mut child = supervisor.spawn().context("start the supervisor")?;
    let reports = child.stdout.take().context("its output is a pipe")?;
    follow(cx, reports)
}

/// Prints what the supervisor reports until all is healthy.
fn follow(cx: &Context, reports: ChildStdout) -> Result<()> {
    let lines = lines(reports);
    loop {
        match lines.recv_timeout(LOOK) {
            Ok(line) => match serde_json::from_str(&line)? {
                Report::Step(text) => cx.progress.say(text),
                Report::Ready => return Ok(()),
                Report::Failed(error) => bail!("{error}"),
            },
            Err(RecvTimeoutError::Timeout) => cx.cancel.check()?,
            Err(RecvTimeoutError::Disconnected) => bail!("the supervisor ended"),
        }
    }
}

fn lines(reports: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(reports).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Copies the logs of a lab that failed out of the state that is about to go.
pub(crate) fn keep_logs(cx: &Context) {
    let kept = cx.layout.cache.join("log/failed");
    let mut copy = Command::new("cp");
    copy.arg("-r").arg(cx.layout.state.join("log")).arg(&kept);
    let _ = std::fs::remove_dir_all(&kept);
    if crate::command::capture(&mut copy).is_ok() {
        cx.progress.say(format!("the parts' logs are kept in {}", kept.display()));
    }
}
