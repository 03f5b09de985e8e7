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
    Draft, organisation,
    tenant::{CreateError, Foreseen, NewTenant, foresee, may_create},
};
use askama::Template;
use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use domain::{Bound, CreateTenant, Invalid, InvalidField, Isolation, Organisation, Scope, Verdict};
use serde::Deserialize;

/// How many organisations one can choose from.
const ORGANISATIONS: u64 = 200;

/// What was chosen so far.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Choice {
    pub(super) name: String,
    pub(super) plan: String,
    /// As it was typed; empty for the usual number.
    pub(super) nodes: String,
    /// The name of the organisation; empty for the only one, or the platform.
    pub(super) organisation: String,
    step: String,
}

#[derive(Template)]
#[template(path = "tenant/new.html")]
struct ChoosePage {
    frame: Frame,
    choice: Choice,
    /// Those in which they may make one.
    organisations: Vec<String>,
    /// Whether it may also belong to none.
    is_operator: bool,
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
        if !may_create(&person.actor) {
            return Err(Refusal::not_for_you());
        }
        return Ok(html(&choose(&person, choice, Vec::new()).await?));
    }
    match foresee(&person.app, &person.actor, choice.draft()).await {
        Ok(foreseen) => Ok(html(&review(&person, choice, foreseen))),
        Err(error) => again(&person, choice, error).await,
    }
}

/// The first step again, with what was wrong; or a page that says why there is none.
pub(super) async fn again(
    person: &Person,
    choice: Choice,
    error: CreateError,
) -> Result<Response, Refusal> {
    let invalid = match error {
        CreateError::Invalid(invalid) => invalid,
        CreateError::NameTaken(name) => {
            Invalid::field("/name", name, "another one: a tenant has that name")
        }
        CreateError::TooMany { name, most } => {
            let rule = format!("another one: {name} may have {most} tenants, and has them");
            Invalid::field("/organisation", name, rule)
        }
        error @ (CreateError::Find(_) | CreateError::IdempotencyMismatch) => {
            return Err(error.into());
        }
    };
    let errors = invalid.fields.into_iter().map(FieldError::from).collect();
    let page = html(&choose(person, choice, errors).await?);
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

async fn choose(
    person: &Person,
    choice: Choice,
    errors: Vec<FieldError>,
) -> Result<ChoosePage, Refusal> {
    let known = organisation::list(&person.app, &person.actor, None, ORGANISATIONS).await?.items;
    let may_create = |it: &Organisation| person.may::<CreateTenant>(Scope::Organisation(it.id));
    let organisations: Vec<_> =
        known.into_iter().filter(may_create).map(|it| it.name.to_string()).collect();
    let table = PlanTable::new(person, Some(choice.plan.clone()))?;
    let title = if errors.is_empty() { "New tenant" } else { "Error: New tenant" };
    let mut frame = Frame::platform(person, "New tenant");
    title.clone_into(&mut frame.title);
    let is_operator = person.is_operator();
    Ok(ChoosePage { frame, choice, organisations, is_operator, table, errors })
}

fn review(person: &Person, choice: Choice, foreseen: Foreseen) -> ReviewPage {
    let Foreseen { plan, nodes, capacity, typical } = &foreseen;
    let Choice { name, plan: plan_name, organisation, .. } = &choice;
    let own = if *nodes > 0 { format!(" --nodes {nodes}") } else { String::new() };
    let of = match organisation.as_str() {
        "" => String::new(),
        organisation => format!(" --organisation {organisation}"),
    };
    let command = format!("warren tenant create {name} --plan {plan_name}{own}{of} --wait");
    let own = if *nodes > 0 { format!(",\"nodes\":{nodes}") } else { String::new() };
    let of = match organisation.as_str() {
        "" => String::new(),
        organisation => format!(",\"organisation\":\"{organisation}\""),
    };
    let request = format!(
        "curl --fail-with-body \"$WARREN_URL/api/v1/tenants\" \\\n  \
         -H \"Authorization: Bearer $WARREN_TOKEN\" \\\n  \
         -H \"Content-Type: application/json\" \\\n  \
         -d '{{\"name\":\"{name}\",\"plan\":\"{plan_name}\"{own}{of}}}'"
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
    pub(super) fn new(name: String, plan: String, nodes: String, organisation: String) -> Self {
        Self { name, plan, nodes, organisation, step: String::new() }
    }

    /// What was chosen in the use case's words.
    pub(super) fn draft(&self) -> Draft<NewTenant> {
        let typed = self.nodes.trim();
        let nodes = if typed.is_empty() { None } else { Some(typed.parse()) };
        let mut draft = Draft::from(NewTenant {
            name: self.name.trim().to_owned(),
            organisation: Some(self.organisation.clone()).filter(|name| !name.is_empty()),
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
        let Self { name, plan, nodes, organisation, .. } = self;
        let (name, plan, nodes) = (part(name), part(plan), part(nodes));
        let organisation = part(organisation);
        let query = format!("name={name}&plan={plan}&nodes={nodes}&organisation={organisation}");
        Url::NewTenantWith(&query).to_string()
    }
}

impl From<InvalidField> for FieldError {
    fn from(InvalidField { field, rule, .. }: InvalidField) -> Self {
        let (id, label) = match field.as_str() {
            "/name" => ("name", "Name"),
            "/nodes" => ("nodes", "Nodes"),
            "/organisation" => ("organisation", "Organisation"),
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
