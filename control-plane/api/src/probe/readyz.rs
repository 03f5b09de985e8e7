//! `GET /readyz`

use crate::{extract::Parameters, problem::Problem, state::Api};
use application::doctor;
use axum::{extract::State, http::StatusCode};
use std::fmt::Write as _;

/// Whether requests can be served.
#[utoipa::path(
    get, path = "/readyz", tag = "platform", operation_id = "isReady",
    params(("verbose" = Option<bool>, Query, description = "One line for each thing that was looked at")),
    responses(
        (status = OK, description = "They can", content_type = "text/plain", body = String),
        (status = SERVICE_UNAVAILABLE, description = "They cannot", content_type = "text/plain", body = String),
    ),
)]
// public: says only what works.
pub(crate) async fn readyz(
    State(api): State<Api>,
    mut parameters: Parameters,
) -> Result<(StatusCode, String), Problem> {
    let read = |text: &str| if text.is_empty() { Some(true) } else { text.parse().ok() };
    let is_verbose = parameters.take("verbose", "nothing, true or false", read);
    parameters.finish()?;
    let checks = doctor::ready(&api.app).await;
    let is_ready = checks.iter().all(|check| check.is_ok);
    let mut text = String::new();
    for check in checks.iter().filter(|check| is_verbose.unwrap_or(!check.is_ok)) {
        let mark = if check.is_ok { '+' } else { '-' };
        writeln!(text, "[{mark}]{} {}", check.name, check.detail).expect("a text can grow");
    }
    text += if is_ready { "ok\n" } else { "not ready\n" };
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, text))
}
