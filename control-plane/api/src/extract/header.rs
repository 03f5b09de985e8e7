//! Headers that change how a request is served.

use crate::problem::{Code, Problem};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, request::Parts},
    response::{IntoResponseParts, ResponseParts},
};
use domain::Invalid;
use std::{convert::Infallible, time::Duration};

/// `Idempotency-Key`: a repetition with the same key gets the first answer again.
///
/// Source: IETF draft-ietf-httpapi-idempotency-key-header-06; quotes around the key may be missing.
#[derive(Debug)]
pub(crate) struct RetryKey(pub(crate) Option<String>);

/// `Prefer: wait=N` (RFC 7240): answer later, when the work is done, at most after N seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Preference(pub(crate) Option<Duration>);

impl RetryKey {
    /// For requests whose answer cannot be given again.
    pub(crate) fn refuse(self) -> Result<(), Problem> {
        match self.0 {
            None => Ok(()),
            Some(_) => Err(Problem::new(Code::IdempotencyUnsupported)),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RetryKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default().trim();
        let key = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
        let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if (1..=255).contains(&key.len()) && key.bytes().all(is_plain) {
            return Ok(Self(Some(key.to_owned())));
        }
        let rule = "1 to 255 visible ASCII characters, without quotes and backslashes inside";
        Err(invalid("Idempotency-Key", text, rule))
    }
}

impl Preference {
    /// The longest wait. Longer ones are shortened; the answer says so.
    const MAX: Duration = Duration::from_mins(1);

    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        for preference in values.flat_map(|value| value.split([',', ';'])) {
            let Some((name, value)) = preference.split_once('=') else { continue };
            if name.trim().eq_ignore_ascii_case("wait") {
                let value = value.trim().trim_matches('"');
                let seconds = value
                    .parse()
                    .map_err(|_| invalid("Prefer", value, "wait= and a whole number of seconds"))?;
                return Ok(Self(Some(Duration::from_secs(seconds).min(Self::MAX))));
            }
        }
        Ok(Self(None))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Preference {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(&parts.headers)
    }
}

impl IntoResponseParts for Preference {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        if let Some(time) = self.0 {
            let value = HeaderValue::from_str(&format!("wait={}", time.as_secs())).ok();
            let applied = value.map(|value| (HeaderName::from_static("preference-applied"), value));
            parts.headers_mut().extend(applied);
        }
        Ok(parts)
    }
}

fn invalid(name: &str, value: &str, rule: &str) -> Problem {
    Problem::with_fields(Code::InvalidHeader, Invalid::field(name, value, rule))
}
