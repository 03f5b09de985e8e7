//! `/organisations` and `/operators`: who is where, as what, and how somebody comes in.

mod members;
mod organisations;

use crate::{Portal, refusal::Refusal};
use application::organisation::{CreateError, ManageError};
use axum::{
    Router,
    http::StatusCode,
    routing::{get, post},
};

pub(crate) fn routes() -> Router<Portal> {
    Router::new()
        .route("/organisations", get(organisations::show).post(organisations::create))
        .route("/organisations/{organisation}", get(members::show))
        .route("/organisations/{organisation}/invites", post(members::invite))
        .route("/organisations/{organisation}/invites/{invite}/revoke", post(members::revoke))
        .route("/organisations/{organisation}/members/{account}", post(members::change))
        // The platform's own people.
        .route("/operators", get(members::show))
        .route("/operators/invites", post(members::invite))
        .route("/operators/invites/{invite}/revoke", post(members::revoke))
        .route("/operators/members/{account}", post(members::change))
}

impl From<ManageError> for Refusal {
    fn from(error: ManageError) -> Self {
        match error {
            ManageError::Find(error) => error.into(),
            ManageError::Invalid(invalid) => Self::invalid(&invalid),
            ManageError::Last => {
                let detail =
                    "Nobody would be left who can change anything here. Nothing was changed.";
                let hint = "Make somebody else an owner (or operator) first.";
                Self::new(StatusCode::CONFLICT, "last-owner", "Last owner", detail, hint)
            }
        }
    }
}

impl From<CreateError> for Refusal {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Find(error) => error.into(),
            CreateError::Invalid(invalid) => Self::invalid(&invalid),
            CreateError::NameTaken(name) => {
                let detail = format!("An organisation has the name {name}.");
                let hint = "Choose another name.";
                Self::new(StatusCode::CONFLICT, "name-taken", "Name taken", detail, hint)
            }
        }
    }
}
