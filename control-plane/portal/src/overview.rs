//! `GET /`: the tenants that a person may see.

use crate::{
    extract::Parameters,
    frame::{Frame, html},
    links::Url,
    part::{Code, Empty, Status},
    person::Person,
    refusal::Refusal,
    tenant, words,
};
use application::tenant::{Attention, TenantView, attention, may_create, views};
use askama::Template;
use axum::response::Response;
use jiff::Timestamp;
use serde::Deserialize;

/// Tenants on a page.
const TENANTS: u64 = 50;
/// The most of each kind that an operator is pointed to.
const NEEDS_A_LOOK: u64 = 5;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    rows: Vec<Row>,
    attention: Vec<Look>,
    empty: Empty,
    /// Where tenants are made, for those who may.
    new: Option<String>,
    /// The address of the next page.
    more: Option<String>,
}

/// A tenant in the table.
struct Row {
    name: String,
    url: String,
    plan: &'static str,
    status: Status,
    /// What is being done, and where that is seen.
    operation: Option<(&'static str, String)>,
}

/// Something that needs a look.
struct Look {
    name: String,
    url: String,
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct After {
    after: Option<String>,
}

pub(crate) async fn show(
    person: Person,
    Parameters(After { after }): Parameters<After>,
) -> Result<Response, Refusal> {
    let Person { app, actor, .. } = &person;
    let after = after.and_then(|after| after.parse().ok());
    let page = views(app, actor, after, TENANTS).await?;
    let now = app.clock.now();
    let attention = if person.is_operator() && after.is_none() {
        looks(&attention(app, actor, NEEDS_A_LOOK).await?, now)
    } else {
        Vec::new()
    };
    let more = page.next.map(|next| Url::MoreTenants(&next.to_string()).to_string());
    Ok(html(&OverviewPage {
        frame: Frame::platform(&person, "Tenants"),
        rows: page.items.iter().map(|view| Row::new(view, now)).collect(),
        attention,
        empty: empty(&person),
        new: may_create(&person.actor).then(|| Url::NewTenant.to_string()),
        more,
    }))
}

impl Row {
    fn new(TenantView { tenant, operation }: &TenantView, now: Timestamp) -> Self {
        let operation = operation.as_ref().map(|operation| {
            (words::operation_kind(operation.kind), Url::Operation(operation.id).to_string())
        });
        Self {
            name: tenant.name.to_string(),
            url: Url::Tenant(&tenant.name).to_string(),
            plan: tenant.plan.as_str(),
            status: tenant::status(tenant, now),
            operation,
        }
    }
}

/// Failures first: those do not go on by themselves.
fn looks(Attention { unready, failed }: &Attention, now: Timestamp) -> Vec<Look> {
    let failed = failed.iter().map(|(tenant, operation)| {
        let detail = operation.problem.as_ref().map_or("", |problem| problem.detail.as_str());
        let what = words::operation_kind(operation.kind);
        let status = Status::of(words::operation(operation.state));
        let because = if detail.is_empty() { what.to_owned() } else { format!("{what}: {detail}") };
        Look {
            name: tenant.name.to_string(),
            url: Url::Operation(operation.id).to_string(),
            status: status.because(because),
        }
    });
    // What is on its way needs no look.
    let stuck = unready.iter().filter(|view| view.operation.is_none()).map(|view| Look {
        name: view.tenant.name.to_string(),
        url: Url::Tenant(&view.tenant.name).to_string(),
        status: tenant::status(&view.tenant, now),
    });
    failed.chain(stuck).collect()
}

fn empty(person: &Person) -> Empty {
    if may_create(&person.actor) {
        Empty {
            sentence: "There are no tenants yet. Each gets a Kubernetes API server of its own."
                .to_owned(),
            action: Some(("Create a tenant".to_owned(), Url::NewTenant.to_string())),
            command: Some(Code::command("warren tenant create NAME --plan starter --wait")),
        }
    } else {
        let sentence = "There is no tenant that you may see. Ask an operator for one.".to_owned();
        Empty { sentence, action: None, command: None }
    }
}
