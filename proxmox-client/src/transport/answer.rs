//! Reads answers.

use crate::{Call, Error, FieldFault, error::Source, fault::Fault};
use http::StatusCode;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::{Response, header};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::collections::BTreeMap;

/// What stands in a body, whatever the status.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Envelope {
    data: Value,
    total: Value,
    message: Option<String>,
    errors: BTreeMap<String, Value>,
}

/// An answer without a fault.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) data: Value,
    /// How many there are, of which these are some.
    pub(crate) total: Option<u64>,
    /// The server's clock, as the header `Date` gives it.
    date: Option<String>,
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    reason: Option<String>,
    date: Option<String>,
    body: Vec<u8>,
}

impl Answer {
    /// Reads what was answered as a `T`.
    pub(crate) fn read<T: DeserializeOwned>(self, call: &Call) -> Result<T, Error> {
        serde_json::from_value(self.data).map_err(|source| unreadable(call, source))
    }

    /// The server's clock in seconds of Unix time, if it tells it.
    pub(crate) fn time(&self) -> Option<u64> {
        self.date.as_deref().and_then(read_date)
    }
}

impl Reply {
    /// Reads a response to its end.
    pub(crate) async fn read(response: Response) -> Result<Self, reqwest::Error> {
        // The only place where releases before 8.4 say what is wrong.
        let reason = response.extensions().get::<hyper::ext::ReasonPhrase>();
        let reason = reason.map(|text| String::from_utf8_lossy(text.as_bytes()).into_owned());
        let date = response.headers().get(header::DATE);
        let date = date.and_then(|text| text.to_str().ok()).map(str::to_owned);
        let status = response.status();
        Ok(Self { status, reason, date, body: response.bytes().await?.to_vec() })
    }

    /// What the server says: its message, else its reason phrase, else what the status means.
    pub(crate) fn text(&self) -> String {
        let message = self.envelope().ok().and_then(|envelope| envelope.message);
        let text = message.filter(|text| !text.trim().is_empty()).or_else(|| self.reason.clone());
        let text = text.or_else(|| self.status.canonical_reason().map(str::to_owned));
        text.unwrap_or_default().trim().to_owned()
    }

    fn envelope(&self) -> Result<Envelope, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// The answer, or the fault that it tells.
    pub(crate) fn judge(self, call: &Call) -> Result<Answer, Error> {
        if self.status.is_success() {
            let envelope = self.envelope().map_err(|source| unreadable(call, source))?;
            let total = envelope.total.as_u64().or_else(|| envelope.total.as_str()?.parse().ok());
            return Ok(Answer { data: envelope.data, total, date: self.date });
        }
        let errors = self.envelope().map(|envelope| envelope.errors).unwrap_or_default();
        let field = |(field, text): (String, Value)| FieldFault {
            field,
            text: text.as_str().map_or_else(|| text.to_string(), |text| text.trim().to_owned()),
        };
        let fields: Vec<FieldFault> = errors.into_iter().map(field).collect();
        let mut text = self.text();
        for fault in &fields {
            text = if text.is_empty() { fault.to_string() } else { format!("{text} {fault}") };
        }
        let status = self.status.as_u16();
        let fault = Fault::of_answer(status, &text, fields);
        Err(Error::Refused { call: call.clone(), status, fault, text })
    }
}

/// Seconds of Unix time from the header `Date` (RFC 9110, section 5.6.7).
fn read_date(text: &str) -> Option<u64> {
    let timestamp = DateTimeParser::new().parse_timestamp(text).ok()?;
    u64::try_from(timestamp.as_second()).ok()
}

fn unreadable(call: &Call, source: impl Into<Source>) -> Error {
    Error::Unreadable { call: call.clone(), source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_an_answer_is_read() {
        assert_eq!(read_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(read_date("yesterday"), None);
    }
}
