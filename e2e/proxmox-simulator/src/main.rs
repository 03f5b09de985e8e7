//! The program: a simulated cluster that listens, and orders to it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use proxmox_simulator::control;
use proxmox_simulator::machines::Machines;
use proxmox_simulator::machines::imaginary::Imaginary;
use proxmox_simulator::machines::namespaces::{self, Namespaces, Settings};
use proxmox_simulator::{Clock, Config, Simulator};
use serde::de::DeserializeOwned;
use tokio::signal::unix::{SignalKind, signal};

/// A Proxmox VE cluster without Proxmox VE.
#[derive(Debug, Parser)]
#[command(name = "proxmox-simulator")]
struct Arguments {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Runs a cluster until it is asked to end.
    Serve {
        /// What it is made of (JSON); three nodes with templates if it is missing.
        #[arg(long)]
        config: Option<PathBuf>,
        /// Where it is kept over a restart.
        #[arg(long)]
        state: Option<PathBuf>,
        /// The socket for orders.
        #[arg(long)]
        control: Option<PathBuf>,
        /// What real machines are made of (JSON); imaginary ones if it is missing.
        #[arg(long)]
        machines: Option<PathBuf>,
    },
    /// Sends an order to a cluster and prints its answer.
    Control {
        socket: PathBuf,
        /// Such as `{"act": {"act": "lose_quorum"}}`.
        order: String,
    },
    /// Removes what machines left.
    Clean {
        /// What they were made of.
        #[arg(long)]
        machines: PathBuf,
    },
    /// The first process of a machine.
    #[command(hide = true)]
    Machine { order: PathBuf },
    /// The second process of a machine.
    #[command(hide = true)]
    MachineBoot { order: PathBuf },
}

fn main() -> Result<()> {
    match Arguments::parse().order {
        Order::Serve { config, state, control, machines } => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(serve(config, state, control, machines))
        }
        Order::Control { socket, order } => {
            let answer = control::send(&socket, &order)?;
            writeln!(std::io::stdout().lock(), "{answer:#}")?;
            anyhow::ensure!(answer["ok"] == true, "the order was refused");
            Ok(())
        }
        Order::Clean { machines } => namespaces::clean(&read::<Settings>(&machines)?),
        Order::Machine { order } => namespaces::first(&order),
        Order::MachineBoot { order } => namespaces::second(&order),
    }
}

async fn serve(
    config: Option<PathBuf>,
    state: Option<PathBuf>,
    control: Option<PathBuf>,
    machines: Option<PathBuf>,
) -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .parse_lossy("");
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let mut config: Config = config.map(|path| read(&path)).transpose()?.unwrap_or_default();
    if state.is_some() {
        config.folder = state;
    }
    if let Some(folder) = &config.folder {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    let machines: Arc<dyn Machines> = if let Some(path) = machines {
        Arc::new(Namespaces::new(read(&path)?)?)
    } else {
        let ms = Duration::from_millis;
        Arc::new(Imaginary::new(ms(config.times.boot_ms), ms(config.times.shutdown_ms)))
    };
    let simulator = Arc::new(Simulator::start(config, Clock::system(), machines).await?);
    let places = serde_json::json!({
        "nodes": simulator.addresses(), "authority": simulator.authority_pem(),
    });
    // Whoever started this waits for this line.
    writeln!(std::io::stdout().lock(), "{places}")?;
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let orders = async {
        match &control {
            Some(socket) => control::listen(simulator.clone(), socket).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        result = orders => result?,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    simulator.end().await;
    Ok(())
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("understand {}", path.display()))
}
