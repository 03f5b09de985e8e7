//! `GET /tenants/new`: a new tenant in two steps. All that was chosen is in the address.

use crate::{
    extract::Parameters,
    frame::{Frame, html},
    links::{Url, part},
    part::{Code, Status},
    person::Person,
    plan::{PlanTable, price},
    refusal::Refusal,
    time::Took,
    words::Tone,
};
use application::{
    Draft,
    tenant::{CreateError, Foreseen, NewTenant, foresee},
};
use askama::Template;
use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use domain::{Bound, CreateTenant, Invalid, InvalidField, Isolation, Scope, Verdict};
use serde::Deserialize;

/// What was chosen so far.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Choice {
    pub(super) name: String,
    pub(super) plan: String,
    /// As it was typed; empty for the usual number.
    pub(super) nodes: String,
    step: String,
}

#[derive(Template)]
#[template(path = "tenant/new.html")]
struct ChoosePage {
    frame: Frame,
    choice: Choice,
    table: PlanTable,
    errors: Vec<FieldError>,
}

#[derive(Template)]
#[template(path = "tenant/review.html")]
struct ReviewPage {
    frame: Frame,
    choice: Choice,
    back: String,
    is_dedicated: bool,
    nodes: u32,
    price: String,
    foreseen: Foreseen,
    bounds: Vec<Room>,
    typical: Option<Took>,
    command: Code,
    request: Code,
    /// So that a second click makes no second tenant.
    key: String,
}

/// A field that breaks a rule.
struct FieldError {
    /// The name of the field in the form, and its label.
    id: &'static str,
    label: &'static str,
    rule: String,
}

/// One thing that there is only so much of.
struct Room {
    resource: &'static str,
    status: Status,
    arithmetic: String,
}

pub(super) async fn show(
    person: Person,
    Parameters(choice): Parameters<Choice>,
) -> Result<Response, Refusal> {
    if choice.step != "review" {
        // Who may not make one is told so before the form is filled in.
        if !person.may::<CreateTenant>(Scope::Platform) {
            return Err(Refusal::not_for_you());
        }
        return Ok(html(&choose(&person, choice, Vec::new())?));
    }
    match foresee(&person.app, &person.actor, choice.draft()).await {
        Ok(foreseen) => Ok(html(&review(&person, choice, foreseen))),
        Err(error) => again(&person, choice, error),
    }
}

/// The first step again, with what was wrong; or a page that says why there is none.
pub(super) fn again(
    person: &Person,
    choice: Choice,
    error: CreateError,
) -> Result<Response, Refusal> {
    let invalid = match error {
        CreateError::Invalid(invalid) => invalid,
        CreateError::NameTaken(name) => {
            Invalid::field("/name", name, "another one: a tenant has that name")
        }
        error @ (CreateError::Find(_) | CreateError::IdempotencyMismatch) => {
            return Err(error.into());
        }
    };
    let errors = invalid.fields.into_iter().map(FieldError::from).collect();
    let page = html(&choose(person, choice, errors)?);
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

fn choose(person: &Person, choice: Choice, errors: Vec<FieldError>) -> Result<ChoosePage, Refusal> {
    let table = PlanTable::new(person, Some(choice.plan.clone()))?;
    let title = if errors.is_empty() { "New tenant" } else { "Error: New tenant" };
    let mut frame = Frame::platform(person, "New tenant");
    title.clone_into(&mut frame.title);
    Ok(ChoosePage { frame, choice, table, errors })
}

fn review(person: &Person, choice: Choice, foreseen: Foreseen) -> ReviewPage {
    let Foreseen { plan, nodes, capacity, typical } = &foreseen;
    let Choice { name, plan: plan_name, .. } = &choice;
    let own = if *nodes > 0 { format!(" --nodes {nodes}") } else { String::new() };
    let command = format!("warren tenant create {name} --plan {plan_name}{own} --wait");
    let own = if *nodes > 0 { format!(",\"nodes\":{nodes}") } else { String::new() };
    let request = format!(
        "curl --fail-with-body \"$WARREN_URL/api/v1/tenants\" \\\n  \
         -H \"Authorization: Bearer $WARREN_TOKEN\" \\\n  \
         -H \"Content-Type: application/json\" \\\n  \
         -d '{{\"name\":\"{name}\",\"plan\":\"{plan_name}\"{own}}}'"
    );
    let bounds = capacity.iter().flat_map(|capacity| &capacity.bounds);
    ReviewPage {
        frame: Frame::platform(person, "New tenant"),
        back: choice.url(),
        is_dedicated: plan.isolation == Isolation::Dedicated,
        nodes: *nodes,
        price: price(plan.price),
        bounds: bounds.map(Room::new).collect(),
        typical: typical.map(|typical| Took::milliseconds(typical.median_ms)),
        command: Code::command(command),
        request: Code::new("API call", request),
        key: person.app.ids.uuid().as_simple().to_string(),
        choice,
        foreseen,
    }
}

impl Choice {
    pub(super) fn new(name: String, plan: String, nodes: String) -> Self {
        Self { name, plan, nodes, step: String::new() }
    }

    /// What was chosen in the use case's words.
    pub(super) fn draft(&self) -> Draft<NewTenant> {
        let typed = self.nodes.trim();
        let nodes = if typed.is_empty() { None } else { Some(typed.parse()) };
        let mut draft = Draft::from(NewTenant {
            name: self.name.trim().to_owned(),
            plan: self.plan.clone(),
            nodes: None,
        });
        match nodes.transpose() {
            Ok(nodes) => draft.value.nodes = nodes,
            Err(_) => draft.invalid.add("/nodes", typed, "a whole number, or nothing"),
        }
        draft
    }

    fn url(&self) -> String {
        let Self { name, plan, nodes, .. } = self;
        let query = format!("name={}&plan={}&nodes={}", part(name), part(plan), part(nodes));
        Url::NewTenantWith(&query).to_string()
    }
}

impl From<InvalidField> for FieldError {
    fn from(InvalidField { field, rule, .. }: InvalidField) -> Self {
        let (id, label) = match field.as_str() {
            "/name" => ("name", "Name"),
            "/nodes" => ("nodes", "Nodes"),
            _ => ("plan", "Plan"),
        };
        Self { id, label, rule }
    }
}

impl ChoosePage {
    fn error(&self, id: &str) -> Option<&FieldError> {
        self.errors.iter().find(|error| error.id == id)
    }
}

impl Room {
    fn new(bound: &Bound) -> Self {
        let status = match bound.verdict() {
            Verdict::Enough => (Tone::Ok, "Enough"),
            Verdict::Doubtful => (Tone::Warn, "Tight"),
            Verdict::Unknown => (Tone::Off, "Not known"),
            Verdict::Short => (Tone::Bad, "Too little"),
        };
        Self {
            resource: bound.resource.as_str(),
            status: Status::of(status),
            arithmetic: bound.to_string(),
        }
    }
}
