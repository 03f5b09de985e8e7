//! API tokens of a tenant: made, shown once, taken back.

use crate::{
    extract::{Form, LastPath, TenantPath},
    frame::{Frame, Section, html},
    links::Url,
    part::Code,
    person::Person,
    refusal::Refusal,
};
use application::{
    tenant,
    token::{self, IssuedToken, TokenRequest},
};
use askama::Template;
use axum::response::{Redirect, Response};
use domain::TokenId;
use secrecy::ExposeSecret as _;
use serde::Deserialize;

#[derive(Template)]
#[template(path = "tenant/token.html")]
struct TokenPage {
    frame: Frame,
    name: String,
    role: &'static str,
    secret: Code,
    back: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct NewToken {
    name: String,
    role: String,
}

pub(super) async fn create(
    person: Person,
    TenantPath(reference): TenantPath,
    Form(NewToken { name, role }): Form<NewToken>,
) -> Result<Response, Refusal> {
    let Person { app, actor, .. } = &person;
    let tenant = tenant::get(app, actor, &reference).await?.tenant;
    let request = TokenRequest { name, role };
    let IssuedToken { name, role, secret, .. } =
        token::create(app, actor, Some(&reference), request.into()).await?;
    Ok(html(&TokenPage {
        frame: Frame::tenant(&person, &tenant, Section::Overview, "New API token"),
        name,
        role: role.as_str(),
        secret: Code::new("API token", secret.expose_secret()),
        back: Url::Tenant(&tenant.name).to_string(),
    }))
}

pub(super) async fn revoke(
    person: Person,
    TenantPath(reference): TenantPath,
    LastPath(id): LastPath<TokenId>,
) -> Result<Redirect, Refusal> {
    let Person { app, actor, .. } = &person;
    token::revoke(app, actor, Some(&reference), id).await?;
    let tenant = tenant::get(app, actor, &reference).await?.tenant;
    Ok(Redirect::to(&format!("{}#tokens", Url::Tenant(&tenant.name))))
}
