//! `warren audit …`: who did what, and whether the log is still as it was written.

use clap::{Args, Subcommand};
use futures::TryStreamExt as _;
use jiff::Timestamp;
use serde::Deserialize;
use std::{
    io::Write as _,
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

use super::{
    Context, answer::decode, format::age, options::reference, output::Table, problem::Failure,
};

mod verify;

/// What can be done with the audit log.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List who did what, newest first
    List(List),
    /// Write the log with its seals, oldest first
    Export(Export),
    /// Check a file that `export` wrote; needs no server. Exits 1 and names what was altered
    Verify(verify::Verify),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  warren audit list -t acme
  warren audit list --action token --limit 200
  warren audit list --subject acc_0198… -o json")]
pub(crate) struct List {
    #[command(flatten)]
    of: Of,
    /// Only this action, or those that begin with it and a dot, e.g. tenant
    #[arg(long)]
    action: Option<String>,
    /// Only what this token or account did: tok_… or acc_…
    #[arg(long, value_parser = reference)]
    subject: Option<String>,
    /// The most entries
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  warren audit export --file audit.jsonl && warren audit verify audit.jsonl
  warren audit export -t acme | jq .entry")]
pub(crate) struct Export {
    #[command(flatten)]
    of: Of,
    /// Where to, in one piece; stdout if absent
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Whose log.
#[derive(Debug, Args)]
struct Of {
    /// What was done to a tenant, by name or id; all of the log if absent
    #[arg(short, long, value_parser = reference)]
    tenant: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    id: String,
    at: Option<Timestamp>,
    subject: Option<String>,
    who: Option<String>,
    role: Option<String>,
    action: String,
    #[serde(default)]
    target: String,
    #[serde(default)]
    request_id: String,
    sequence: Option<i64>,
}

impl Command {
    /// Whether no server is asked.
    pub(super) const fn is_offline(&self) -> bool {
        matches!(self, Self::Verify(_))
    }
}

pub(super) async fn run(cx: &Context, command: &Command) -> Result<(), Failure> {
    match command {
        Command::List(list) => list.run(cx).await,
        Command::Export(export) => export.run(cx).await,
        Command::Verify(verify) => verify.run(cx),
    }
}

impl Of {
    fn path<'a>(&'a self, below: &[&'a str]) -> Vec<&'a str> {
        let of: &[&str] = match &self.tenant {
            Some(tenant) => &["tenants", tenant, "audit"],
            None => &["audit"],
        };
        [&["api", "v1"], of, below].concat()
    }
}

impl List {
    async fn run(&self, cx: &Context) -> Result<(), Failure> {
        let action = self.action.iter().map(|action| ("action", action.clone()));
        let subject = self.subject.iter().map(|subject| ("subject", subject.clone()));
        let query: Vec<_> = action.chain(subject).collect();
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let list = cx.client.list(&self.of.path(&[]), &query, limit).await?;
        let entries: Vec<Entry> = list.items.iter().map(decode).collect::<Result<_, _>>()?;
        let names: Vec<_> = entries.iter().map(|entry| entry.id.clone()).collect();
        cx.printer.list("audit", &names, &list.items, || table(&entries))?;
        if list.is_cut {
            cx.messages.note("There are older ones: take a greater --limit.");
        }
        Ok(())
    }
}

fn table(entries: &[Entry]) -> String {
    let mut table = Table::new(&["NO", "AGE", "WHO", "ROLE", "ACTION", "TARGET", "REQUEST"]);
    for entry in entries {
        let gone = || entry.subject.clone().unwrap_or_else(|| "warren".to_owned());
        table.row([
            entry.sequence.map(|sequence| sequence.to_string()).unwrap_or_default(),
            age(entry.at),
            entry.who.clone().unwrap_or_else(gone),
            entry.role.clone().unwrap_or_default(),
            entry.action.clone(),
            entry.target.clone(),
            entry.request_id.clone(),
        ]);
    }
    table.text(0)
}

impl Export {
    async fn run(&self, cx: &Context) -> Result<(), Failure> {
        let answer =
            cx.client.open(&self.of.path(&["export"]), &[], "application/x-ndjson").await?;
        let mut bytes = answer.bytes_stream();
        let Some(path) = &self.file else {
            let mut stdout = std::io::stdout();
            while let Some(piece) = bytes.try_next().await.map_err(|error| broken(&error))? {
                stdout.write_all(&piece).map_err(|error| Failure::stdout(&error))?;
            }
            return Ok(());
        };
        let unwritable = |error: &(dyn std::error::Error + 'static)| {
            Failure::local(format!("{} cannot be written", path.display()), error)
        };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let part = NamedTempFile::new_in(parent.unwrap_or(Path::new(".")));
        let mut part = part.map_err(|error| unwritable(&error))?;
        while let Some(piece) = bytes.try_next().await.map_err(|error| broken(&error))? {
            part.write_all(&piece).map_err(|error| unwritable(&error))?;
        }
        part.persist(path).map_err(|error| unwritable(&error.error))?;
        cx.messages.note(&format!("Check it: warren audit verify {}", path.display()));
        Ok(())
    }
}

/// The answer ended before its end: what came is not all of it.
fn broken(error: &reqwest::Error) -> Failure {
    Failure::local("The log broke off on its way", error).hint("run the command again")
}
