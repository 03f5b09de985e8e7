//! Warren: one binary that is server and command line.

mod access;
mod cli;
mod config;
mod host;
mod provisioner;
mod serve;
mod system;
mod telemetry;

use clap::{Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

/// Kubernetes API servers for tenants, and agent sessions inside them
#[derive(Debug, Parser)]
#[command(name = "warren", version, subcommand_required = true, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server: API, provisioner and run endpoint in one process
    Serve {
        /// The configuration (TOML); environment variables `WARREN__SECTION__KEY` go over it
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    #[command(flatten)]
    Client(cli::Command),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing has chosen another provider of cryptography before main");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("the operating system gives threads to a starting process");
    match arguments.command {
        Command::Client(command) => runtime.block_on(cli::run(command)),
        Command::Serve { config } => match runtime.block_on(serve::serve(&config)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                telemetry::fatal(&error);
                ExitCode::FAILURE
            }
        },
    }
}
