//! `GET /plans`: what can be bought, side by side.

use crate::{
    frame::{Frame, html},
    part::Code,
    person::Person,
    refusal::Refusal,
};
use application::plan;
use askama::{Template, filters::HtmlSafe};
use axum::response::Response;
use domain::{Isolation, Plan};

#[derive(Template)]
#[template(path = "plans.html")]
struct PlansPage {
    frame: Frame,
    table: PlanTable,
    command: Code,
}

/// Columns are plans, rows are what one gets.
#[derive(Debug, Template)]
#[template(path = "_plans.html")]
pub(crate) struct PlanTable {
    plans: Vec<Column>,
    /// The plan that is chosen, where one can be.
    choice: Option<String>,
}

/// One plan.
#[derive(Debug)]
struct Column {
    name: &'static str,
    is_dedicated: bool,
    price: String,
    plan: Plan,
}

impl HtmlSafe for PlanTable {}

pub(crate) async fn show(person: Person) -> Result<Response, Refusal> {
    Ok(html(&PlansPage {
        table: PlanTable::new(&person, None)?,
        frame: Frame::platform(&person, "Plans"),
        command: Code::command("warren plans"),
    }))
}

impl PlanTable {
    /// All plans; `choice` makes each one's name a button to choose it by.
    pub(crate) fn new(person: &Person, choice: Option<String>) -> Result<Self, Refusal> {
        let plans = plan::list(&person.actor)?;
        Ok(Self { plans: plans.into_iter().map(Column::new).collect(), choice })
    }
}

impl Column {
    fn new(plan: Plan) -> Self {
        let is_dedicated = plan.isolation == Isolation::Dedicated;
        Self { name: plan.name.as_str(), is_dedicated, price: price(plan.price), plan }
    }
}

/// Hundredths of the installation's currency as people write them.
pub(crate) fn price(hundredths: u64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
