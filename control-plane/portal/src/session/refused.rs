//! How the refusals of use cases become pages; the codes are those of the API.

use crate::refusal::Refusal;
use application::session::{CreateError, OutputError, RerunError};
use axum::http::StatusCode;

impl From<CreateError> for Refusal {
    fn from(error: CreateError) -> Self {
        let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
        match error {
            CreateError::Find(error) => error.into(),
            CreateError::Invalid(invalid) => Self::invalid(&invalid),
            CreateError::TooManyWaiting(invalid) => {
                let field = invalid.fields.first();
                let detail = field.map_or_else(String::new, |field| {
                    format!("The tenant has {}: {}.", field.value, field.rule)
                });
                let hint = "Nothing was started. Wait until some have begun, stop some, or ask for a larger plan.";
                Self::new(unprocessable, "quota-exceeded", "Quota exceeded", detail, hint)
            }
            CreateError::TenantDeleting => Self::tenant_deleting(),
            CreateError::IdempotencyMismatch => {
                let detail = "This form was sent before, with other values.";
                let hint = "The session that it started is in the list. Start another one with a new form.";
                Self::new(unprocessable, "idempotency-mismatch", "Form sent before", detail, hint)
            }
        }
    }
}

impl From<RerunError> for Refusal {
    fn from(error: RerunError) -> Self {
        match error {
            RerunError::Create(error) => error.into(),
            RerunError::NotOver { state, .. } => {
                let detail = format!("The session is {state}: only one that is over is run again.");
                let hint = "Wait until it is over, or stop it.";
                let title = "Session is not over";
                Self::new(StatusCode::CONFLICT, "session-not-over", title, detail, hint)
            }
        }
    }
}

impl From<OutputError> for Refusal {
    fn from(error: OutputError) -> Self {
        match error {
            OutputError::Find(error) => error.into(),
            OutputError::Blob(error) => Self::broken(&error),
            OutputError::NoSuchPart { size } => {
                let detail = format!("The file has {size} bytes and ends before that.");
                let (status, title) = (StatusCode::RANGE_NOT_SATISFIABLE, "No such range");
                Self::new(status, "range-not-satisfiable", title, detail, "")
            }
        }
    }
}
