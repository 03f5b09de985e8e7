//! `warren tenant describe`: all about one tenant on one screen.

use serde_json::json;

use super::super::{
    Context,
    answer::{Operation, Share, Tenant, Usage, decode},
    format::{Unit, age, amount, instant, percent},
    operation::steps,
    output::{self, Table},
    problem::Failure,
};

pub(super) async fn run(cx: &Context, name: &str) -> Result<(), Failure> {
    let value = cx.client.get(&["api", "v1", "tenants", name]).await?;
    let tenant: Tenant = decode(&value)?;
    let operation_value = match &tenant.operation {
        Some(id) => Some(cx.client.get(&["api", "v1", "operations", id]).await?),
        None => None,
    };
    let operation: Option<Operation> = operation_value.as_ref().map(decode).transpose()?;
    let both = json!({ "tenant": value, "operation": operation_value });
    cx.printer.item("tenant", &tenant.name, &both, || text(&tenant, operation.as_ref()))
}

fn text(tenant: &Tenant, operation: Option<&Operation>) -> String {
    let observed = if tenant.generation == tenant.observed_generation {
        format!("{} (observed)", tenant.generation)
    } else {
        format!("{} (observed up to {})", tenant.generation, tenant.observed_generation)
    };
    let mut fields = vec![
        ("Name", tenant.name.clone()),
        ("Id", tenant.id.clone()),
        ("Plan", tenant.plan.clone()),
        ("Phase", tenant.phase.clone()),
        ("Generation", observed),
        ("Created", instant(tenant.created_at)),
    ];
    fields.extend(tenant.cluster.clone().map(|cluster| ("Cluster", cluster)));
    if tenant.deletion_requested_at.is_some() {
        fields.push(("Deletion", format!("asked for {}", instant(tenant.deletion_requested_at))));
    }
    let mut text = output::fields(&fields);
    text += "Conditions:\n";
    if tenant.conditions.is_empty() {
        text += "  none reported yet\n";
    } else {
        text += &conditions(tenant);
    }
    text += "Usage:\n";
    match &tenant.usage {
        Some(usage) => text += &shares(usage),
        None => text += "  not counted yet\n",
    }
    match operation {
        Some(operation) => {
            let late = if operation.is_late { ", late" } else { "" };
            let summary = format!("{} {} {}{late}", operation.id, operation.kind, operation.state);
            text += &output::fields(&[("Operation", summary)]);
            text += &steps(operation);
        }
        None => text += "Operation:    none on its way\n",
    }
    text
}

fn conditions(tenant: &Tenant) -> String {
    let mut table = Table::new(&["TYPE", "STATUS", "SINCE", "REASON", "MESSAGE"]);
    for condition in &tenant.conditions {
        table.row([
            condition.kind.clone(),
            condition.status.clone(),
            age(condition.since),
            condition.reason.clone(),
            condition.message.clone(),
        ]);
    }
    table.text(2)
}

fn shares(usage: &Usage) -> String {
    let mut table = Table::new(&["RESOURCE", "YOURS", "LIMIT", "USED", "OVERHEAD"]);
    let rows = [
        ("cpu", &usage.cpu, Unit::Cpu),
        ("memory", &usage.memory, Unit::Bytes),
        ("storage", &usage.storage, Unit::Bytes),
        ("pods", &usage.pods, Unit::Count),
    ];
    for (name, Share { yours, overhead, limit }, unit) in rows {
        table.row([
            name.to_owned(),
            amount(yours, unit),
            amount(limit, unit),
            percent(yours, limit, unit),
            amount(overhead, unit),
        ]);
    }
    table.text(2)
}
