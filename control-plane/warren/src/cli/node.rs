//! `warren node …`

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Deserialize;

use super::{
    Context,
    answer::{decode, items},
    format::age,
    options::reference,
    output::Table,
    problem::Failure,
};

/// What can be done with tenants' own nodes.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List a tenant's own nodes
    Get(Get),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  warren node get --tenant acme")]
pub(crate) struct Get {
    /// The tenant: its name or id
    #[arg(long, short = 't', value_parser = reference)]
    tenant: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    id: String,
    name: String,
    shape: String,
    state: String,
    machine: Option<Machine>,
    created_at: Option<Timestamp>,
    operation: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Machine {
    vm: Option<u32>,
    place: Option<String>,
    address: Option<String>,
}

pub(super) async fn run(cx: &Context, command: &Command) -> Result<(), Failure> {
    let Command::Get(Get { tenant }) = command;
    let answer = cx.client.get(&["api", "v1", "tenants", tenant, "nodes"]).await?;
    let items = items(answer, &["items"])?;
    let nodes: Vec<Node> = items.iter().map(decode).collect::<Result<_, _>>()?;
    let names: Vec<_> = nodes.iter().map(|node| node.id.clone()).collect();
    cx.printer.list("node", &names, &items, || table(nodes))
}

fn table(nodes: Vec<Node>) -> String {
    let mut table =
        Table::new(&["NAME", "SHAPE", "STATE", "MACHINE", "PLACE", "ADDRESS", "AGE", "OPERATION"]);
    for node in nodes {
        let machine = node.machine.unwrap_or_default();
        table.row([
            node.name,
            node.shape,
            node.state,
            machine.vm.map(|vm| vm.to_string()).unwrap_or_default(),
            machine.place.unwrap_or_default(),
            machine.address.unwrap_or_default(),
            age(node.created_at),
            node.operation.unwrap_or_default(),
        ]);
    }
    table.text(0)
}
