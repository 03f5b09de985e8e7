use crate::agent::Agent;
use nix::sys::signal::Signal;
use signal_hook::{
    consts::{SIGCHLD, SIGINT, SIGTERM},
    iterator::Signals,
};
use std::{io, process, sync::Arc, thread};

/// From now on, children are waited for and requests to end are passed to the agent.
pub(crate) fn watch(agent: Arc<Agent>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGCHLD])?;
    let watch = move || {
        for signal in signals.forever() {
            match Signal::try_from(signal) {
                Ok(Signal::SIGCHLD) => agent.reap(),
                Ok(signal) if !agent.terminate(signal) => leave(signal),
                Ok(_) | Err(_) => {}
            }
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(watch).map(drop)
}

/// Ends at once: there is no agent yet, and nothing to report.
#[expect(clippy::exit, reason = "the other threads may be waiting for a network that is not there")]
fn leave(signal: Signal) {
    process::exit(128 + signal as i32)
}
