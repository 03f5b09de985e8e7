//! What runs in a machine: the first process, which only waits for others, and the second, which boots.
//!
//! The simulator speaks to the second by its standard input: a line `shutdown` is the power button, and the end of
//! the input is the end of the power, so that no machine outlives its simulator.

mod boot;
mod service;

use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{WaitOptions, wait};
use serde::{Deserialize, Serialize};

use super::settings::{Route, Settings};
use crate::machines::Hardware;
use crate::nocloud::Seed;

/// How often parts that died are looked for.
const LOOK: Duration = Duration::from_millis(500);

/// What a machine is told when it is turned on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) settings: Settings,
    pub(crate) hardware: Hardware,
    /// What it read from its CD, now or at its first start.
    pub(crate) seed: Option<Seed>,
    /// Pods of others.
    pub(crate) routes: Vec<Route>,
    pub(crate) machine_cores: u64,
    pub(crate) machine_memory_mib: u64,
}

impl Order {
    pub(crate) fn disk(&self) -> PathBuf {
        self.settings.disk(self.hardware.vm)
    }

    /// Is there when the machine has booted.
    pub(crate) fn booted(&self) -> PathBuf {
        self.disk().join("booted")
    }
}

/// The first process of a machine: starts the second and waits for all.
///
/// # Errors
/// If the second cannot be started.
pub fn first(order: &Path) -> Result<()> {
    let own = std::env::current_exe().context("find this program")?;
    let second = Command::new(own).arg("machine-boot").arg(order).spawn().context("boot")?;
    let second = i32::try_from(second.id())?;
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, _))) if pid.as_raw_nonzero().get() == second => return Ok(()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("wait"),
        }
    }
}

/// The second process of a machine: everything else.
///
/// # Errors
/// If the machine cannot boot.
pub fn second(order: &Path) -> Result<()> {
    let text = std::fs::read(order).with_context(|| format!("read {}", order.display()))?;
    let order: Order = serde_json::from_slice(&text).context("understand the order")?;
    let power = Power::watch();
    let mut services = boot::boot(&order, &power)?;
    while power.stays_on(LOOK) {
        services.iter_mut().for_each(service::Service::keep);
    }
    say("the power button was pressed");
    // The last that was started depends on those before it.
    services.iter_mut().rev().for_each(service::Service::end);
    Ok(())
}

/// The power button.
#[derive(Debug)]
pub(crate) struct Power(Receiver<()>);

impl Power {
    fn watch() -> Self {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let lines = std::io::stdin().lock().lines().map_while(Result::ok);
            for _ in lines.filter(|line| line == "shutdown") {
                // Nobody listens any more if it goes off already.
                let _ = sender.send(());
            }
            std::process::exit(1);
        });
        Self(receiver)
    }

    /// Waits so long; says whether the button was left alone.
    pub(crate) fn stays_on(&self, length: Duration) -> bool {
        self.0.recv_timeout(length) == Err(RecvTimeoutError::Timeout)
    }
}

/// A line on the console.
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

/// A command whose standard input is not the simulator's.
pub(crate) fn quiet(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}
