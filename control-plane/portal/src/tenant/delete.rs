//! `POST /tenants/{tenant}/delete`

use super::page;
use crate::{
    extract::{Form, TenantPath},
    frame::html,
    links::Url,
    person::Person,
    refusal::Refusal,
};
use application::tenant;
use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};
use domain::DeleteTenant;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(super) struct Confirmation {
    /// The tenant's name, typed.
    confirm: String,
}

pub(super) async fn delete(
    person: Person,
    TenantPath(reference): TenantPath,
    Form(Confirmation { confirm }): Form<Confirmation>,
) -> Result<Response, Refusal> {
    let Person { app, actor, .. } = &person;
    let tenant = tenant::get(app, actor, &reference).await?.tenant;
    if !person.may::<DeleteTenant>(tenant.scope()) {
        return Err(Refusal::not_for_you());
    }
    let name = tenant.name;
    if confirm.trim() != name.as_str() {
        let page = html(&page(&person, &reference, Some(confirm)).await?);
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    tenant::delete(app, actor, &reference, false).await?;
    Ok(Redirect::to(&Url::Tenant(&name).to_string()).into_response())
}
