//! Measures Warren against doing the same by hand, both sides in one run. `cargo lab bench` calls it
//! while the lab is up; raw values go to a file in the lab's cache.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::print_stderr, reason = "and its progress")]

mod by_hand;
mod clone_storm;
mod concurrent;
mod direct;
mod drain;
mod figure;
mod finish;
mod levers;
mod log_follow;
mod lost_node;
mod machine;
mod memory;
mod node_attach;
mod plan_change;
mod probe;
mod quiet;
mod restart;
mod session_cold;
mod tenant_cold;
mod tenant_cold_helm;
mod tenants;

use anyhow::{Context, Result, bail};
use black_box::Lab;
use clap::{Parser, Subcommand};
use figure::{Figure, HEADER};
use std::path::PathBuf;

#[derive(Debug, Parser)]
#[command(about = "Measures Warren in the lab that runs")]
struct Arguments {
    #[command(subcommand)]
    probe: Option<Probe>,
    /// memory, tenant-cold, tenant-cold-helm, session-cold, log-follow, finish, concurrent, restart, lost-node,
    /// node-attach, clone-storm, drain, plan-change or quiet; all of them if none is named. Or levers.
    name: Option<String>,
    /// One JSON line a figure instead of a table.
    #[arg(long)]
    json: bool,
    /// Runs of each side.
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

/// Used by the benchmark itself, inside the lab's network.
#[derive(Debug, Subcommand)]
enum Probe {
    #[command(hide = true)]
    WaitWrite { kubeconfig: PathBuf, seconds: u64 },
    #[command(hide = true)]
    Complete { seconds: u64 },
}

type Measure = fn(&Lab, usize) -> Result<Vec<Figure>>;

const BENCHMARKS: [(&str, Measure); 15] = [
    ("memory", memory::measure),
    ("tenant-cold", tenant_cold::measure),
    ("tenant-cold-helm", tenant_cold_helm::measure),
    ("session-cold", session_cold::measure),
    ("log-follow", log_follow::measure),
    ("finish", finish::measure),
    ("concurrent", concurrent::measure),
    ("restart", restart::measure),
    ("lost-node", lost_node::measure),
    ("node-attach", node_attach::measure),
    ("drain", drain::measure),
    ("plan-change", plan_change::measure),
    ("clone-storm", clone_storm::measure),
    ("quiet", quiet::measure),
    (ONLY_BY_NAME, levers::measure),
];

/// What explains a figure instead of being one.
const ONLY_BY_NAME: &str = "levers";

fn main() -> Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments = Arguments::parse();
    match arguments.probe {
        Some(Probe::WaitWrite { kubeconfig, seconds }) => {
            println!("{}", probe::wait_write(&kubeconfig, seconds)?);
            return Ok(());
        }
        Some(Probe::Complete { seconds }) => {
            let groups: Vec<probe::Group> = serde_json::from_reader(std::io::stdin().lock())?;
            println!("{}", serde_json::to_string(&probe::complete(&groups, seconds)?)?);
            return Ok(());
        }
        None => {}
    }
    let lab = Lab::running()
        .context("WARREN_LAB names no lab; `cargo lab up`, then `cargo lab bench`")?;
    let chosen: Vec<_> = BENCHMARKS
        .into_iter()
        .filter(|(name, _)| match arguments.name.as_deref() {
            Some(wanted) => wanted == *name,
            None => *name != ONLY_BY_NAME,
        })
        .collect();
    if chosen.is_empty() {
        bail!("no such benchmark; there are: {}", BENCHMARKS.map(|(name, _)| name).join(", "));
    }
    if !arguments.json {
        println!("{HEADER}");
    }
    let mut all = Vec::new();
    for (name, measure) in chosen {
        eprintln!("measuring {name} …");
        let figures = measure(&lab, arguments.runs).with_context(|| format!("measure {name}"))?;
        for figure in &figures {
            println!("{}", if arguments.json { figure.json() } else { figure.row() });
        }
        all.extend(figures);
    }
    // Beside what was built, so that no later run and no `down` takes them away.
    let folder = lab.cache.join("bench");
    std::fs::create_dir_all(&folder).context("make a folder for the raw values")?;
    let name = arguments.name.as_deref().unwrap_or("all");
    let raw = folder.join(format!("{:.0}-{name}.json", probe::now()));
    std::fs::write(&raw, serde_json::to_string_pretty(&all)?).context("write the raw values")?;
    eprintln!("raw values: {}", raw.display());
    Ok(())
}
