//! `warren doctor [proxmox]`

use clap::{Args, ValueEnum};
use serde::Deserialize;
use std::fmt::Write as _;

use super::{
    Context,
    answer::{decode, items},
    format::visible,
    output::{MAX_CELL, Table},
    problem::{Exit, Failure},
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  warren doctor || echo 'something needs care'\n  \
    # What is below the table is YAML: rights that are missing, and the rest as comments.\n  \
    warren doctor | sed '1,/^$/d' | kubectl apply -f -\n  \
    # Here it is a shell script for a node of Proxmox VE.\n  \
    warren doctor proxmox | sed '1,/^$/d' | ssh root@pve1 sh")]
pub(crate) struct Arguments {
    /// What to check instead of the server and its host cluster
    part: Option<Part>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Part {
    /// The cluster of Proxmox VE on which nodes for tenants are made
    Proxmox,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Check {
    name: String,
    is_ok: bool,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    way_out: String,
}

pub(super) async fn run(cx: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let path: &[&str] = match arguments.part {
        None => &["api", "v1", "doctor"],
        Some(Part::Proxmox) => &["api", "v1", "doctor", "proxmox"],
    };
    let answer = cx.client.get(path).await?;
    let items = items(answer, &["items", "checks"])?;
    let checks: Vec<Check> = items.iter().map(decode).collect::<Result<_, _>>()?;
    let names: Vec<_> = checks.iter().map(|check| check.name.clone()).collect();
    cx.printer.list("check", &names, &items, || table(&checks) + &ways_out(&checks))?;
    let failed: Vec<_> = checks.iter().filter(|check| !check.is_ok).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = failed.iter().map(|check| check.name.as_str()).collect();
    let title = format!("{} of {} checks failed", failed.len(), checks.len());
    let mut failure = Failure::new(Exit::Failure, title).detail(names.join(", "));
    if let Some(first) = failed.iter().find(|check| !check.way_out.is_empty()) {
        let is_short = first.way_out.lines().count() == 1;
        failure = failure.hint(if is_short {
            first.way_out.clone()
        } else {
            format!("the way out of {} is below the table", first.name)
        });
    }
    Err(failure)
}

fn table(checks: &[Check]) -> String {
    let mut table = Table::new(&["CHECK", "OK", "WAY OUT", "FOUND"]);
    for Check { name, is_ok, detail, way_out } in checks {
        let verdict = if *is_ok { "yes" } else { "NO" };
        let is_short = way_out.lines().count() <= 1 && way_out.chars().count() <= MAX_CELL;
        let way_out = if is_short { way_out } else { "see below" };
        table.row([name.clone(), verdict.to_owned(), way_out.to_owned(), detail.clone()]);
    }
    table.text(0)
}

/// What to do about every check that failed or warns, in full: what is one line as a comment, what is more as it
/// is, so that a manifest can be copied or piped.
fn ways_out(checks: &[Check]) -> String {
    let mut text = String::new();
    for Check { name, way_out, .. } in checks {
        let lines: Vec<_> = way_out.lines().map(visible).collect();
        let name = visible(name);
        let written = match lines.as_slice() {
            [] => Ok(()),
            [line] => writeln!(text, "\n# {name}: {line}"),
            lines => writeln!(text, "\n# {name}:\n{}", lines.join("\n")),
        };
        written.expect("a string takes everything");
    }
    text
}
