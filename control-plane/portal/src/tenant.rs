//! Tenants.

use crate::{
    Portal,
    extract::TenantPath,
    frame::{Frame, Section, html},
    person::Person,
    refusal::Refusal,
};
use application::tenant;
use askama::Template;
use axum::{Router, response::Response, routing::get};

#[derive(Template)]
#[template(path = "overview.html")]
struct TenantPage {
    frame: Frame,
}

pub(crate) fn routes() -> Router<Portal> {
    Router::new().route("/tenants/{tenant}", get(show))
}

async fn show(person: Person, TenantPath(tenant): TenantPath) -> Result<Response, Refusal> {
    let view = tenant::get(&person.app, &person.actor, &tenant).await?;
    let name = view.tenant.name.as_str();
    let frame = Frame::tenant(&person, &view.tenant, Section::Overview, name);
    Ok(html(&TenantPage { frame }))
}
