//! `POST …/sessions/{session}/stop` and `POST …/sessions/{session}/rerun`

use super::{SessionPath, rerun::Rerun, show};
use crate::{extract::Form, links::Url, person::Person, refusal::Refusal};
use application::{
    session::{self, CreateError, RerunError, StopMode},
    tenant,
};
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::{Invalid, TenantName};
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Stop {
    /// Not empty if nobody waits for the proof that its process has ended.
    force: String,
}

pub(super) async fn stop(
    person: Person,
    path: SessionPath,
    Form(Stop { force }): Form<Stop>,
) -> Result<Response, Refusal> {
    let Person { app, actor, .. } = &person;
    let mode = if force.is_empty() { StopMode::Proven } else { StopMode::Unproven };
    session::stop(app, actor, &path.tenant, path.session, mode).await?;
    let name = name(&person, &path).await?;
    Ok(Redirect::to(&Url::Session(&name, path.session).to_string()).into_response())
}

pub(super) async fn rerun(
    person: Person,
    path: SessionPath,
    Form(typed): Form<Rerun>,
) -> Result<Response, Refusal> {
    let Person { app, actor, .. } = &person;
    let SessionPath { tenant, session } = &path;
    let key = person.key(&typed.key, &format!("{session}\0{}", typed.request()));
    let draft = typed.draft();
    let refusal = match session::rerun(app, actor, tenant, *session, draft, key.as_ref()).await {
        Ok(created) => {
            let (name, id) = (name(&person, &path).await?, created.value.session.id);
            return Ok(Redirect::to(&Url::Session(&name, id).to_string()).into_response());
        }
        Err(error @ RerunError::Create(CreateError::Find(_))) => return Err(error.into()),
        Err(RerunError::Create(CreateError::Invalid(invalid))) => broken(&invalid),
        Err(error) => error.into(),
    };
    show::again(&person, &path, refusal, typed).await
}

/// The fields that break rules, with what was typed.
fn broken(invalid: &Invalid) -> Refusal {
    let told = invalid.fields.iter().map(|field| {
        let name = field.field.rsplit('/').next().unwrap_or_default();
        format!("{name} is {:?}, and has to be {}.", field.value, field.rule)
    });
    let hint = "Nothing was started. Correct it below and send it again.".to_owned();
    let detail = told.collect::<Vec<_>>().join(" ");
    Refusal { detail, hint, ..Refusal::invalid(invalid) }
}

async fn name(person: &Person, path: &SessionPath) -> Result<TenantName, Refusal> {
    Ok(tenant::get(&person.app, &person.actor, &path.tenant).await?.tenant.name)
}
