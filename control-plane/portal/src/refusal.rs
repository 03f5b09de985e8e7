//! Why a page is not shown, or a form was not taken.

use application::{
    access::AccessError,
    error::{FindError, Noun},
    password::HashError,
    tenant::{CreateError, ReachError},
    token,
};
use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use domain::Invalid;
use std::error::Error;

/// A refusal as a person reads it; its codes are those of the API.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// Stable, in kebab-case.
    pub(crate) code: &'static str,
    /// A few words.
    pub(crate) title: &'static str,
    /// What happened.
    pub(crate) detail: String,
    /// What to do; empty if there is nothing.
    pub(crate) hint: String,
}

impl Refusal {
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { status, code, title, detail: detail.into(), hint: hint.into() }
    }

    pub(crate) fn no_such_page() -> Self {
        let detail = "There is nothing at this address, or you may not see it.";
        let hint = "Check the address, or go on from the overview.";
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail, hint)
    }

    /// It is there, for others; their form is not shown.
    pub(crate) fn not_for_you() -> Self {
        let detail = "Your role may not do this.";
        let hint = "Ask an owner of the tenant, or an operator, to do it.";
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail, hint)
    }

    pub(crate) fn cross_site() -> Self {
        let detail = "The form was sent by another site. Nothing was changed.";
        let hint = "Open the page here and send its form again.";
        Self::new(StatusCode::FORBIDDEN, "cross-site", "Sent by another site", detail, hint)
    }

    pub(crate) fn unreadable_form() -> Self {
        let detail = "The form could not be read. Nothing was changed.";
        let hint = "Go back, reload the page, and send it again.";
        Self::new(StatusCode::BAD_REQUEST, "malformed-form", "Form not readable", detail, hint)
    }

    pub(crate) fn internal() -> Self {
        let detail = "Something broke inside. It is in the log under the request's id.";
        let hint = "Try again. If it stays, tell an operator the request's id.";
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "internal", "Internal error", detail, hint)
    }

    pub(crate) fn tenant_deleting() -> Self {
        let detail = "The tenant is being deleted and takes nothing new.";
        Self::new(StatusCode::CONFLICT, "tenant-deleting", "Tenant is being deleted", detail, "")
    }

    /// Fields break rules, on a form that has no place to say which.
    pub(crate) fn invalid(invalid: &Invalid) -> Self {
        let title = "Invalid input";
        let hint = "Nothing was changed. Go back, correct the fields, and send it again.";
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, "invalid-input", title, format!("{invalid}."), hint)
    }

    /// Logs what broke, and tells only that something did.
    pub(crate) fn broken(error: &(dyn Error + 'static)) -> Self {
        tracing::error!(error, "a page failed");
        Self::internal()
    }

    fn missing(noun: Noun) -> Self {
        let detail = match noun {
            Noun::Tenant => "There is no such tenant, or you may not see it.",
            Noun::Session => "There is no such session in this tenant.",
            Noun::Operation => "There is no such operation, or you may not see it.",
            Noun::Token => "There is no such token.",
            Noun::Node => "There is no such node of this tenant.",
            Noun::Result => "The session has left no result (yet).",
            Noun::Artifact => "The session has left no file of that path (yet).",
            Noun::Organisation => "There is no such organisation, or you are not in it.",
            Noun::Member => "There is nobody like that in it.",
            Noun::Invite => "There is no such invite: it was followed, taken back, or is too old.",
            Noun::SignIn => "You are not signed in there.",
            Noun::Blob | Noun::PlanChange | Noun::PlanBatch | Noun::Orphan | Noun::Page => {
                "There is no such thing, or you may not see it."
            }
        };
        Self { detail: detail.to_owned(), ..Self::no_such_page() }
    }
}

impl IntoResponse for Refusal {
    /// The layer around all pages knows the request, and writes the page.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<HashError> for Refusal {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => {
                let detail = "Too many people sign in just now. Nothing was changed.";
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self::new(status, "busy", "Busy", detail, "Try again in some seconds.")
            }
            error @ HashError::Broken(_) => Self::broken(&error),
        }
    }
}

impl From<FindError> for Refusal {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Missing(noun) => Self::missing(noun),
            FindError::Forbidden { role } => {
                let detail = format!("The role {role} may not do this.");
                let hint = "Ask an owner of the tenant for a role that may.";
                Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail, hint)
            }
            FindError::Expired { removed_at, plan, .. } => {
                let detail = format!("It was removed at {removed_at:.0}: its time was over.");
                let hint = format!("Plan {plan} says how long what a session leaves is kept.");
                Self::new(StatusCode::GONE, "expired", "Not kept any longer", detail, hint)
            }
            FindError::Store(error) => Self::broken(&error),
        }
    }
}

impl From<CreateError> for Refusal {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Find(error) => error.into(),
            CreateError::Invalid(invalid) => Self::invalid(&invalid),
            CreateError::NameTaken(name) => {
                let detail = format!("A tenant has the name {name}.");
                let hint = "Choose another name.";
                Self::new(StatusCode::CONFLICT, "name-taken", "Name taken", detail, hint)
            }
            CreateError::TooMany { name, most } => {
                let detail =
                    format!("The organisation {name} may have {most} tenants, and has them.");
                let hint = "Delete one that nobody needs, or ask an operator for more.";
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Self::new(status, "quota-exceeded", "Quota exceeded", detail, hint)
            }
            CreateError::IdempotencyMismatch => {
                let detail = "This form was sent before, with other values.";
                let hint = "Nothing was changed. Start again with a new form.";
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Self::new(status, "idempotency-mismatch", "Form sent before", detail, hint)
            }
        }
    }
}

impl From<ReachError> for Refusal {
    fn from(error: ReachError) -> Self {
        let conflict = StatusCode::CONFLICT;
        match error {
            ReachError::Find(error) => error.into(),
            ReachError::Deleting => Self::tenant_deleting(),
            ReachError::Access(AccessError::NotReady { reason }) => {
                let hint = "Watch the tenant's operation, and try again when it is done.";
                Self::new(conflict, "tenant-not-ready", "Tenant is not ready", reason, hint)
            }
            ReachError::Access(error @ AccessError::Unreachable(_)) => {
                tracing::warn!(error = &error as &dyn Error, "a cluster cannot be reached");
                let (status, code) = (StatusCode::SERVICE_UNAVAILABLE, "cluster-unreachable");
                let detail = "The cluster does not answer.";
                Self::new(status, code, "Cluster unreachable", detail, "Try again in some seconds.")
            }
            ReachError::Access(error @ AccessError::Internal(_)) => Self::broken(&error),
        }
    }
}

impl From<token::CreateError> for Refusal {
    fn from(error: token::CreateError) -> Self {
        match error {
            token::CreateError::Find(error) => error.into(),
            token::CreateError::Invalid(invalid) => Self::invalid(&invalid),
        }
    }
}

impl From<token::RevokeError> for Refusal {
    fn from(error: token::RevokeError) -> Self {
        match error {
            token::RevokeError::Find(error) => error.into(),
            token::RevokeError::LastOperator => {
                let detail = "It is the last token of an operator: without it nobody could run the platform.";
                let (title, hint) = ("Last operator", "Make another one first.");
                Self::new(StatusCode::CONFLICT, "last-operator", title, detail, hint)
            }
        }
    }
}
