//! JSON bodies.

use super::{Field as _, Record, RetryKey};
use crate::{
    caller::Caller,
    problem::{Code, Problem, too_large},
};
use application::{Draft, IdempotencyKey};
use axum::{
    body::to_bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, header, request::Parts},
};
use bytes::Bytes;
use domain::Invalid;
use serde_json::{Map, Value, error::Category};
use sha2::{Digest as _, Sha256};
use std::{error::Error, time::Duration};

/// A JSON body of known fields.
#[derive(Debug)]
pub(crate) struct Body<T> {
    pub(crate) draft: Draft<T>,
    /// Of the method, the path and the JSON value: spaces and the order of fields do not matter.
    digest: [u8; 32],
}

/// A JSON body of known fields, none of which is needed: no bytes and `null` are an object without fields.
#[derive(Debug)]
pub(crate) struct OptionalBody<T>(pub(crate) Body<T>);

impl<T> Body<T> {
    /// The largest body, in bytes.
    const MAX_BYTES: usize = 1 << 20;
    /// How long a body may take.
    const TIME: Duration = Duration::from_secs(30);

    /// What a repetition of this request is known by.
    pub(crate) fn key(&self, caller: &Caller, key: RetryKey) -> Option<IdempotencyKey> {
        let actor = caller.actor.subject;
        key.0.map(|key| IdempotencyKey { actor, key, request_digest: self.digest })
    }

    /// What was sent, in the use case's words.
    pub(crate) fn into_draft<U: From<T>>(self) -> Draft<U> {
        let Draft { value, invalid } = self.draft;
        Draft { value: value.into(), invalid }
    }
}

impl<T: Record> Body<T> {
    async fn bytes(parts: &Parts, body: axum::body::Body) -> Result<Bytes, Problem> {
        let announced = announced(&parts.headers);
        let bytes = tokio::time::timeout(Self::TIME, to_bytes(body, Self::MAX_BYTES)).await;
        let bytes = bytes.map_err(|_| Problem::new(Code::RequestTimeout))?;
        bytes.map_err(|error| unread(&error, announced, Self::MAX_BYTES))
    }

    fn of(parts: &Parts, value: Value) -> Self {
        let digest = digest(parts, &value);
        let mut invalid = Invalid::default();
        let value = T::read(value, "", &mut invalid);
        Self { draft: Draft { value, invalid }, digest }
    }
}

impl<S: Send + Sync, T: Record> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        need_json(&parts.headers)?;
        let bytes = Self::bytes(&parts, body).await?;
        Ok(Self::of(&parts, parsed(&bytes)?))
    }
}

impl<S: Send + Sync, T: Record> FromRequest<S> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = Body::<T>::bytes(&parts, body).await?;
        let value = if bytes.is_empty() {
            Value::Null
        } else {
            need_json(&parts.headers)?;
            parsed(&bytes)?
        };
        let value = if value.is_null() { Value::Object(Map::new()) } else { value };
        Ok(Self(Body::of(&parts, value)))
    }
}

fn need_json(headers: &HeaderMap) -> Result<(), Problem> {
    if is_packed(headers) {
        Err(packed())
    } else if is_json(headers) {
        Ok(())
    } else {
        Err(Problem::new(Code::UnsupportedMediaType))
    }
}

fn parsed(bytes: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(bytes).map_err(|error| malformed(&error, bytes))
}

/// Whether a body is not what it looks like. Nothing is unpacked: a few bytes could become gigabytes.
pub(crate) fn is_packed(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity")
}

pub(crate) fn packed() -> Problem {
    let detail = "Bodies are taken as they are, not compressed.";
    Problem::with_detail(Code::UnsupportedMediaType, detail).hint("Leave out Content-Encoding.")
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn unread(error: &axum::Error, announced: Option<u64>, limit: usize) -> Problem {
    let is_limit = error.source().is_some_and(|source| source.to_string().contains("limit"));
    if is_limit { too_large(announced, limit as u64) } else { Problem::new(Code::BodyInterrupted) }
}

/// Shows the line that is wrong; which of its bytes are no text does not matter.
fn malformed(error: &serde_json::Error, body: &[u8]) -> Problem {
    let (line, column) = (error.line(), error.column());
    let detail = match error.classify() {
        Category::Eof => format!("The body ends too early, at line {line}, column {column}."),
        Category::Syntax | Category::Data | Category::Io => {
            let text = error.to_string();
            let what = text.split(" at line ").next().unwrap_or_default();
            format!("The body is not JSON at line {line}, column {column}: {what}.")
        }
    };
    let wrong = body.split(|byte| *byte == b'\n').nth(line.saturating_sub(1)).unwrap_or_default();
    let wrong = String::from_utf8_lossy(wrong);
    let rule = "one JSON object, and nothing after it".to_owned();
    Problem::with_detail(Code::MalformedJson, detail).field("", wrong.trim(), rule)
}

fn digest(parts: &Parts, value: &Value) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [parts.method.as_str(), parts.uri.path()] {
        hash.update(part);
        hash.update([0]);
    }
    // The fields of an object are written in the order of their names.
    hash.update(Bytes::from(value.to_string()));
    hash.finalize().into()
}
