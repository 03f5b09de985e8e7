use application::{
    blobs::{PieceError, WriteError},
    run::{AppendError, OutputError, RunError},
};
use axum::{
    body::Body,
    http::{
        HeaderName, StatusCode,
        header::{CONNECTION, CONTENT_TYPE, HeaderValue},
    },
    response::{IntoResponse, Response},
};
use serde_json::json;

/// How many bytes of an upload are there: draft-ietf-httpbis-resumable-upload, section 4.1.1.
pub(crate) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// A refusal as RFC 9457 has it.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    /// The number of the log line, or of the byte, that is expected.
    next: Option<u64>,
    /// Where an upload goes on.
    offset: Option<u64>,
}

impl Problem {
    /// What was sent is not in its form.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-input", detail)
    }

    /// No run in progress has this token.
    pub(crate) fn unauthorized() -> Self {
        let detail = "no run in progress has this token";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// The body is compressed. Nothing here is unpacked: a few bytes could become gigabytes.
    pub(crate) fn packed() -> Self {
        let detail = "bodies are taken as they are: leave out Content-Encoding";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-encoding", detail)
    }

    /// Other bytes than these have their turn.
    pub(crate) fn gap(next: u64, detail: impl Into<String>) -> Self {
        Self { next: Some(next), ..Self::new(StatusCode::CONFLICT, "gap", detail) }
    }

    /// The run has more connections than runners make.
    pub(crate) fn too_many_connections() -> Self {
        let detail = "this run has too many connections; close one and try again";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-connections", detail)
    }

    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), next: None, offset: None }
    }

    /// Something of ours failed: it is logged, and the caller learns that it is worth another try.
    fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "a report of a run failed");
        let detail = "Warren could not do it now; try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "internal", detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, code, detail, next, offset } = self;
        let title = status.canonical_reason().unwrap_or("Problem");
        let mut problem = json!({
            "type": format!("urn:warren:problem:{code}"),
            "title": title,
            "status": status.as_u16(),
            "detail": detail,
            "code": code,
        });
        if let Some(next) = next {
            problem["next"] = next.into();
        }
        let mut response = Response::new(Body::from(problem.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if let Some(offset) = offset {
            headers.insert(UPLOAD_OFFSET, offset.into());
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS].contains(&status) {
            // Who has no token, or too many connections, does not keep this one.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<RunError> for Problem {
    fn from(error: RunError) -> Self {
        match error {
            RunError::NoRun => Self::unauthorized(),
            RunError::NoInput => Self::new(StatusCode::NOT_FOUND, "not-found", error.to_string()),
            RunError::InputGone { .. } => {
                Self::new(StatusCode::GONE, "input-gone", error.to_string())
            }
            RunError::Store(_) | RunError::Blob(_) => Self::internal(&error),
        }
    }
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Run(error) => error.into(),
            AppendError::Gap { next } => {
                let problem = Self::new(StatusCode::CONFLICT, "log-gap", error.to_string());
                Self { next: Some(next), ..problem }
            }
            AppendError::Compress(_) => Self::internal(&error),
            AppendError::Malformed { .. } => Self::invalid(error.to_string()),
        }
    }
}

impl From<OutputError> for Problem {
    fn from(error: OutputError) -> Self {
        match error {
            OutputError::Run(error) => error.into(),
            OutputError::NotJson { .. }
            | OutputError::TooLarge
            | OutputError::TooDeep
            | OutputError::TooMany
            | OutputError::NoRoom { .. }
            | OutputError::Path => Self::invalid(error.to_string()),
            OutputError::Write(error) | OutputError::Piece(PieceError::Write(error)) => {
                error.into()
            }
            OutputError::Piece(PieceError::Offset { expected, .. }) => {
                let problem = Self::new(StatusCode::CONFLICT, "upload-offset", error.to_string());
                Self { offset: Some(expected), ..problem }
            }
            OutputError::Piece(PieceError::TakenOver) => {
                Self::new(StatusCode::CONFLICT, "upload-taken-over", error.to_string())
            }
        }
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::DigestMismatch { .. } | WriteError::TooLarge { .. } => {
                Self::invalid(error.to_string())
            }
            WriteError::Interrupted(_) | WriteError::Stalled { .. } => {
                Self::new(StatusCode::REQUEST_TIMEOUT, "interrupted", error.to_string())
            }
            WriteError::Blob(error) => Self::internal(&error),
        }
    }
}
