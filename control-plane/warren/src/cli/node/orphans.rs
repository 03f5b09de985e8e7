//! `warren node orphans …`

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use std::io::{self, IsTerminal as _};

use super::super::{
    Context,
    answer::{decode, items},
    client::Repeat,
    format::{age, bytes},
    options::reference,
    output::{self, Table},
    problem::{Exit, Failure},
    tenant::read_line,
};

const PATH: [&str; 3] = ["api", "v1", "orphans"];

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  warren node orphans
  warren node orphans remove orph_0198… --yes"
)]
pub(crate) struct Orphans {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Remove something that is proven to be Warren's
    Remove(Remove),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  warren node orphans remove orph_0198… --yes")]
struct Remove {
    /// Its id; see `warren node orphans`
    #[arg(value_parser = reference)]
    id: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Orphan {
    id: String,
    kind: String,
    name: String,
    vm: Option<u32>,
    place: Option<String>,
    storage: Option<String>,
    namespace: Option<String>,
    size_bytes: Option<u64>,
    proof: String,
    reason: String,
    state: String,
    cause: Option<String>,
    first_seen_at: Option<Timestamp>,
    last_seen_at: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
struct Look {
    area: String,
    at: Option<Timestamp>,
    obstacle: Option<String>,
}

impl Orphans {
    pub(super) async fn run(&self, cx: &Context) -> Result<(), Failure> {
        match &self.command {
            None => list(cx).await,
            Some(Command::Remove(remove)) => remove.run(cx).await,
        }
    }
}

async fn list(cx: &Context) -> Result<(), Failure> {
    let found = cx.client.list(&PATH, &[], usize::MAX).await?.items;
    let orphans: Vec<Orphan> = found.iter().map(decode).collect::<Result<_, _>>()?;
    let names: Vec<_> = orphans.iter().map(|orphan| orphan.id.clone()).collect();
    cx.printer.list("orphan", &names, &found, || table(orphans))?;
    let looks = cx.client.get(&["api", "v1", "orphans", "looks"]).await?;
    let looks: Vec<Look> =
        items(looks, &["items"])?.iter().map(decode).collect::<Result<_, _>>()?;
    if looks.is_empty() {
        cx.messages.note("Nobody has looked yet: the first look comes a minute after the start.");
    }
    for Look { area, at, obstacle } in looks {
        if let Some(obstacle) = obstacle {
            cx.messages.note(&format!("Not all seen ({area}, {} ago): {obstacle}", age(at)));
        }
    }
    Ok(())
}

impl Orphan {
    /// Where it is, as far as that is known.
    fn place(&self) -> String {
        let parts = [&self.place, &self.storage, &self.namespace];
        parts.into_iter().flatten().cloned().collect::<Vec<_>>().join("/")
    }

    fn text(&self) -> String {
        output::fields(&[
            ("Id", self.id.clone()),
            ("Kind", self.kind.clone()),
            ("Name", self.name.clone()),
            ("Where", self.place()),
            ("Proof", format!("{} ({})", self.proof, self.reason)),
            ("State", self.state.clone()),
        ])
    }
}

fn table(orphans: Vec<Orphan>) -> String {
    let mut table = Table::new(&[
        "ID", "KIND", "NAME", "VM", "WHERE", "SIZE", "FIRST", "LAST", "PROOF", "STATE", "WHY",
    ]);
    for orphan in orphans {
        let place = orphan.place();
        table.row([
            orphan.id,
            orphan.kind,
            orphan.name,
            orphan.vm.map(|vm| vm.to_string()).unwrap_or_default(),
            place,
            orphan.size_bytes.map(bytes).unwrap_or_default(),
            age(orphan.first_seen_at),
            age(orphan.last_seen_at),
            orphan.proof,
            orphan.state,
            orphan.cause.unwrap_or(orphan.reason),
        ]);
    }
    table.text(0)
}

impl Remove {
    async fn run(&self, cx: &Context) -> Result<(), Failure> {
        if !self.yes {
            self.confirm(cx).await?;
        }
        let path = ["api", "v1", "orphans", &self.id, "remove"];
        // Asking twice is asking once.
        let asked = cx.client.post(&path, &json!({}), Repeat::Harmless).await?;
        let orphan: Orphan = decode(&asked)?;
        cx.printer.item("orphan", &orphan.id, &asked, || orphan.text())?;
        cx.messages.note("Follow it: warren node orphans");
        Ok(())
    }

    /// Lets a person at a terminal say yes; everybody else needs `--yes`.
    async fn confirm(&self, cx: &Context) -> Result<(), Failure> {
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Err(Failure::usage("Removing needs --yes when nobody can be asked")
                .detail("stdin or stderr is not a terminal")
                .hint(format!("warren node orphans remove {} --yes", self.id)));
        }
        let found = cx.client.list(&PATH, &[], usize::MAX).await?.items;
        let orphans: Vec<Orphan> = found.iter().map(decode).collect::<Result<_, _>>()?;
        let what = orphans.iter().find(|orphan| orphan.id == self.id).map(Orphan::text);
        let question =
            format!("{}This removes it for good. Type yes to go on: ", what.unwrap_or_default());
        if read_line(question).await?.trim() == "yes" {
            Ok(())
        } else {
            Err(Failure::new(Exit::Failure, "Nothing was removed").detail("the answer was not yes"))
        }
    }
}
