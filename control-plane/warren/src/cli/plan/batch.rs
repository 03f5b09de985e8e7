//! `warren plan batch …`

use clap::{ArgAction, Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

use super::{
    super::{
        Context,
        answer::{Batch, BatchLine, decode},
        client::Repeat,
        format::{age, instant},
        options::{duration, moment, reference},
        output::{self, Table},
        problem::Failure,
        wait,
    },
    Sessions, Subscription,
    preview::{Blocker, Capacity, Preview, machines, price},
};

const PATH: [&str; 3] = ["api", "v1", "plan-change-batches"];

/// What can be done with batches.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Move many tenants to another plan, some at a time, at once or later
    Create(Create),
    /// Show a batch with each of its tenants
    Get(Get),
    /// List the batches
    List,
    /// Let nothing more begin; what is under way goes on
    Pause(One),
    /// Let a batch go on that was halted
    Resume(One),
    /// Give a batch up: who waits does not begin, what is under way goes on to its end
    Cancel(One),
    /// Try those again that failed or were skipped
    Retry(One),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  warren plan batch create acme globex --to pro --dry-run
  warren plan batch create --tenants-on starter --to pro --max-parallel 5 --name 'spring prices' --wait
  warren plan batch create acme --to pro --at 2026-12-01T02:00:00Z --stop-on-failure=false")]
pub(crate) struct Create {
    /// Tenants, by name or id; they begin in this order
    #[arg(value_parser = reference, value_name = "TENANT", required_unless_present = "tenants_on")]
    tenants: Vec<String>,
    /// All tenants that have this plan now, too
    #[arg(long, value_name = "PLAN")]
    tenants_on: Option<String>,
    /// The plan that they move to: see warren plans
    #[arg(long, value_name = "PLAN")]
    to: String,
    /// How many nodes of its own each gets, on a plan with such nodes
    #[arg(long)]
    nodes: Option<u32>,
    /// What becomes of sessions that run where a tenant moves away from
    #[arg(long, value_enum, default_value = "own")]
    sessions: Sessions,
    /// How many may be under way at the same time
    #[arg(long, value_name = "COUNT", default_value = "2")]
    max_parallel: u32,
    /// Whether the first failure keeps those from beginning that wait
    #[arg(long, value_name = "BOOL", default_value = "true", action = ArgAction::Set)]
    stop_on_failure: bool,
    /// When the first one begins
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Timestamp>,
    /// What it is for
    #[arg(long)]
    name: Option<String>,
    /// Only say what it would do
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Wait until it is over; exits 8 unless all succeeded
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, requires = "wait", default_value = "2h", value_parser = duration)]
    timeout: Duration,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  warren plan batch get batch_0198… --wait")]
pub(crate) struct Get {
    /// Its id
    #[arg(value_parser = reference)]
    id: String,
    /// Wait until it is over; exits 8 unless all succeeded
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, requires = "wait", default_value = "2h", value_parser = duration)]
    timeout: Duration,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  warren plan batch pause batch_0198…")]
pub(crate) struct One {
    /// Its id
    #[arg(value_parser = reference)]
    id: String,
}

#[derive(Debug, serde::Deserialize)]
struct Foreseen {
    sums: Sums,
    lines: Vec<ForeseenLine>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sums {
    tenants: u32,
    price_delta: i64,
    machines_made: u32,
    machines_freed: u32,
    #[serde(default)]
    capacity: Capacity,
    blocked: u32,
    blockers: Vec<BlockerCount>,
}

#[derive(Debug, serde::Deserialize)]
struct BlockerCount {
    code: String,
    count: u32,
}

#[derive(Debug, serde::Deserialize)]
struct ForeseenLine {
    name: String,
    preview: Option<Preview>,
    problem: Option<Blocker>,
}

pub(crate) async fn run(cx: &Context, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Create(create) => create.run(cx).await,
        Command::Get(get) => get.run(cx).await,
        Command::List => list(cx).await,
        Command::Pause(one) => one.ask(cx, "pause").await,
        Command::Resume(one) => one.ask(cx, "resume").await,
        Command::Cancel(one) => one.ask(cx, "cancel").await,
        Command::Retry(one) => one.ask(cx, "retry").await,
    }
}

impl Create {
    async fn run(&self, cx: &Context) -> Result<(), Failure> {
        let body = self.body();
        if self.dry_run {
            let query = [("dryRun", "true".to_owned())];
            let value = cx.client.ask_about(&PATH, &query, &body).await?;
            let seen: Foreseen = decode(&value)?;
            return cx.printer.item("plan-change-batch", "dry-run", &value, || foreseen(&seen));
        }
        let made = cx.client.post(&PATH, &body, Repeat::WithKey).await?;
        let Batch { id, .. } = decode(&made)?;
        if self.wait {
            return over(cx, &id, self.timeout).await;
        }
        print(cx, &made)?;
        cx.messages.note(&format!("Follow it: warren plan batch get {id} --wait"));
        Ok(())
    }

    fn body(&self) -> Value {
        let mut body = json!({
            "plan": self.to, "sessions": self.sessions.word(),
            "maxParallel": self.max_parallel, "stopOnFailure": self.stop_on_failure,
        });
        if !self.tenants.is_empty() {
            body["tenants"] = self.tenants.clone().into();
        }
        if let Some(plan) = &self.tenants_on {
            body["selector"] = json!({ "plan": plan });
        }
        if let Some(nodes) = self.nodes {
            body["nodes"] = nodes.into();
        }
        if let Some(at) = self.at {
            body["startAt"] = at.to_string().into();
        }
        if let Some(name) = &self.name {
            body["name"] = name.as_str().into();
        }
        body
    }
}

impl Get {
    async fn run(&self, cx: &Context) -> Result<(), Failure> {
        if self.wait {
            return over(cx, &self.id, self.timeout).await;
        }
        let [api, version, batches] = PATH;
        print(cx, &cx.client.get(&[api, version, batches, &self.id]).await?)
    }
}

impl One {
    async fn ask(&self, cx: &Context, verb: &str) -> Result<(), Failure> {
        let [api, version, batches] = PATH;
        let value = cx.client.ask(&[api, version, batches, &self.id, verb], &[]).await?;
        print(cx, &value)?;
        let batch: Batch = decode(&value)?;
        if batch.state == "cancelling" {
            for line in batch.lines.iter().filter(|line| line.state == "running") {
                let operation = line.operation.as_deref().unwrap_or_default();
                let back = format!("warren plan cancel {} {operation}", line.name);
                cx.messages
                    .note(&format!("{} goes on to its end; take it back: {back}", line.name));
            }
        }
        Ok(())
    }
}

/// Waits for the end of a batch.
async fn over(cx: &Context, id: &str, timeout: Duration) -> Result<(), Failure> {
    cx.when_interrupted(format!("it goes on: warren plan batch get {id} --wait"));
    print(cx, &wait::batch(cx, id, timeout).await?)
}

async fn list(cx: &Context) -> Result<(), Failure> {
    let list = cx.client.list(&PATH, &[], usize::MAX).await?;
    let batches: Vec<Batch> = list.items.iter().map(decode).collect::<Result<_, _>>()?;
    let names: Vec<_> = batches.iter().map(|batch| batch.id.clone()).collect();
    cx.printer.list("plan-change-batch", &names, &list.items, || table(&batches))
}

fn print(cx: &Context, value: &Value) -> Result<(), Failure> {
    let batch: Batch = decode(value)?;
    let to: Subscription = decode(&value["to"])?;
    cx.printer.item("plan-change-batch", &batch.id, value, || text(&batch, &to))
}

fn text(batch: &Batch, to: &Subscription) -> String {
    let stop = if batch.stop_on_failure { "stops" } else { "does not stop" };
    let mut fields = vec![
        ("Id", batch.id.clone()),
        ("Name", batch.name.clone().unwrap_or_default()),
        ("To", to.text()),
        ("State", format!("{} ({})", batch.state, batch.message)),
        ("At once", format!("{}; it {stop} at the first failure", batch.max_parallel)),
        ("Created", instant(batch.created_at)),
    ];
    if let Some(at) = batch.start_at {
        fields.push(("Begins", format!("{at:.0}")));
    }
    output::fields(&fields) + &lines(&batch.lines)
}

fn lines(lines: &[BatchLine]) -> String {
    let mut table = Table::new(&["TENANT", "STATE", "OPERATION", "WHY"]);
    for line in lines {
        let problem = line.problem.as_ref();
        table.row([
            line.name.clone(),
            line.state.clone(),
            line.operation.clone().unwrap_or_default(),
            problem
                .map(|problem| format!("{}: {} ({})", problem.code, problem.detail, problem.hint))
                .unwrap_or_default(),
        ]);
    }
    table.text(2)
}

fn table(batches: &[Batch]) -> String {
    let mut table = Table::new(&["ID", "NAME", "STATE", "AGE", "MESSAGE"]);
    for batch in batches {
        table.row([
            batch.id.clone(),
            batch.name.clone().unwrap_or_default(),
            batch.state.clone(),
            age(batch.created_at),
            batch.message.clone(),
        ]);
    }
    table.text(0)
}

fn foreseen(foreseen: &Foreseen) -> String {
    let sums = &foreseen.sums;
    let blockers = sums.blockers.iter().map(|one| format!("{} {}", one.count, one.code));
    let blockers = blockers.collect::<Vec<_>>().join(", ");
    let mut fields = vec![
        ("Tenants", sums.tenants.to_string()),
        ("Price a month", price(sums.price_delta)),
        ("Machines", machines(sums.machines_made, sums.machines_freed)),
    ];
    fields.extend(sums.capacity.fields());
    if sums.blocked > 0 {
        fields.push(("In the way", format!("{} tenants: {blockers}", sums.blocked)));
    }
    let mut table = Table::new(&["TENANT", "FROM", "PRICE", "MACHINES", "IN THE WAY"]);
    for line in &foreseen.lines {
        let seen = line.preview.as_ref();
        let blockers = seen.map(|seen| seen.blockers.as_slice()).unwrap_or_default();
        let way = blockers.iter().chain(&line.problem).map(|one| one.detail.as_str());
        let machines = seen.map(|seen| format!("+{} -{}", seen.machines_made, seen.machines_freed));
        table.row([
            line.name.clone(),
            seen.map(|seen| seen.from.text()).unwrap_or_default(),
            seen.map(|seen| price(seen.price_delta)).unwrap_or_default(),
            machines.unwrap_or_default(),
            way.collect::<Vec<_>>().join("; "),
        ]);
    }
    output::fields(&fields) + &table.text(2)
}
