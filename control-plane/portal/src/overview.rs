//! `GET /`
use crate::{
    frame::{Frame, html},
    person::Person,
};
use askama::Template;
use axum::response::Response;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
}

pub(crate) async fn show(person: Person) -> Response {
    html(&OverviewPage { frame: Frame::platform(&person, "Tenants") })
}
