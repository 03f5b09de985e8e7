//! `warren session …`

mod artifacts;
mod describe;
mod log;
mod rerun;
mod run;
mod watch;

use clap::{Args, Subcommand};
use serde_json::Value;
use std::time::Duration;

use super::{
    Context,
    answer::{Session, decode},
    format::{age, between, now, time},
    options::{TenantOption, duration, reference},
    output::Table,
    problem::{Exit, Failure},
    wait::{self, Goal},
};

/// What can be done with sessions.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start an agent
    Run(Box<run::Run>),
    /// List a tenant's sessions, newest first, or show one
    Get(Get),
    /// Show all about one session: why it is in its state, times, exit, usage
    Describe(One),
    /// Print the log, and with -f what is still to come
    Logs(log::Logs),
    /// End a session before its time
    Stop(Stop),
    /// Run a session again that is over, with what may help if it failed
    Rerun(rerun::Rerun),
    /// Wait until a session is over; exits 8 unless it succeeded
    Wait(Wait),
    /// Print the result.json that the agent left
    Result(One),
    /// List the files that the agent left, or download them
    Artifacts(artifacts::Artifacts),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  warren session get --tenant acme --state running
  warren session get ses_0198… --tenant acme -o yaml")]
pub(crate) struct Get {
    /// Its id; the newest ones if left out
    #[arg(value_parser = reference)]
    id: Option<String>,
    #[command(flatten)]
    tenant: TenantOption,
    /// Only those in this state, e.g. queued, running, failed
    #[arg(long, conflicts_with = "id")]
    state: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct One {
    /// Its id
    #[arg(value_parser = reference)]
    id: String,
    #[command(flatten)]
    tenant: TenantOption,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  warren session stop ses_0198… --tenant acme --wait")]
pub(crate) struct Stop {
    #[command(flatten)]
    one: One,
    /// Do not wait for proof that its process has ended: it is stopped at once, and its token is dead
    #[arg(long)]
    force: bool,
    /// Wait until its process has ended
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, requires = "wait", default_value = "6m", value_parser = duration)]
    timeout: Duration,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  warren session wait ses_0198… --tenant acme --timeout 30m
  warren session wait ses_0198… --tenant acme --for running")]
pub(crate) struct Wait {
    #[command(flatten)]
    one: One,
    /// What to wait for
    #[arg(long = "for", value_enum, default_value = "finished")]
    goal: Goal,
    /// How long to wait
    #[arg(long, default_value = "1h", value_parser = duration)]
    timeout: Duration,
}

pub(super) async fn run(cx: &Context, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Run(run) => run.run(cx).await,
        Command::Get(get) => get.run(cx).await,
        Command::Describe(one) => describe::run(cx, one).await,
        Command::Logs(logs) => logs.run(cx).await,
        Command::Stop(stop) => stop.run(cx).await,
        Command::Rerun(rerun) => rerun.run(cx).await,
        Command::Wait(wait) => wait.run(cx).await,
        Command::Result(one) => one.result(cx).await,
        Command::Artifacts(artifacts) => artifacts.run(cx).await,
    }
}

impl One {
    /// The session's place in the API, and `rest` below it.
    fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        let mut path = vec!["api", "v1", "tenants", &self.tenant.tenant, "sessions", &self.id];
        path.extend(rest);
        path
    }

    async fn get(&self, cx: &Context) -> Result<(Value, Session), Failure> {
        let value = cx.client.get(&self.path(&[])).await?;
        let session = decode(&value)?;
        Ok((value, session))
    }

    async fn result(&self, cx: &Context) -> Result<(), Failure> {
        let bytes = cx.client.bytes(&self.path(&["result"]), "application/json").await?;
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|error| Failure::unexpected(format!("the result is not JSON: {error}")))?;
        let is_closed = bytes.ends_with(b"\n");
        cx.printer.item("result", &self.id, &value, || {
            // As the agent wrote it.
            String::from_utf8_lossy(&bytes).into_owned() + if is_closed { "" } else { "\n" }
        })
    }
}

impl Get {
    async fn run(&self, cx: &Context) -> Result<(), Failure> {
        let path = ["api", "v1", "tenants", &self.tenant.tenant, "sessions"];
        if let Some(id) = &self.id {
            let value = cx.client.get(&[&path[..], &[id]].concat()).await?;
            return print(cx, &value);
        }
        let query: Vec<_> = self.state.clone().map(|state| ("state", state)).into_iter().collect();
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let list = cx.client.list(&path, &query, limit).await?;
        let sessions: Vec<Session> = list.items.iter().map(decode).collect::<Result<_, _>>()?;
        let names: Vec<_> = sessions.iter().map(|session| session.id.clone()).collect();
        cx.printer.list("session", &names, &list.items, || table(&sessions))?;
        if list.is_cut {
            cx.messages.note(&format!("There are more than these {limit}; see --limit"));
        } else if sessions.is_empty() {
            cx.messages.note("No sessions. Start one: warren session run --help");
        }
        Ok(())
    }
}

impl Stop {
    async fn run(&self, cx: &Context) -> Result<(), Failure> {
        let One { id, tenant } = &self.one;
        let path = self.one.path(&["stop"]);
        let query: Vec<_> = self.force.then(|| ("force", "true".to_owned())).into_iter().collect();
        let stopped = cx.client.ask(&path, &query).await?;
        if !self.wait {
            return print(cx, &stopped);
        }
        cx.when_interrupted("the session is being stopped all the same");
        let (value, _) =
            wait::session(cx, &tenant.tenant, id, self.timeout, Goal::Finished).await?;
        print(cx, &value)
    }
}

impl Wait {
    async fn run(&self, cx: &Context) -> Result<(), Failure> {
        let One { id, tenant } = &self.one;
        let (value, session) =
            wait::session(cx, &tenant.tenant, id, self.timeout, self.goal).await?;
        print(cx, &value)?;
        if self.goal == Goal::Running && session.running_at.is_some() {
            Ok(())
        } else {
            verdict(&session, &tenant.tenant)
        }
    }
}

/// Whether a session that is over did what it should.
fn verdict(session: &Session, tenant: &str) -> Result<(), Failure> {
    if session.state == "succeeded" {
        return Ok(());
    }
    let id = &session.id;
    let title = format!("Session {id} ended as {}", session.state);
    let log = format!("warren session logs {id} --tenant {tenant} --tail 50");
    let mut failure = Failure::new(Exit::OperationFailed, title)
        .code(format!("session-{}", session.state))
        .with("session", id.clone())
        .hint(log.clone());
    if let Some(cause) = &session.cause {
        let class = cause.class.as_ref().map(|class| format!("{class}: ")).unwrap_or_default();
        failure = failure
            .detail(format!("{class}{} ({})", cause.message, cause.reason))
            .with("reason", cause.reason.clone());
        if let Some(next) = &cause.next_step {
            let again = rerun::command(session, tenant);
            let again = again.map(|command| format!("run it again: {command}\n"));
            let again = again.unwrap_or_default();
            failure = failure.hint(format!("{}\n{again}its log: {log}", next.advice));
        }
    }
    Err(failure)
}

/// One session.
fn print(cx: &Context, value: &Value) -> Result<(), Failure> {
    let session: Session = decode(value)?;
    cx.printer.item("session", &session.id, value, || table(std::slice::from_ref(&session)))
}

fn table(sessions: &[Session]) -> String {
    if sessions.is_empty() {
        return String::new();
    }
    let mut table =
        Table::new(&["ID", "STATE", "REASON", "PROJECT", "IMAGE", "LINES", "TIME", "AGE"]);
    for session in sessions {
        let reason = session.cause.as_ref().map(|cause| cause.reason.clone()).unwrap_or_default();
        table.row([
            session.id.clone(),
            session.state.clone(),
            reason,
            session.project.clone(),
            session.spec.image.clone(),
            session.log_lines.to_string(),
            running_time(session),
            age(session.created_at),
        ]);
    }
    table.text(0)
}

/// How long the agent ran, or has been running.
fn running_time(session: &Session) -> String {
    let end = session.finished_at.unwrap_or_else(now);
    session.running_at.map(|start| time(between(start, end))).unwrap_or_default()
}
