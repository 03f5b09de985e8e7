//! The program that starts an agent inside its pod and reports to Warren.
//!
//! `warren-runner install DIR` copies itself to a folder that the agent's container shares;
//! `runner -- COMMAND ARGS…` there starts the agent: any image will do, nothing has to be
//! installed in it. `warren-runner copy` carries a volume to another node. Static, a few threads,
//! no runtime.

mod agent;
mod artifacts;
mod clock;
mod copy;
mod endpoint;
mod gate;
mod inputs;
mod install;
mod lines;
mod log;
mod mask;
mod patience;
mod reports;
mod run;
mod settings;
mod signals;
mod try_out;
mod usage;

use copy::Side;
use std::{env, ffi::OsString, net::SocketAddr, path::PathBuf, process::ExitCode};

const USAGE: &str = "usage: warren-runner install DIR\n       warren-runner -- COMMAND [ARGS…]\n       warren-runner try-out ENDPOINT GATE NAME\n       warren-runner copy out|in DIR";
/// `EX_USAGE` of sysexits.h.
const EXIT_USAGE: u8 = 64;
/// `EX_IOERR` of sysexits.h.
const EXIT_IO: u8 = 74;

fn main() -> ExitCode {
    let mut words = env::args_os().skip(1);
    let mode = words.next();
    let rest: Vec<OsString> = words.collect();
    match (mode.as_ref().and_then(|mode| mode.to_str()), rest.as_slice()) {
        (Some("install"), [folder]) => match install::install(&PathBuf::from(folder)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("warren-runner: cannot copy itself to {}: {error}", folder.display());
                ExitCode::from(EXIT_IO)
            }
        },
        (Some("--"), [program, arguments @ ..]) => run::run(program, arguments),
        (Some("try-out"), [endpoint, gate, name]) => {
            match (address(endpoint), address(gate), name.to_str()) {
                (Some(endpoint), Some(gate), Some(name)) => try_out::try_out(endpoint, gate, name),
                _ => usage(),
            }
        }
        (Some("copy"), [side, folder]) => match side.to_str().and_then(Side::parse) {
            Some(side) => copy::copy(side, &PathBuf::from(folder)),
            None => usage(),
        },
        _ => usage(),
    }
}

fn address(word: &OsString) -> Option<SocketAddr> {
    word.to_str()?.parse().ok()
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(EXIT_USAGE)
}
