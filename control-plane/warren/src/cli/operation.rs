//! `warren operation …`

use clap::{Args, Subcommand};
use serde_json::Value;
use std::time::Duration;

use super::{
    Context,
    answer::{Operation, decode},
    format::{instant, time},
    options::{duration, reference},
    output::{self, Table},
    problem::Failure,
    wait,
};

/// What can be done with operations.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show an operation with its steps
    Get(Get),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  warren operation get op_0198…
  warren operation get op_0198… --wait --timeout 2m")]
pub(crate) struct Get {
    /// Its id
    #[arg(value_parser = reference)]
    id: String,
    /// Wait until it is over; exits 8 if it fails
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, requires = "wait", default_value = "5m", value_parser = duration)]
    timeout: Duration,
}

pub(super) async fn run(cx: &Context, command: &Command) -> Result<(), Failure> {
    let Command::Get(Get { id, wait, timeout }) = command;
    let value = if *wait {
        cx.when_interrupted(format!("the operation goes on: warren operation get {id} --wait"));
        wait::operation(cx, id, *timeout).await?
    } else {
        cx.client.get(&["api", "v1", "operations", id]).await?
    };
    print(cx, &value)
}

/// An operation that was begun: shows it and how to follow it, or waits until it is over.
pub(super) async fn begun(
    cx: &Context,
    value: &Value,
    patience: Option<Duration>,
) -> Result<(), Failure> {
    let Operation { id, .. } = decode(value)?;
    let follow = format!("warren operation get {id} --wait");
    let Some(patience) = patience else {
        print(cx, value)?;
        cx.messages.note(&format!("Follow it: {follow}"));
        return Ok(());
    };
    cx.when_interrupted(format!("it goes on: {follow}"));
    print(cx, &wait::operation(cx, &id, patience).await?)
}

/// One operation.
pub(super) fn print(cx: &Context, value: &Value) -> Result<(), Failure> {
    let operation: Operation = decode(value)?;
    cx.printer.item("operation", &operation.id, value, || text(&operation))
}

fn text(operation: &Operation) -> String {
    let late = if operation.is_late { " (late)" } else { "" };
    let mut fields = vec![
        ("Id", operation.id.clone()),
        ("Kind", operation.kind.clone()),
        ("Tenant", operation.tenant.clone()),
        ("State", format!("{}{late}", operation.state)),
        ("Created", instant(operation.created_at)),
    ];
    if operation.finished_at.is_some() {
        fields.push(("Finished", instant(operation.finished_at)));
    } else if let Some(typical) = operation.typical {
        fields.push(("Typical", typical.to_string()));
    }
    if let Some(deadline) = operation.deadline.filter(|_| operation.finished_at.is_none()) {
        fields.push(("Deadline", format!("{deadline:.0}")));
    }
    if let Some(problem) = &operation.problem {
        fields.push(("Problem", format!("{} ({})", problem.detail, problem.code)));
        fields.push(("Way out", problem.hint.clone()));
    }
    output::fields(&fields) + &steps(operation)
}

/// The steps with their times.
pub(super) fn steps(operation: &Operation) -> String {
    if operation.steps.is_empty() {
        return "  no steps yet\n".to_owned();
    }
    let mut table = Table::new(&["STEP", "STATE", "TIME", "TYPICAL", "MESSAGE"]);
    for step in &operation.steps {
        table.row([
            step.name.clone(),
            step.state.clone(),
            step.duration().map(time).unwrap_or_default(),
            step.typical.map(|typical| time(typical.median())).unwrap_or_default(),
            step.message.clone(),
        ]);
    }
    table.text(2)
}
