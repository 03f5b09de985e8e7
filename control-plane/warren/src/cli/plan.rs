//! `warren plan …`

mod batch;
mod preview;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

use super::{
    Context,
    answer::{Operation, OperationProblem, decode},
    client::Repeat,
    format::{age, time},
    operation,
    options::{duration, moment, reference},
    output::{self, Table},
    problem::Failure,
};
use preview::Preview;

/// What can be done with tenants' plans.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Move a tenant to another plan while it runs
    Change(Change),
    /// List the changes of a tenant's plan, those that wait among them
    Changes(Tenant),
    /// Take a change back: the tenant ends in exactly the plan that it had
    Cancel(One),
    /// Move many tenants
    #[command(subcommand)]
    Batch(batch::Command),
    /// Halt a change before its next wave of pods
    Pause(One),
    /// Let a change go on that was halted
    Resume(One),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  warren plan change acme --to dedicated-s --nodes 2 --dry-run
  warren plan change acme --to dedicated-s --nodes 2 --wait
  warren plan change acme --to pro --sessions stop --wait
  warren plan change acme --to dedicated-s --volumes copy --wait
  warren plan change acme --to pro --at 2026-12-01T02:00:00Z")]
pub(crate) struct Change {
    /// The tenant: its name or id
    #[arg(value_parser = reference)]
    tenant: String,
    /// The plan: see warren plans
    #[arg(long, value_name = "PLAN")]
    to: String,
    /// How many nodes of its own, on a plan with such nodes
    #[arg(long)]
    nodes: Option<u32>,
    /// What becomes of sessions that run where the tenant moves away from
    #[arg(long, value_enum, default_value = "own")]
    sessions: Sessions,
    /// What becomes of volumes on the disks of nodes that are left
    #[arg(long, value_enum, default_value = "stop")]
    volumes: Volumes,
    /// The preview that you rely on, by its id: begun only if another look promises the same
    #[arg(long, value_name = "ID")]
    preview: Option<String>,
    /// When it begins; until then it can be taken back with warren plan cancel
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "wait")]
    at: Option<Timestamp>,
    /// Only say what it would do
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Wait until it is over; exits 8 if it fails
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, requires = "wait", default_value = "30m", value_parser = duration)]
    timeout: Duration,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Sessions {
    /// What each says itself: see --on-drain of warren session run
    Own,
    /// They come to their ends
    Wait,
    /// They are stopped, with their grace period
    Stop,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Volumes {
    /// Nothing is begun while there are any
    Stop,
    /// They are copied to the new place; what uses them is down meanwhile
    Copy,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  warren plan changes acme")]
pub(crate) struct Tenant {
    /// Its name or id
    #[arg(value_parser = reference)]
    tenant: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  warren plan cancel acme op_0198…")]
pub(crate) struct One {
    /// The tenant: its name or id
    #[arg(value_parser = reference)]
    tenant: String,
    /// The change: the id of its operation
    #[arg(value_parser = reference)]
    change: String,
}

#[derive(Debug, Deserialize)]
struct Subscription {
    plan: String,
    nodes: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlanChange {
    id: String,
    from: Subscription,
    to: Subscription,
    created_at: Option<Timestamp>,
    paused_at: Option<Timestamp>,
    committed_at: Option<Timestamp>,
    api_away_ms: Option<u64>,
    planned: Option<Planned>,
}

/// What a change waits for that has not begun, or why it did not.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Planned {
    state: String,
    start_at: Option<Timestamp>,
    batch: Option<String>,
    problem: Option<OperationProblem>,
}

pub(super) async fn run(cx: &Context, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Change(change) => change.run(cx).await,
        Command::Changes(tenant) => tenant.list(cx).await,
        Command::Cancel(one) => one.ask(cx, "cancel").await,
        Command::Pause(one) => one.ask(cx, "pause").await,
        Command::Resume(one) => one.ask(cx, "resume").await,
        Command::Batch(command) => batch::run(cx, command).await,
    }
}

impl Change {
    async fn run(&self, cx: &Context) -> Result<(), Failure> {
        let mut body = json!({ "plan": self.to, "sessions": self.sessions.word() });
        if let Some(nodes) = self.nodes {
            body["nodes"] = nodes.into();
        }
        if self.volumes == Volumes::Copy {
            body["volumes"] = "copy".into();
        }
        if let Some(preview) = &self.preview {
            body["preview"] = preview.as_str().into();
        }
        if let Some(at) = self.at {
            body["startAt"] = at.to_string().into();
        }
        let path = ["api", "v1", "tenants", &self.tenant, "plan-changes"];
        if self.dry_run {
            let query = [("dryRun", "true".to_owned())];
            let value = cx.client.ask_about(&path, &query, &body).await?;
            let preview: Preview = decode(&value)?;
            return cx.printer.item("plan-change", &self.tenant, &value, || preview.text());
        }
        let begun = cx.client.post(&path, &body, Repeat::OnlyUnsent).await?;
        if begun["operation"].is_null() {
            let change = planned(cx, &begun)?;
            let back = format!("warren plan cancel {} {}", self.tenant, change.id);
            cx.messages.note(&format!("It waits. Take it back: {back}"));
            return Ok(());
        }
        operation::begun(cx, &begun["operation"], self.wait.then_some(self.timeout)).await
    }
}

impl Tenant {
    async fn list(&self, cx: &Context) -> Result<(), Failure> {
        let path = ["api", "v1", "tenants", &self.tenant, "plan-changes"];
        let list = cx.client.list(&path, &[], usize::MAX).await?;
        let changes: Vec<PlanChange> = list.items.iter().map(decode).collect::<Result<_, _>>()?;
        let names: Vec<_> = changes.iter().map(|change| change.id.clone()).collect();
        cx.printer.list("plan-change", &names, &list.items, || table(&changes))
    }
}

impl One {
    async fn ask(&self, cx: &Context, verb: &str) -> Result<(), Failure> {
        let Self { tenant, change } = self;
        let path = ["api", "v1", "tenants", tenant, "plan-changes", change, verb];
        let value: Value = cx.client.ask(&path, &[]).await?;
        if value["operation"].is_null() {
            return planned(cx, &value).map(drop);
        }
        let operation: Operation = decode(&value["operation"])?;
        operation::print(cx, &value["operation"])?;
        if operation.finished_at.is_none() {
            cx.messages.note(&format!("Follow it: warren operation get {change} --wait"));
        }
        Ok(())
    }
}

impl Subscription {
    fn text(&self) -> String {
        match self.nodes {
            0 => self.plan.clone(),
            1 => format!("{} with 1 node", self.plan),
            nodes => format!("{} with {nodes} nodes", self.plan),
        }
    }
}

impl Sessions {
    const fn word(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Wait => "wait",
            Self::Stop => "stop",
        }
    }
}

impl Planned {
    fn text(&self) -> String {
        let begins = self.start_at.filter(|_| self.state == "waiting");
        let begins = begins.map(|at| format!(", begins {at:.0}"));
        let batch = self.batch.as_ref().map(|batch| format!(", in {batch}"));
        let why = self.problem.as_ref().map(|problem| format!(": {}", problem.detail));
        let parts = [begins, batch, why].into_iter().flatten();
        parts.fold(self.state.clone(), |text, part| text + &part)
    }
}

/// Prints a change that has not begun.
fn planned(cx: &Context, value: &Value) -> Result<PlanChange, Failure> {
    let change: PlanChange = decode(value)?;
    cx.printer.item("plan-change", &change.id, value, || {
        let state = change.planned.as_ref().map(Planned::text).unwrap_or_default();
        output::fields(&[
            ("Id", change.id.clone()),
            ("From", change.from.text()),
            ("To", change.to.text()),
            ("State", state),
        ])
    })?;
    Ok(change)
}

fn table(changes: &[PlanChange]) -> String {
    let mut table = Table::new(&["ID", "FROM", "TO", "STATE", "API AWAY", "AGE"]);
    for change in changes {
        let state = match (&change.planned, change.committed_at, change.paused_at) {
            (Some(planned), _, _) => planned.text(),
            (None, Some(_), _) => "committed".to_owned(),
            (None, None, Some(_)) => "paused".to_owned(),
            (None, None, None) => "not committed".to_owned(),
        };
        let away = change.api_away_ms.map(|ms| time(Duration::from_millis(ms)));
        table.row([
            change.id.clone(),
            change.from.text(),
            change.to.text(),
            state,
            away.unwrap_or_default(),
            age(change.created_at),
        ]);
    }
    table.text(0)
}
