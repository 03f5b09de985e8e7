//! `cargo lab`: a real Kubernetes host cluster, and Warren on it, on one machine.
//!
//! Everything comes from package registries and is built here; what runs, runs in
//! network namespaces without a way out. `up` brings it up, `down` leaves nothing.

mod bench;
mod cache;
mod cancel;
mod cargo;
mod catalogue;
mod certificates;
mod cgroups;
mod clean;
mod command;
mod context;
mod control_plane;
mod debian;
mod demo;
mod digest;
mod golang;
mod host;
mod image;
mod imported;
mod k3s;
mod kernel;
mod kubectl;
mod lab;
mod layout;
mod lock;
mod mounts;
mod namespace;
mod network;
mod node;
mod part;
mod plan;
mod process;
mod progress;
mod proxmox;
mod python;
mod record;
mod shell;
mod space;
mod status;
mod supervisor;
mod test;
mod up;
mod warren;

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Parser, Subcommand};

use crate::cancel::Cancel;
use crate::context::Context;
use crate::host::Host;
use crate::layout::Layout;
use crate::lock::Lock;
use crate::progress::Progress;
use crate::supervisor::{EndBy, Order};
use crate::up::Outcome;

/// A real Kubernetes host cluster, and Warren on it, on one machine.
#[derive(Debug, Parser)]
#[command(name = "cargo lab", bin_name = "cargo lab", disable_help_subcommand = true)]
struct Arguments {
    /// Where built and fetched things are kept.
    #[arg(long, global = true, env = "WARREN_LAB_CACHE", default_value = "/var/cache/warren-lab")]
    cache: PathBuf,
    /// Where a lab that is up keeps its data.
    #[arg(long, global = true, env = "WARREN_LAB_STATE", default_value = "/var/lib/warren-lab")]
    state: PathBuf,
    /// A k3s binary that makes the host cluster in the parts' place.
    #[arg(long, global = true, env = "WARREN_K3S")]
    k3s: Option<PathBuf>,
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build what is missing, start everything and wait until all is healthy.
    Up {
        /// The host cluster alone, without Warren and its runner.
        #[arg(long)]
        without_warren: bool,
    },
    /// Stop everything and remove all that `up` made; what was built stays.
    Down,
    /// Bring the lab up, make a tenant and let three agents work in it.
    Demo,
    /// Run every test of the project, from nothing to nothing.
    Test,
    /// Measure Warren in the lab that is up, built as it would be used.
    Bench {
        /// Which benchmark; all of them if none is named.
        name: Option<String>,
        /// One JSON line a figure.
        #[arg(long)]
        json: bool,
        /// Runs of each side.
        #[arg(long)]
        runs: Option<usize>,
    },
    /// Print variables for a shell: `eval "$(cargo lab env)"`.
    Env,
    /// Show every part: process, health, since when.
    Status {
        #[arg(long)]
        json: bool,
    },
    /// Run kubectl as the host cluster's administrator.
    #[command(disable_help_flag = true)]
    Kubectl {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Show the log of a part.
    Logs {
        part: String,
        /// Go on as lines are added.
        #[arg(short, long)]
        follow: bool,
    },
    /// End a part and start it again.
    Restart {
        part: String,
        /// With SIGKILL.
        #[arg(long)]
        kill: bool,
        /// Build it anew before; Warren only.
        #[arg(long)]
        build: bool,
    },
    #[command(hide = true)]
    Supervise,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let layout = Layout::new(arguments.cache, arguments.state)?;
    match arguments.task {
        Task::Status { json } => {
            let is_well = status::print(&layout, json)?;
            return Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Task::Kubectl { arguments } => {
            ensure_up(&layout)?;
            bail!(kubectl::command(&layout).args(arguments).exec());
        }
        Task::Logs { part, follow } => logs(&layout, &part, follow)?,
        Task::Env => shell::print(&layout)?,
        Task::Restart { ref part, kill, build } if !build => restart(&layout, part, kill)?,
        task @ (Task::Up { .. }
        | Task::Down
        | Task::Demo
        | Task::Test
        | Task::Bench { .. }
        | Task::Restart { .. }
        | Task::Supervise) => {
            ensure!(rustix::process::geteuid().is_root(), "the lab needs root");
            let cancel = Cancel::on_signals()?;
            let host = Host::new(arguments.k3s)?;
            let cx = Context { layout, host, progress: Progress::new(), cancel };
            return change(&cx, task);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Does what builds, or changes the lab.
fn change(cx: &Context, task: Task) -> Result<ExitCode> {
    match task {
        Task::Supervise => supervisor::run(cx.clone())?,
        Task::Down => {
            let _lock = Lock::take("down")?;
            clean::down(cx)?;
            cx.progress.say("the lab is down");
        }
        Task::Test => {
            let _lock = Lock::take("test")?;
            return test::test(cx);
        }
        Task::Demo => {
            let lock = Lock::take("demo")?;
            up::up(cx, true)?;
            drop(lock);
            demo::show(cx)?;
        }
        Task::Bench { name, json, runs } => {
            ensure_up(&cx.layout)?;
            return bench::run(cx, name, json, runs);
        }
        Task::Restart { part, kill, .. } => {
            ensure_up(&cx.layout)?;
            ensure!(part == "warren", "only warren can be built for a lab that is up");
            let servers = cargo::build_servers(cx)?;
            warren::install(&cx.layout, &servers.warren)?;
            restart(&cx.layout, &part, kill)?;
        }
        Task::Up { without_warren } => {
            let _lock = Lock::take("up")?;
            match up::up(cx, !without_warren)? {
                Outcome::Started => cx.progress.say("the lab is up: `cargo lab status`"),
                Outcome::WasUp => cx.progress.say("the lab was up already"),
            }
        }
        Task::Env | Task::Status { .. } | Task::Kubectl { .. } | Task::Logs { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn logs(layout: &Layout, part: &str, follow: bool) -> Result<()> {
    let log = layout.log(part);
    if !log.exists() {
        let names = std::fs::read_dir(layout.state.join("log")).into_iter().flatten().flatten();
        let names: Vec<_> = names
            .map(|entry| entry.path().with_extension(""))
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect();
        bail!("no log of {part}; there are: {}", names.join(" "));
    }
    if follow {
        bail!(Command::new("tail").args(["-n", "50", "-F"]).arg(log).exec());
    }
    let mut file = std::fs::File::open(log)?;
    std::io::copy(&mut file, &mut std::io::stdout())?;
    Ok(())
}

fn restart(layout: &Layout, part: &str, kill: bool) -> Result<()> {
    ensure_up(layout)?;
    let signal = if kill { EndBy::Kill } else { EndBy::Term };
    let order = Order { restart: part.into(), signal };
    let pid = supervisor::send(&layout.control_socket(), &order)?;
    writeln!(std::io::stdout(), "{pid}").context("print the process")
}

fn ensure_up(layout: &Layout) -> Result<()> {
    ensure!(layout.record().exists(), "the lab is down: `cargo lab up` brings it up");
    Ok(())
}
