//! `GET /tenants/{tenant}/sessions/new` and `POST /tenants/{tenant}/sessions`

use super::{
    form::{Control, FieldGroup, Typed, id_of, told},
    twin::Twin,
};
use crate::{
    extract::{Form, TenantPath},
    frame::{Frame, Section, html},
    links::Url,
    part::Problem,
    person::Person,
    refusal::Refusal,
};
use application::{
    session::{self, CreateError},
    tenant,
};
use askama::Template;
use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};
use domain::{CreateSession, Invalid, Tenant};

#[derive(Template)]
#[template(path = "session/new.html")]
struct NewPage {
    frame: Frame,
    url: String,
    /// So that a second click starts no second session.
    key: String,
    groups: Vec<FieldGroup>,
    errors: Vec<FieldError>,
    problem: Option<Problem>,
    request_id: String,
    twin: Option<Twin>,
}

/// An entry of the summary of errors, which leads to its field.
struct FieldError {
    id: String,
    label: String,
    rule: String,
}

/// What the form is shown with.
#[derive(Default)]
struct Wrong {
    invalid: Invalid,
    refusal: Option<Refusal>,
}

pub(super) async fn show(
    person: Person,
    TenantPath(tenant): TenantPath,
) -> Result<Response, Refusal> {
    let tenant = tenant::get(&person.app, &person.actor, &tenant).await?.tenant;
    if !person.may::<CreateSession>(tenant.scope()) {
        let hint = "Ask an owner of the tenant for a role that may.";
        return Err(Refusal { hint: hint.to_owned(), ..Refusal::not_for_you() });
    }
    Ok(html(&page(&person, &tenant, &Typed::default(), Wrong::default())))
}

pub(super) async fn create(
    person: Person,
    TenantPath(reference): TenantPath,
    Form(typed): Form<Typed>,
) -> Result<Response, Refusal> {
    let Person { app, actor, .. } = &person;
    let tenant = tenant::get(app, actor, &reference).await?.tenant;
    if typed.get("then") == Some("twin") {
        return Ok(html(&page(&person, &tenant, &typed, Wrong::default())));
    }
    let request = format!("{}\0{}", tenant.id, typed.request());
    let key = typed.get("key").and_then(|key| person.key(key, &request));
    let wrong = match session::create(app, actor, &reference, typed.draft(), key.as_ref()).await {
        Ok(created) => {
            let url = Url::Session(&tenant.name, created.value.session.id).to_string();
            return Ok(Redirect::to(&url).into_response());
        }
        Err(error @ CreateError::Find(_)) => return Err(error.into()),
        Err(CreateError::Invalid(invalid)) => Wrong { invalid, refusal: None },
        Err(error) => Wrong { invalid: Invalid::default(), refusal: Some(error.into()) },
    };
    let invalid = StatusCode::UNPROCESSABLE_ENTITY;
    let status = wrong.refusal.as_ref().map_or(invalid, |refusal| refusal.status);
    Ok((status, html(&page(&person, &tenant, &typed, wrong))).into_response())
}

fn page(person: &Person, tenant: &Tenant, typed: &Typed, wrong: Wrong) -> NewPage {
    let Wrong { invalid, refusal } = wrong;
    let list = Url::Sessions(&tenant.name);
    let mut frame = Frame::tenant(person, tenant, Section::Sessions, "Run a session");
    frame = frame.below("Sessions", &list);
    if !invalid.fields.is_empty() {
        frame.title = format!("Error: {}", frame.title);
    }
    let groups = typed.groups(&tenant.plan(), &invalid);
    let errors = errors(&invalid, &groups);
    let problem = refusal.map(|Refusal { code, detail, hint, .. }| Problem {
        code: code.to_owned(),
        detail,
        hint,
    });
    let is_asked = typed.get("then") == Some("twin");
    // A form that was refused keeps its key: what it started before is found by it again.
    let key = typed.get("key").map(str::to_owned);
    NewPage {
        frame,
        url: list.to_string(),
        key: key.unwrap_or_else(|| person.app.ids.uuid().as_simple().to_string()),
        groups,
        errors,
        problem,
        request_id: person.actor.request_id.clone(),
        twin: is_asked.then(|| Twin::new(&tenant.name, typed)),
    }
}

/// In the order of the form.
fn errors(invalid: &Invalid, groups: &[FieldGroup]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in groups.iter().flat_map(|group| &group.fields) {
        let of_this = invalid.fields.iter().filter(|broken| id_of(broken) == field.id);
        errors.extend(of_this.map(|broken| FieldError {
            id: field.id.clone(),
            label: field.label.clone(),
            rule: told(broken),
        }));
    }
    errors
}
