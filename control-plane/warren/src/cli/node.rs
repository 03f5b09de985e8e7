//! `warren node …`

mod orphans;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

use super::{
    Context,
    answer::{decode, items},
    client::Repeat,
    format::{age, instant},
    operation,
    options::{duration, reference},
    output::{self, Table},
    problem::Failure,
};

/// What can be done with tenants' own nodes.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List a tenant's own nodes
    Get(Get),
    /// Replace a node: another one is made, what runs there moves, then its machine is destroyed
    #[command(after_help = "\
Example:
  warren node replace node_0198… --tenant acme --wait

Volumes on its disk are in the way, unless they are copied with what uses them down meanwhile (--volumes copy), or may be
lost (--volumes lose). While it copies, asking again with lose gives up what is not copied yet.

All nodes have the shape of their plan; for another one: warren plan change")]
    Replace(Replace),
    /// Stop a node: what runs there goes, then its machine is shut down and stays yours
    #[command(after_help = "Example:\n  warren node stop node_0198… --tenant acme --wait")]
    Stop(Change),
    /// Start a node that was stopped
    #[command(after_help = "Example:\n  warren node start node_0198… --tenant acme --wait")]
    Start(Change),
    /// Reboot a node: what runs there goes, then its machine is shut down and switched on again
    #[command(after_help = "Example:\n  warren node reboot node_0198… --tenant acme --wait")]
    Reboot(Change),
    /// Show who was last seen on a tenant's own nodes, and when
    Statement(Get),
    /// List what is left over of nodes and nobody needs, or have it removed; for operators
    Orphans(orphans::Orphans),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  warren node get --tenant acme")]
pub(crate) struct Get {
    /// The tenant: its name or id
    #[arg(long, short = 't', value_parser = reference)]
    tenant: String,
}

// Something that is begun about a node. (A doc comment here would be the help of all of them.)
#[derive(Debug, Args)]
pub(crate) struct Change {
    /// The node: its id
    #[arg(value_parser = reference)]
    node: String,
    /// The tenant: its name or id
    #[arg(long, short = 't', value_parser = reference)]
    tenant: String,
    /// Wait until it is done; exits 8 if it fails
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, requires = "wait", default_value = "15m", value_parser = duration)]
    timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Replace {
    #[command(flatten)]
    change: Change,
    /// What becomes of volumes on its disk
    #[arg(long, value_enum, default_value = "stop")]
    volumes: Volumes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Volumes {
    /// They are in the way: nothing is replaced while there are any
    Stop,
    /// They are copied to where their pods go; what uses them is down meanwhile
    Copy,
    /// They are lost
    Lose,
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
    let Get { tenant } = match command {
        Command::Get(get) => get,
        Command::Statement(get) => return statement(cx, get).await,
        Command::Replace(Replace { change, volumes }) => {
            let volumes = match volumes {
                Volumes::Stop => "stop",
                Volumes::Copy => "copy",
                Volumes::Lose => "lose",
            };
            return change.run(cx, "replace", json!({ "volumes": volumes })).await;
        }
        Command::Stop(change) => return change.run(cx, "stop", json!({})).await,
        Command::Start(change) => return change.run(cx, "start", json!({})).await,
        Command::Reboot(change) => return change.run(cx, "reboot", json!({})).await,
        Command::Orphans(orphans) => return orphans.run(cx).await,
    };
    let answer = cx.client.get(&["api", "v1", "tenants", tenant, "nodes"]).await?;
    let items = items(answer, &["items"])?;
    let nodes: Vec<Node> = items.iter().map(decode).collect::<Result<_, _>>()?;
    let names: Vec<_> = nodes.iter().map(|node| node.id.clone()).collect();
    cx.printer.list("node", &names, &items, || table(nodes))
}

impl Change {
    async fn run(&self, cx: &Context, verb: &str, body: Value) -> Result<(), Failure> {
        let path = ["api", "v1", "tenants", &self.tenant, "nodes", &self.node, verb];
        let begun = cx.client.post(&path, &body, Repeat::OnlyUnsent).await?;
        operation::begun(cx, &begun, self.wait.then_some(self.timeout)).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Exclusivity {
    observed_at: Option<Timestamp>,
    is_exclusive: Option<bool>,
    nodes: Vec<String>,
    system_pods: Vec<String>,
    foreign_count: u64,
    foreign_pods: Option<Vec<String>>,
    pods_elsewhere: Vec<String>,
}

async fn statement(cx: &Context, Get { tenant }: &Get) -> Result<(), Failure> {
    let value = cx.client.get(&["api", "v1", "tenants", tenant, "exclusivity"]).await?;
    let found: Exclusivity = decode(&value)?;
    cx.printer.item("exclusivity", tenant, &value, || text(&found))
}

fn text(found: &Exclusivity) -> String {
    let verdict = match found.is_exclusive {
        None => "nobody has looked yet, or there are no nodes of its own",
        Some(true) => "yes: nobody else runs on its nodes, and it runs nowhere else",
        Some(false) => "no",
    };
    let list = |pods: &[String]| if pods.is_empty() { "none".to_owned() } else { pods.join(", ") };
    let foreign = match &found.foreign_pods {
        Some(pods) => list(pods),
        None => found.foreign_count.to_string(),
    };
    output::fields(&[
        ("Exclusive", verdict.to_owned()),
        ("Looked at", instant(found.observed_at)),
        ("Nodes", list(&found.nodes)),
        ("Pods of the nodes", list(&found.system_pods)),
        ("Pods of others", foreign),
        ("Own pods elsewhere", list(&found.pods_elsewhere)),
    ])
}

fn table(nodes: Vec<Node>) -> String {
    let mut table = Table::new(&[
        "NAME",
        "SHAPE",
        "STATE",
        "MACHINE",
        "PLACE",
        "ADDRESS",
        "AGE",
        "OPERATION",
        "ID",
    ]);
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
            node.id,
        ]);
    }
    table.text(0)
}
