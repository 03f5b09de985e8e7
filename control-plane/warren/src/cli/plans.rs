//! `warren plans`

use clap::Args;
use serde::Deserialize;
use std::time::Duration;

use super::{
    Context,
    answer::{Amount, decode, items},
    format::{Unit, amount, time},
    output::Table,
    problem::Failure,
};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  warren plans -o name")]
pub(crate) struct Arguments {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Plan {
    name: String,
    #[serde(default)]
    isolation: String,
    quota: Quota,
    #[serde(default)]
    sessions_at_once: u64,
    session: Session,
    #[serde(default)]
    retention: Retention,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Retention {
    log_days: u32,
    file_days: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Session {
    timeout_seconds: u64,
    #[serde(default)]
    log: String,
}

#[derive(Debug, Deserialize)]
struct Quota {
    cpu: Amount,
    memory: Amount,
    storage: Amount,
    pods: Amount,
}

pub(super) async fn run(cx: &Context, _: &Arguments) -> Result<(), Failure> {
    let answer = cx.client.get(&["api", "v1", "plans"]).await?;
    let items = items(answer, &["items", "plans"])?;
    let plans: Vec<Plan> = items.iter().map(decode).collect::<Result<_, _>>()?;
    let names: Vec<_> = plans.iter().map(|plan| plan.name.clone()).collect();
    cx.printer.list("plan", &names, &items, || table(&plans))
}

fn table(plans: &[Plan]) -> String {
    let heading = &[
        "NAME",
        "NODES",
        "CPU",
        "MEMORY",
        "STORAGE",
        "PODS",
        "SESSIONS",
        "SESSION TIME",
        "LOG",
        "LOGS KEPT",
        "FILES KEPT",
    ];
    let mut table = Table::new(heading);
    for Plan { name, isolation, quota, sessions_at_once, session, retention } in plans {
        table.row([
            name.clone(),
            isolation.clone(),
            amount(&quota.cpu, Unit::Cpu),
            amount(&quota.memory, Unit::Bytes),
            amount(&quota.storage, Unit::Bytes),
            amount(&quota.pods, Unit::Count),
            sessions_at_once.to_string(),
            time(Duration::from_secs(session.timeout_seconds)),
            session.log.clone(),
            format!("{}d", retention.log_days),
            format!("{}d", retention.file_days),
        ]);
    }
    table.text(0)
}
