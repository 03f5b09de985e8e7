//! `GET /operations/{operation}`
use crate::{
    frame::{Frame, html},
    person::Person,
};
use askama::Template;
use axum::response::Response;

#[derive(Template)]
#[template(path = "overview.html")]
struct OperationPage {
    frame: Frame,
}

pub(crate) async fn show(person: Person) -> Response {
    html(&OperationPage { frame: Frame::platform(&person, "Operation") })
}
