//! Errors as callers see them: `application/problem+json` (RFC 9457).
//!
//! What happened inside is logged here, once, and never told.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{Invalid, InvalidField};
use serde::Serialize;
use std::{any::Any, fmt::Display};
use utoipa::ToSchema;

mod code;
mod refused;

pub use code::Code;
pub(crate) use refused::too_large;

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    code: Code,
    detail: String,
    errors: Vec<FieldProblem>,
    hint: Option<String>,
}

/// Why a request was refused (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// The address of the page about this code.
    #[serde(rename = "type")]
    #[schema(examples("https://warren.dev/problems/invalid-input"))]
    kind: String,
    /// The code in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened this time.
    detail: String,
    /// A stable word for programs.
    #[schema(schema_with = code::schema)]
    code: &'static str,
    /// Names the request in the server's log; also in the header `x-request-id`.
    #[serde(skip_serializing_if = "str::is_empty")]
    #[schema(required)]
    request_id: String,
    /// Every field that breaks a rule.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldProblem>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// A field that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldProblem {
    /// A JSON Pointer (RFC 6901) into the body, empty for all of it; `?name` for a query parameter, `{name}` for a part
    /// of the path, or the name of a header.
    #[schema(examples("/resources/memory"))]
    pub field: String,
    /// What was sent, shortened to 100 characters.
    pub value: String,
    /// The rule.
    pub rule: String,
}

impl Problem {
    /// A problem with the usual detail of its code.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Self::with_detail(code, code.detail())
    }

    /// A problem with a detail of its own.
    #[must_use]
    pub fn with_detail(code: Code, detail: impl Into<String>) -> Self {
        let hint = code.hint().map(str::to_owned);
        Self { code, detail: detail.into(), errors: Vec::new(), hint }
    }

    /// A problem that lists the fields that break rules.
    #[must_use]
    pub fn with_fields(code: Code, invalid: Invalid) -> Self {
        let count = invalid.fields.len();
        let detail = match count {
            1 => "1 field breaks a rule; see errors.".to_owned(),
            _ => format!("{count} fields break a rule; see errors."),
        };
        let mut problem = Self::with_detail(code, detail);
        problem.errors = invalid.fields.into_iter().map(FieldProblem::from).collect();
        problem
    }

    /// Names the one field that is wrong, beside a detail that says it in a sentence.
    #[must_use]
    pub(crate) fn field(mut self, field: &str, value: impl Display, rule: String) -> Self {
        let invalid = Invalid::field(field, value, rule);
        self.errors.extend(invalid.fields.into_iter().map(FieldProblem::from));
        self
    }

    pub(crate) fn no_such_route(path: &str) -> Self {
        let path: String = path.chars().take(200).collect();
        Self::with_detail(Code::NoSuchRoute, format!("There is nothing at {path}."))
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The body, with the name of the request.
    pub(crate) fn body(&self, request_id: &str) -> Vec<u8> {
        let body = ProblemBody {
            kind: self.code.url(),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: self.detail.clone(),
            code: self.code.as_str(),
            request_id: request_id.to_owned(),
            errors: self.errors.clone(),
            hint: self.hint.clone(),
        };
        serde_json::to_vec(&body).expect("texts and numbers can be written as JSON")
    }
}

impl From<InvalidField> for FieldProblem {
    fn from(InvalidField { field, value, rule }: InvalidField) -> Self {
        Self { field, value, rule }
    }
}

impl IntoResponse for Problem {
    /// The layer around all handlers knows the request, and writes the body again with its name.
    fn into_response(self) -> Response {
        let mut response = (self.code.status(), self.body("")).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.code == Code::Unauthenticated {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"warren\""),
            );
        }
        if self.code.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// A panic is a bug: the caller learns only that there is one.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands over the box")]
pub(crate) fn of_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("not a text");
    tracing::error!(panic = message, "a handler panicked");
    Problem::new(Code::Internal).into_response()
}
