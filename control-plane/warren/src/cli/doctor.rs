//! `warren doctor`

use clap::Args;
use serde::Deserialize;

use super::{
    Context,
    answer::{decode, items},
    output::Table,
    problem::{Exit, Failure},
};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  warren doctor || echo 'something needs care'")]
pub(crate) struct Arguments {}

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

pub(super) async fn run(cx: &Context, _: &Arguments) -> Result<(), Failure> {
    let answer = cx.client.get(&["api", "v1", "doctor"]).await?;
    let items = items(answer, &["items", "checks"])?;
    let checks: Vec<Check> = items.iter().map(decode).collect::<Result<_, _>>()?;
    let names: Vec<_> = checks.iter().map(|check| check.name.clone()).collect();
    cx.printer.list("check", &names, &items, || table(&checks))?;
    let failed: Vec<_> = checks.iter().filter(|check| !check.is_ok).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = failed.iter().map(|check| check.name.as_str()).collect();
    let title = format!("{} of {} checks failed", failed.len(), checks.len());
    let mut failure = Failure::new(Exit::Failure, title).detail(names.join(", "));
    if let Some(first) = failed.iter().find(|check| !check.way_out.is_empty()) {
        failure = failure.hint(first.way_out.clone());
    }
    Err(failure)
}

fn table(checks: &[Check]) -> String {
    let mut table = Table::new(&["CHECK", "OK", "WAY OUT", "FOUND"]);
    for Check { name, is_ok, detail, way_out } in checks {
        let verdict = if *is_ok { "yes" } else { "NO" };
        table.row([name.clone(), verdict.to_owned(), way_out.clone(), detail.clone()]);
    }
    table.text(0)
}
