//! `warren explain …`: what a reconcile would change, without changing it.

use clap::{Args, Subcommand};
use serde::Deserialize;
use std::fmt::Write as _;

use super::{
    Context, answer::decode, format::visible, options::reference, output::Table, problem::Failure,
};

/// What can be explained.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The changes that the next reconcile of a tenant would make on the host
    Tenant(Tenant),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  warren explain tenant acme")]
pub(crate) struct Tenant {
    /// Name or id
    #[arg(value_parser = reference)]
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    #[serde(default)]
    changes: Vec<Change>,
    #[serde(default)]
    waiting_for: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Change {
    action: String,
    kind: String,
    namespace: Option<String>,
    name: String,
    #[serde(default)]
    reason: String,
}

pub(super) async fn run(cx: &Context, command: &Command) -> Result<(), Failure> {
    let Command::Tenant(Tenant { name }) = command;
    let value = cx.client.get(&["api", "v1", "tenants", name, "explanation"]).await?;
    let explanation: Explanation = decode(&value)?;
    cx.printer.item("tenant", name, &value, || text(&explanation))
}

fn text(Explanation { changes, waiting_for }: &Explanation) -> String {
    let mut text = if changes.is_empty() {
        "Nothing to change: the host is as it should be.\n".to_owned()
    } else {
        let mut table = Table::new(&["ACTION", "KIND", "NAMESPACE", "NAME", "REASON"]);
        for Change { action, kind, namespace, name, reason } in changes {
            let namespace = namespace.clone().unwrap_or_default();
            table.row([action.clone(), kind.clone(), namespace, name.clone(), reason.clone()]);
        }
        table.text(0)
    };
    for what in waiting_for {
        writeln!(text, "Waits for: {}", visible(what)).expect("writing to a string cannot fail");
    }
    text
}
