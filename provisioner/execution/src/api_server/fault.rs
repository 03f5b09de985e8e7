use super::Place;
use http::StatusCode;
use hyper_util::client::legacy;
use planning::Key;
use serde_json::Value;
use std::{error::Error, fmt, time::Duration};

/// A request to an API server that did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[error("{verb} {key} on the {place}: {fault}")]
pub(crate) struct ApiError {
    verb: &'static str,
    key: String,
    place: Place,
    pub(crate) fault: Fault,
}

/// What went wrong.
#[derive(Debug)]
pub(crate) enum Fault {
    /// No connection: nothing was sent.
    Unreachable(Box<dyn Error + Send + Sync>),
    /// No answer, or half of one: it may have been done or not.
    NoAnswer(Option<Box<dyn Error + Send + Sync>>),
    /// An answer that is not JSON.
    Unreadable,
    /// The API server said no.
    Refused(Refusal),
}

/// What the API server said instead of yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// Its word for it, e.g. `AlreadyExists`.
    pub(crate) reason: String,
    /// Its sentence.
    pub(crate) message: String,
    /// When to come back.
    pub(crate) retry_after: Option<Duration>,
}

impl ApiError {
    pub(super) fn new(verb: &'static str, key: &Key, place: Place, fault: Fault) -> Self {
        Self { verb, key: key.to_string(), place, fault }
    }

    /// The same for what a typed client met with.
    pub(crate) fn of_client(
        verb: &'static str,
        key: &Key,
        place: Place,
        error: kube::Error,
    ) -> Self {
        let fault = if let kube::Error::Api(status) = error {
            let seconds = status.details.as_ref().map_or(0, |d| d.retry_after_seconds);
            Fault::Refused(Refusal {
                status: StatusCode::from_u16(status.code).unwrap_or_default(),
                reason: status.reason.clone(),
                message: status.message.clone(),
                retry_after: (seconds > 0).then(|| Duration::from_secs(seconds.into())),
            })
        } else {
            Fault::of_transport(error)
        };
        Self::new(verb, key, place, fault)
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.status == StatusCode::NOT_FOUND)
    }

    /// An object of that name is there already.
    pub(crate) fn is_already_there(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.reason == "AlreadyExists")
    }

    /// Whether the request may have been carried out although no answer came.
    pub(crate) fn is_outcome_unknown(&self) -> bool {
        matches!(self.fault, Fault::NoAnswer(_) | Fault::Unreadable)
    }

    /// The API server looked at the object and will not have it: trying again changes nothing.
    pub(crate) fn is_denied(&self) -> bool {
        self.refusal().is_some_and(|refusal| {
            let said_no = [StatusCode::FORBIDDEN, StatusCode::UNPROCESSABLE_ENTITY];
            said_no.contains(&refusal.status)
                || (refusal.status == StatusCode::BAD_REQUEST && refusal.reason == "BadRequest")
        })
    }

    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match &self.fault {
            Fault::Refused(refusal) => Some(refusal),
            Fault::Unreachable(_) | Fault::NoAnswer(_) | Fault::Unreadable => None,
        }
    }

    /// When the API server wants to be asked again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.refusal().and_then(|refusal| refusal.retry_after)
    }

    /// One word in `CamelCase` for conditions.
    pub(crate) fn reason(&self) -> &'static str {
        match &self.fault {
            Fault::Unreachable(_) => "Unreachable",
            Fault::NoAnswer(_) => "NoAnswer",
            Fault::Unreadable => "UnreadableAnswer",
            Fault::Refused(refusal) => match refusal.status.as_u16() {
                401 => "Unauthorized",
                403 => "Forbidden",
                404 => "NotFound",
                409 => "Conflict",
                422 => "Invalid",
                429 => "TooManyRequests",
                500.. => "ServerError",
                _ => "Refused",
            },
        }
    }
}

impl Fault {
    pub(super) fn of_transport(error: kube::Error) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(current) = cause {
            if current.downcast_ref::<legacy::Error>().is_some_and(legacy::Error::is_connect) {
                return Self::Unreachable(Box::new(error));
            }
            cause = current.source();
        }
        Self::NoAnswer(Some(Box::new(error)))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(source) => {
                write!(f, "no connection ({})", innermost(source.as_ref()))
            }
            Self::NoAnswer(Some(source)) => write!(f, "no answer ({})", innermost(source.as_ref())),
            Self::NoAnswer(None) => f.write_str("no answer in time"),
            Self::Unreadable => f.write_str("an answer that is not JSON"),
            Self::Refused(refusal) => {
                write!(f, "{} {}", refusal.status.as_u16(), refusal.message)
            }
        }
    }
}

/// The deepest cause says what happened; the layers above only say where.
fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

impl Refusal {
    /// Reads a `Status` object (Kubernetes API conventions, section "Response Status Kind").
    pub(super) fn read(status: StatusCode, body: &[u8], retry_after: Option<Duration>) -> Self {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let seconds = value.pointer("/details/retryAfterSeconds").and_then(Value::as_u64);
        Self {
            status,
            reason: text("reason").unwrap_or_default(),
            message: text("message")
                .unwrap_or_else(|| status.canonical_reason().unwrap_or("refused").to_owned()),
            retry_after: retry_after.or(seconds.filter(|s| *s > 0).map(Duration::from_secs)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;
    use planning::Kind;

    #[test]
    fn what_a_typed_client_met_with_names_verb_and_object_and_when_to_come_back() {
        let status: Status = serde_json::from_value(serde_json::json!({
            "code": 429, "reason": "TooManyRequests", "message": "later",
            "details": { "retryAfterSeconds": 7 },
        }))
        .expect("a status");
        let key = Key::namespaced(Kind::Service, "warren-w", "w");
        let error =
            ApiError::of_client("get", &key, Place::Host, kube::Error::Api(Box::new(status)));
        assert_eq!(error.to_string(), "get Service warren-w/w on the host cluster: 429 later");
        assert_eq!(error.reason(), "TooManyRequests");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    }
}
