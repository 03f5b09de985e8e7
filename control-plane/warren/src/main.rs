//! Warren: one binary that is server and command line.

mod access;
mod bootstrap;
mod cli;
mod config;
mod host;
mod machines;
mod provisioner;
mod serve;
mod system;
mod telemetry;
mod tls;

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
    /// Make another operator's token on the server's machine, when every one is lost; the server must
    /// not be running meanwhile
    Bootstrap {
        /// The configuration of the server
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    #[command(flatten)]
    Client(cli::Command),
    /// Print a credential for kubectl, which asks for it by itself
    Credential(Box<cli::Credential>),
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
        Command::Credential(arguments) => cli::credential(&arguments),
        Command::Serve { config } => exit(runtime.block_on(serve::serve(&config))),
        Command::Bootstrap { config } => exit(runtime.block_on(bootstrap::recover(&config))),
    }
}

fn exit(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            telemetry::fatal(&error);
            ExitCode::FAILURE
        }
    }
}
