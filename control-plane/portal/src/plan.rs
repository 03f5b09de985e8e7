//! `GET /plans`
use crate::{
    frame::{Frame, html},
    person::Person,
};
use askama::Template;
use axum::response::Response;

#[derive(Template)]
#[template(path = "overview.html")]
struct PlanPage {
    frame: Frame,
}

pub(crate) async fn show(person: Person) -> Response {
    html(&PlanPage { frame: Frame::platform(&person, "Plans") })
}
