//! Machines are switched on and off.

use super::{
    host,
    owned::{Machine, look, of_proxmox},
};
use crate::{machines::NodeContext, sagas::StepError};
use proxmox_client::{ConfigChange, Fault, Shutdown, Vm, VmState};
use std::{error::Error, time::Duration};

/// How long a machine may take to be switched on or off.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long a guest may take to shut down before its plug is pulled.
const SHUTDOWN: Duration = Duration::from_mins(1);
/// The code of a problem: the machine is not there, or not ours.
pub(super) const GONE: &str = "machine-gone";

/// Sees to it that the machine runs.
pub(super) async fn on(cx: &NodeContext<'_>) -> Result<String, StepError> {
    let Machine::Ours { vm, .. } = look(cx).await? else { return Err(gone()) };
    if vm.status().await.map_err(of_proxmox)?.state() == VmState::Running {
        return Ok("it runs".to_owned());
    }
    let started = vm.start().await.map_err(of_proxmox)?.finish(PATIENCE).await;
    match started {
        Ok(_) => Ok("it was started".to_owned()),
        Err(error) if error.fault() == Some(&Fault::Running) => Ok("it runs".to_owned()),
        Err(error) => Err(of_proxmox(error)),
    }
}

/// Sees to it that the machine runs, and starts with its node again.
pub(super) async fn resume(cx: &NodeContext<'_>) -> Result<String, StepError> {
    let Machine::Ours { vm, config } = look(cx).await? else { return Err(gone()) };
    if config.get("onboot") != Some("1") {
        vm.change(&ConfigChange::new().starts_with_node(true)).await.map_err(of_proxmox)?;
    }
    on(cx).await
}

/// Sees to it that the machine does not run and does not start with its node again, and lets its guest shut down before:
/// what it has in memory goes to its disk. A guest that does not hear or is too slow loses its plug.
pub(super) async fn shut_down(cx: &NodeContext<'_>) -> Result<String, StepError> {
    let Machine::Ours { vm, config } = look(cx).await? else { return off(cx).await };
    if config.get("onboot") == Some("1") {
        vm.change(&ConfigChange::new().starts_with_node(false)).await.map_err(of_proxmox)?;
    }
    if vm.status().await.map_err(of_proxmox)?.state() != VmState::Running {
        return off(cx).await;
    }
    if let Err(error) = ask_guest(&vm).await {
        tracing::warn!(error = &error as &dyn Error, "a guest was not shut down");
    }
    match vm.status().await.map_err(of_proxmox)?.state() {
        VmState::Stopped => Ok("it was shut down".to_owned()),
        VmState::Running | VmState::Other(_) => off(cx).await,
    }
}

async fn ask_guest(vm: &Vm) -> Result<(), proxmox_client::Error> {
    let options = Shutdown { timeout: Some(SHUTDOWN), then_stops: true };
    vm.shutdown(options).await?.finish(PATIENCE).await.map(|_| ())
}

/// Sees to it that the machine does not run and does not start with its node again: as if by its plug, and proven. One
/// that is not ours is left alone.
pub(super) async fn off(cx: &NodeContext<'_>) -> Result<String, StepError> {
    let (vm, config) = match look(cx).await? {
        Machine::Ours { vm, config } => (vm, config),
        Machine::Absent => return Ok("there is no machine".to_owned()),
        Machine::Foreign(what) => return Ok(format!("nothing of it is left: {what}")),
    };
    if config.get("onboot") == Some("1") {
        vm.change(&ConfigChange::new().starts_with_node(false)).await.map_err(of_proxmox)?;
    }
    if vm.status().await.map_err(of_proxmox)?.state() == VmState::Stopped {
        return Ok("it is switched off".to_owned());
    }
    vm.stop().await.map_err(of_proxmox)?.finish(PATIENCE).await.map_err(of_proxmox)?;
    match vm.status().await.map_err(of_proxmox)?.state() {
        VmState::Stopped => Ok("it was switched off".to_owned()),
        state @ (VmState::Running | VmState::Other(_)) => {
            Err(StepError::Retry(format!("it was told to stop and is {state:?}")))
        }
    }
}

/// Takes the node of the machine away, which only works for good when that is off: otherwise it registers again.
pub(super) async fn leave(cx: &NodeContext<'_>) -> Result<String, StepError> {
    off(cx).await?;
    host::remove_node(cx).await
}

/// Somebody took the machine away in the middle of it all.
pub(super) fn gone() -> StepError {
    let hint = "nothing is to be done: what is left of it is removed, and another one is made";
    StepError::fail(GONE, "its machine is gone, or somebody else's", hint)
}
