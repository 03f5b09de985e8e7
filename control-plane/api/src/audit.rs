//! The audit log.

use crate::{extract::Parameters, openapi::words, page::PageQuery, problem::Problem};
use application::{
    StoreError,
    audit::{AuditView, Wanted, is_action},
};
use axum::{
    body::Body,
    http::header,
    response::{IntoResponse as _, Response},
};
use domain::{AuditId, Role, Subject};
use futures::Stream;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

pub(crate) mod export;
pub(crate) mod list;
pub(crate) mod tenant;

/// Who did what, and when.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditEntry)]
pub(crate) struct AuditBody {
    id: String,
    at: Timestamp,
    /// The token or account; nothing if Warren did it by itself.
    subject: Option<String>,
    /// What people call that token or account; nothing if it is gone.
    who: Option<String>,
    /// What they were where they did it.
    #[schema(schema_with = words::optional_role)]
    role: Option<&'static str>,
    tenant: Option<String>,
    organisation: Option<String>,
    /// What was done.
    #[schema(examples("tenant.delete"))]
    action: String,
    /// To what: an identifier.
    target: String,
    /// The request, as in the header `x-request-id`; empty if there was none.
    request_id: String,
    /// Its number in the chain of seals; nothing in the moment before it is sealed.
    #[schema(minimum = 1)]
    sequence: Option<i64>,
}

/// What is looked for.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes to the OpenAPI document what `wanted` takes")]
pub(crate) struct WantedParams {
    /// Only what this token or account did.
    #[param(example = "acc_01980000000070008000000000000000")]
    subject: Option<String>,
    /// Only this action, or those that begin with it and a dot.
    #[param(example = "tenant")]
    action: Option<String>,
}

/// Reads what is looked for and which page of it; and the same as the rest of a query.
pub(crate) fn wanted(
    mut parameters: Parameters,
) -> Result<(PageQuery<AuditId>, Wanted, String), Problem> {
    let page = PageQuery::take(&mut parameters);
    let rule = "the id of a token or an account: tok_… or acc_…";
    let subject = parameters.take("subject", rule, Subject::parse);
    let rule = "1 to 64 lower-case letters, dots, - and _, e.g. tenant or tenant.delete";
    let action = parameters.take("action", rule, |text| is_action(text).then(|| text.to_owned()));
    parameters.finish()?;
    let by = subject.map(|subject| format!("&subject={subject}")).unwrap_or_default();
    let done = action.as_ref().map(|action| format!("&action={action}")).unwrap_or_default();
    Ok((page, Wanted { subject, action }, by + &done))
}

/// The lines as a file.
fn file(lines: impl Stream<Item = Result<String, StoreError>> + Send + 'static) -> Response {
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

impl From<AuditView> for AuditBody {
    fn from(AuditView { entry, who }: AuditView) -> Self {
        Self {
            id: entry.id.to_string(),
            at: entry.at,
            subject: entry.subject.map(|subject| subject.to_string()),
            who,
            role: entry.role.map(Role::as_str),
            tenant: entry.tenant.map(|tenant| tenant.to_string()),
            organisation: entry.organisation.map(|organisation| organisation.to_string()),
            action: entry.action,
            target: entry.target,
            request_id: entry.request_id,
            sequence: entry.sequence,
        }
    }
}
