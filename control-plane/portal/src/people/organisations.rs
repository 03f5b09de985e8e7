//! `GET` and `POST /organisations`

use crate::{
    extract::{Form, Parameters},
    faults::Faults,
    frame::{Frame, html},
    links::Url,
    person::Person,
    refusal::Refusal,
    time::When,
};
use application::{
    Draft,
    organisation::{self, CreateError, NewOrganisation, OrganisationRef, TENANTS},
};
use askama::Template;
use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};
use domain::{Invalid, Organisation, OrganisationId};
use serde::Deserialize;

/// How many are on a page.
const PAGE: u64 = 100;

#[derive(Template)]
#[template(path = "people/organisations.html")]
struct OrganisationsPage {
    frame: Frame,
    rows: Vec<Row>,
    more: Option<String>,
    /// Whether they may make one.
    is_operator: bool,
    name: String,
    max_tenants: String,
    faults: Faults,
}

struct Row {
    name: String,
    url: String,
    max_tenants: u32,
    since: When,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct After {
    #[serde(default)]
    after: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct NewForm {
    name: String,
    max_tenants: String,
}

pub(super) async fn show(
    person: Person,
    Parameters(After { after }): Parameters<After>,
) -> Result<Response, Refusal> {
    let after: Option<OrganisationId> = after.parse().ok();
    let empty = (String::new(), TENANTS.to_string(), Faults::default());
    Ok(html(&page(&person, after, empty).await?))
}

pub(super) async fn create(
    person: Person,
    Form(NewForm { name, max_tenants }): Form<NewForm>,
) -> Result<Response, Refusal> {
    let most: Option<u32> = max_tenants.trim().parse().ok();
    let invalid = match most {
        Some(_) => Invalid::default(),
        None => Invalid::field("/maxTenants", &max_tenants, "a number"),
    };
    let value = NewOrganisation { name: name.trim().to_owned(), max_tenants: most };
    let faults =
        match organisation::create(&person.app, &person.actor, Draft { value, invalid }).await {
            Ok(made) => {
                let made = OrganisationRef::Name(made.name);
                return Ok(Redirect::to(&Url::Organisation(&made).to_string()).into_response());
            }
            Err(CreateError::Invalid(invalid)) => Faults::from(invalid),
            Err(CreateError::NameTaken(name)) => {
                Faults::from(Invalid::field("/name", name, "a name that no other organisation has"))
            }
            Err(error @ CreateError::Find(_)) => return Err(error.into()),
        };
    let page = html(&page(&person, None, (name, max_tenants, faults)).await?);
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

async fn page(
    person: &Person,
    after: Option<OrganisationId>,
    (name, max_tenants, faults): (String, String, Faults),
) -> Result<OrganisationsPage, Refusal> {
    let found = organisation::list(&person.app, &person.actor, after, PAGE).await?;
    let now = person.app.clock.now();
    let row = |it: Organisation| Row {
        url: Url::Organisation(&OrganisationRef::Name(it.name.clone())).to_string(),
        name: it.name.to_string(),
        max_tenants: it.max_tenants,
        since: When::new(it.created_at, now),
    };
    Ok(OrganisationsPage {
        frame: Frame::platform(person, "Organisations"),
        rows: found.items.into_iter().map(row).collect(),
        more: found.next.map(|next| Url::MoreOrganisations(next).to_string()),
        is_operator: person.is_operator(),
        name,
        max_tenants,
        faults,
    })
}
