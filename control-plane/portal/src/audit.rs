//! `/audit`, and the same below a tenant or an organisation: who did what.

use crate::{
    Portal,
    extract::{OrganisationPath, Parameters, TenantPath},
    frame::{Frame, Section, html},
    links::{Url, part},
    part::Id,
    person::Person,
    refusal::Refusal,
    time::When,
};
use application::{
    attachment::disposition,
    audit::{self, AuditView, Of, Wanted, is_action},
    organisation::{self, OrganisationRef},
    tenant::{self, TenantRef},
};
use askama::Template;
use axum::{
    Router,
    body::Body,
    http::header,
    response::{IntoResponse as _, Response},
    routing::get,
};
use domain::{AuditId, Role, Subject};
use jiff::Timestamp;
use serde::Deserialize;

/// How many entries are on a page.
const ROWS: u64 = 100;

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    /// Where it is, without a query.
    url: String,
    /// As a file with seals; nothing where there is none.
    export: Option<String>,
    rows: Vec<Row>,
    action: String,
    subject: String,
    is_filtered: bool,
    newest: Option<String>,
    older: Option<String>,
}

struct Row {
    at: When,
    /// What people call them, or what there is to name.
    who: String,
    /// Shows what else they did.
    others: Option<String>,
    role: &'static str,
    action: String,
    target: Id,
    /// Nothing if Warren did it by itself.
    request: Option<Id>,
    sequence: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Query {
    action: String,
    subject: String,
    after: String,
}

pub(crate) fn routes() -> Router<Portal> {
    Router::new()
        .route("/audit", get(platform))
        .route("/audit/export", get(platform_export))
        .route("/tenants/{tenant}/audit", get(of_tenant))
        .route("/tenants/{tenant}/audit/export", get(tenant_export))
        .route("/organisations/{organisation}/audit", get(of_organisation))
}

async fn platform(
    person: Person,
    Parameters(query): Parameters<Query>,
) -> Result<Response, Refusal> {
    let frame = Frame::platform(&person, "Audit log");
    page(&person, frame, Of::Platform, Url::Audit.to_string(), query).await
}

async fn of_tenant(
    person: Person,
    TenantPath(reference): TenantPath,
    Parameters(query): Parameters<Query>,
) -> Result<Response, Refusal> {
    let tenant = tenant::get(&person.app, &person.actor, &reference).await?.tenant;
    let frame = Frame::tenant(&person, &tenant, Section::Audit, "Audit log");
    let url = Url::TenantAudit(&tenant.name).to_string();
    page(&person, frame, Of::Tenant(reference), url, query).await
}

async fn of_organisation(
    person: Person,
    OrganisationPath(place): OrganisationPath,
    Parameters(query): Parameters<Query>,
) -> Result<Response, Refusal> {
    let place = place.ok_or_else(Refusal::no_such_page)?;
    let found = organisation::get(&person.app, &person.actor, &place).await?;
    let place = OrganisationRef::Name(found.name);
    let frame = Frame::platform(&person, "Audit log")
        .below("Organisations", &Url::Organisations)
        .below(&place.to_string(), &Url::Organisation(&place));
    let url = Url::OrganisationAudit(&place).to_string();
    page(&person, frame, Of::Organisation(place), url, query).await
}

async fn platform_export(person: Person) -> Result<Response, Refusal> {
    export(&person, Of::Platform, "audit.jsonl").await
}

async fn tenant_export(
    person: Person,
    TenantPath(tenant): TenantPath,
) -> Result<Response, Refusal> {
    let name = match &tenant {
        TenantRef::Id(id) => id.to_string(),
        TenantRef::Name(name) => name.to_string(),
    };
    export(&person, Of::Tenant(tenant), &format!("audit-{name}.jsonl")).await
}

async fn export(person: &Person, of: Of, name: &str) -> Result<Response, Refusal> {
    let lines = audit::export(&person.app, &person.actor, &of).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson".to_owned()),
        (header::CONTENT_DISPOSITION, disposition(name)),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}

async fn page(
    person: &Person,
    frame: Frame,
    of: Of,
    url: String,
    query: Query,
) -> Result<Response, Refusal> {
    let action = Some(query.action.trim().to_owned()).filter(|action| is_action(action));
    let subject = Subject::parse(query.subject.trim());
    let after: Option<AuditId> = query.after.parse().ok();
    let wanted = Wanted { subject, action: action.clone() };
    let found = audit::read(&person.app, &person.actor, &of, wanted, after, ROWS).await?;
    let action = action.unwrap_or_default();
    let subject = subject.map(|subject| subject.to_string()).unwrap_or_default();
    let filter = format!("?action={}&subject={}", part(&action), part(&subject));
    let now = person.app.clock.now();
    Ok(html(&AuditPage {
        frame,
        export: (!matches!(of, Of::Organisation(_))).then(|| format!("{url}/export")),
        rows: found.items.into_iter().map(|view| Row::new(view, &url, now)).collect(),
        newest: after.map(|_| format!("{url}{filter}")),
        older: found.next.map(|next| format!("{url}{filter}&after={next}")),
        is_filtered: !(action.is_empty() && subject.is_empty()),
        url,
        action,
        subject,
    }))
}

impl Row {
    fn new(AuditView { entry, who }: AuditView, url: &str, now: Timestamp) -> Self {
        let id = entry.subject.map(|subject| subject.to_string());
        let others = id.as_ref().map(|id| format!("{url}?subject={}", part(id)));
        Self {
            at: When::new(entry.at, now),
            who: who.or(id).unwrap_or_else(|| "Warren".to_owned()),
            others,
            role: entry.role.map_or("", Role::as_str),
            action: entry.action,
            target: Id::new(entry.target),
            request: (!entry.request_id.is_empty()).then(|| Id::new(entry.request_id)),
            sequence: entry.sequence,
        }
    }
}
