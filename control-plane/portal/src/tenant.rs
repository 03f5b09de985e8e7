//! `GET /tenants/{tenant}`: one tenant, and what can be done with it.

mod cards;
mod create;
mod delete;
mod events;
mod kubeconfig;
mod live;
mod new;
mod token;

use crate::{
    Portal,
    extract::TenantPath,
    frame::{Frame, Section, html},
    links::Url,
    part::{Code, Danger, Gauge, Id, Status},
    person::Person,
    refusal::Refusal,
    time::When,
    words,
};
use application::tenant::{self as tenants, TenantRef};
use askama::Template;
use axum::{
    Router,
    response::Response,
    routing::{get, post},
};
use cards::Cards;
use domain::{ConditionKind, DeleteTenant, Quota, Tenant, TenantPhase};
use jiff::Timestamp;
use live::Live;

#[derive(Template)]
#[template(path = "tenant.html")]
struct TenantPage {
    frame: Frame,
    name: String,
    id: Id,
    plan: &'static str,
    /// How many nodes of its own it pays for; none on a shared plan.
    nodes: u32,
    made: When,
    live: Live,
    events: String,
    gauges: Vec<Gauge>,
    quota: Quota,
    sessions_at_once: u32,
    kubeconfig: Option<Kubeconfig>,
    cards: Cards,
    danger: Option<Danger>,
}

/// The way to the tenant's API server.
struct Kubeconfig {
    command: Code,
    download: String,
}

pub(crate) fn routes() -> Router<Portal> {
    Router::new()
        .route("/tenants", post(create::create))
        .route("/tenants/new", get(new::show))
        .route("/tenants/{tenant}", get(show))
        .route("/tenants/{tenant}/events", get(events::events))
        .route("/tenants/{tenant}/kubeconfig", get(kubeconfig::download))
        .route("/tenants/{tenant}/tokens", post(token::create))
        .route("/tenants/{tenant}/tokens/{token}/revoke", post(token::revoke))
        .route("/tenants/{tenant}/delete", post(delete::delete))
}

async fn show(person: Person, TenantPath(tenant): TenantPath) -> Result<Response, Refusal> {
    Ok(html(&page(&person, &tenant, None).await?))
}

/// The page; `mistyped` is what was typed instead of the tenant's name.
async fn page(
    person: &Person,
    reference: &TenantRef,
    mistyped: Option<String>,
) -> Result<TenantPage, Refusal> {
    let Person { app, actor, .. } = person;
    let (tenant, live) = Live::load(person, reference).await?;
    let now = app.clock.now();
    let cards = Cards::load(person, &tenant, now).await?;
    let mut frame = Frame::tenant(person, &tenant, Section::Overview, tenant.name.as_str());
    frame.title = live.title.clone();
    if !live.is_over {
        frame = frame.live();
    }
    let name = &tenant.name;
    let kubeconfig = tenants::reach(app, actor, reference).await.ok().map(|_| Kubeconfig {
        command: Code::command(format!("warren kubeconfig {name} --merge --switch")),
        download: Url::Kubeconfig(name).to_string(),
    });
    let may_delete = person.may::<DeleteTenant>(tenant.scope());
    let danger = (may_delete && tenant.deletion_requested_at.is_none()).then(|| Danger {
        verb: "Delete tenant".to_owned(),
        name: name.to_string(),
        goes: cards.goes(),
        url: Url::DeleteTenant(name).to_string(),
        mistyped,
    });
    let gauges = tenant.usage.map_or_else(Vec::new, |usage| {
        let storage = Gauge::bytes("Storage", usage.storage);
        let memory = Gauge::bytes("Memory", usage.memory);
        vec![Gauge::cpu(usage.cpu), memory, storage, Gauge::count("Pods", usage.pods)]
    });
    let plan = tenant.plan();
    Ok(TenantPage {
        name: name.to_string(),
        id: Id::new(tenant.id),
        plan: tenant.plan.as_str(),
        nodes: tenant.nodes,
        made: When::new(tenant.created_at, now),
        events: Url::TenantEvents(name).to_string(),
        frame,
        live,
        gauges,
        quota: plan.quota,
        sessions_at_once: plan.sessions_at_once,
        kubeconfig,
        cards,
        danger,
    })
}

/// How a tenant is: its state in one word, with the reason of whatever keeps it from being ready.
pub(crate) fn status(tenant: &Tenant, now: Timestamp) -> Status {
    let phase = tenant.phase();
    let status = Status::of(words::phase(phase));
    if let Some(since) = tenant.deletion_requested_at {
        return status.since(When::new(since, now));
    }
    let Some(ready) = tenant.conditions.get(ConditionKind::Ready) else {
        return status.since(When::new(tenant.created_at, now));
    };
    let status = status.since(When::new(ready.since, now));
    match phase {
        TenantPhase::Ready => status,
        TenantPhase::Pending
        | TenantPhase::Provisioning
        | TenantPhase::Degraded
        | TenantPhase::Deleting => status.because(&ready.message),
    }
}
