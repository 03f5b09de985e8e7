//! The command line: kubectl's grammar, data on stdout, everything else on stderr.
//!
//! It knows the server only through the REST API. Every command ends with an exit code of
//! [`problem::Exit`], and every error is one block that says what happened and what to do.

mod answer;
mod audit;
mod client;
mod doctor;
mod explain;
mod format;
mod kubeconfig;
mod node;
mod operation;
mod options;
mod organisation;
mod output;
mod plan;
mod plans;
mod problem;
mod progress;
mod session;
mod tenant;
mod token;
mod upload;
mod version;
mod wait;

pub(crate) use kubeconfig::Credential;

use clap::{Args, Subcommand};
use client::Client;
use options::{Common, Connection, Format};
use output::Printer;
use problem::{Exit, Failure};
use progress::Messages;
use std::{process::ExitCode, sync::Mutex};

/// What the command line asks a server for.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make, look at, wait for and delete tenants
    Tenant(Box<Group<tenant::Command>>),
    /// Run agents: start, follow, stop sessions and fetch what they left
    Session(Box<Group<session::Command>>),
    /// Make, list and take back API tokens
    Token(Box<Group<token::Command>>),
    /// Make organisations, invite people, and change what they may
    Organisation(Box<Group<organisation::Command>>),
    /// Get a kubeconfig for a tenant's own API server
    Kubeconfig(Box<kubeconfig::Arguments>),
    /// Show what a reconcile would change on the host, without changing it
    Explain(Box<Group<explain::Command>>),
    /// Look at an operation: its steps, times and, when it failed, the way out
    Operation(Box<Group<operation::Command>>),
    /// Look at nodes that tenants have for themselves
    Node(Box<Group<node::Command>>),
    /// Move tenants from one plan to another
    Plan(Box<Group<plan::Command>>),
    /// List the plans
    Plans(Box<Single<plans::Arguments>>),
    /// Who did what, and whether that log is still as it was written
    Audit(Box<Group<audit::Command>>),
    /// Check the server and its host cluster, or its cluster of Proxmox VE; exits 1 if something is wrong
    Doctor(Box<Single<doctor::Arguments>>),
    /// Show the versions of this program and of the server
    Version(Box<Single<version::Arguments>>),
}

/// Subcommands and the options that all of them take.
#[derive(Debug, Args)]
pub(crate) struct Group<C: Subcommand> {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: C,
}

/// One command and the options that all commands take.
#[derive(Debug, Args)]
pub(crate) struct Single<A: Args> {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    arguments: A,
}

/// What a command works with.
#[derive(Debug)]
struct Context {
    client: Client,
    printer: Printer,
    messages: Messages,
    /// What to tell a person who interrupts now.
    if_interrupted: Mutex<Option<String>>,
}

impl Context {
    fn new(command: &Command) -> Result<Self, Failure> {
        let (connection, format) = command.common();
        // Versions are told to everybody, so a broken token is no reason not to ask for them.
        let is_public = matches!(command, Command::Version(_));
        // A file is checked without anybody else.
        let is_offline = matches!(command, Command::Audit(group) if group.command.is_offline());
        let token = if is_public || is_offline { None } else { connection.token()? };
        Ok(Self {
            client: Client::new(connection, token)?,
            printer: Printer::new(format),
            messages: Messages::new(format),
            if_interrupted: Mutex::new(None),
        })
    }

    fn when_interrupted(&self, text: impl Into<String>) {
        *self.if_interrupted.lock().expect("no holder of this lock panics") = Some(text.into());
    }
}

/// Runs a command to its exit code; everything that it has to say is said.
pub(crate) async fn run(command: Command) -> ExitCode {
    let (_, format) = command.common();
    exit(ask(&command).await, format)
}

/// Prints a credential for `kubectl`. It asks nobody, so it needs nothing to ask with.
pub(crate) fn credential(arguments: &Credential) -> ExitCode {
    exit(kubeconfig::credential(arguments), arguments.common.output)
}

fn exit(outcome: Result<(), Failure>, format: Format) -> ExitCode {
    match outcome {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => {
            failure.report(format);
            failure.exit.into()
        }
    }
}

async fn ask(command: &Command) -> Result<(), Failure> {
    let cx = Context::new(command)?;
    tokio::select! {
        outcome = Box::pin(dispatch(&cx, command)) => outcome,
        () = interrupt() => Err(interrupted(&cx)),
    }
}

impl Command {
    fn common(&self) -> (&Connection, Format) {
        let common = match self {
            Self::Kubeconfig(arguments) => return (&arguments.connection, Format::Table),
            Self::Tenant(group) => &group.common,
            Self::Session(group) => &group.common,
            Self::Token(group) => &group.common,
            Self::Explain(group) => &group.common,
            Self::Operation(group) => &group.common,
            Self::Node(group) => &group.common,
            Self::Plan(group) => &group.common,
            Self::Organisation(group) => &group.common,
            Self::Audit(group) => &group.common,
            Self::Plans(single) => &single.common,
            Self::Doctor(single) => &single.common,
            Self::Version(single) => &single.common,
        };
        (&common.connection, common.output)
    }
}

async fn dispatch(cx: &Context, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Tenant(group) => tenant::run(cx, &group.command).await,
        Command::Session(group) => session::run(cx, &group.command).await,
        Command::Token(group) => token::run(cx, &group.command).await,
        Command::Kubeconfig(arguments) => kubeconfig::run(cx, arguments).await,
        Command::Explain(group) => explain::run(cx, &group.command).await,
        Command::Operation(group) => operation::run(cx, &group.command).await,
        Command::Node(group) => node::run(cx, &group.command).await,
        Command::Plan(group) => plan::run(cx, &group.command).await,
        Command::Organisation(group) => organisation::run(cx, &group.command).await,
        Command::Audit(group) => audit::run(cx, &group.command).await,
        Command::Plans(single) => plans::run(cx, &single.arguments).await,
        Command::Doctor(single) => doctor::run(cx, &single.arguments).await,
        Command::Version(single) => version::run(cx, &single.arguments).await,
    }
}

/// Ends when the person at the keyboard has had enough.
async fn interrupt() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Without a handler the signal ends the process by itself.
        std::future::pending::<()>().await;
    }
}

fn interrupted(cx: &Context) -> Failure {
    let hint = cx.if_interrupted.lock().expect("no holder of this lock panics").take();
    let mut failure = Failure::new(Exit::Interrupted, "Interrupted");
    if let Some(hint) = hint {
        failure = failure.hint(hint);
    }
    failure
}
