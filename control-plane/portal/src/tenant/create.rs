//! `POST /tenants`

use super::new::{Choice, again};
use crate::{extract::Form, links::Url, person::Person, refusal::Refusal};
use application::tenant;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(super) struct NewTenant {
    name: String,
    plan: String,
    #[serde(default)]
    nodes: String,
    #[serde(default)]
    organisation: String,
    #[serde(default)]
    key: String,
}

pub(super) async fn create(
    person: Person,
    Form(NewTenant { name, plan, nodes, organisation, key }): Form<NewTenant>,
) -> Result<Response, Refusal> {
    let choice = Choice::new(name, plan, nodes, organisation);
    let Choice { name, plan, nodes, organisation, .. } = &choice;
    let key = person.key(&key, &format!("tenant\n{name}\n{organisation}\n{plan}\n{nodes}"));
    match tenant::create(&person.app, &person.actor, choice.draft(), key.as_ref()).await {
        Ok(created) => {
            let name = &created.value.tenant.name;
            Ok(Redirect::to(&Url::Tenant(name).to_string()).into_response())
        }
        Err(error) => again(&person, choice, error).await,
    }
}
