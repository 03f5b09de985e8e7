//! Answers: what a call leads to, as it stands on the wire.

use rand::Rng;
use rand::seq::SliceRandom as _;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::failure::Failure;
use crate::release::Release;

/// What a call answers.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Reply {
    pub(crate) data: Value,
    /// Stands beside the data of lists that are given in pieces.
    pub(crate) total: Option<usize>,
}

impl From<Value> for Reply {
    fn from(data: Value) -> Self {
        Self { data, total: None }
    }
}

/// How the client wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    /// For the web interface: always 200, with `success`.
    Extjs,
}

/// An answer that only has to be written.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) body: Vec<u8>,
    pub(crate) location: Option<String>,
}

impl Answer {
    pub(crate) fn bare(status: u16, reason: &str) -> Self {
        Self { status, reason: reason.into(), body: Vec::new(), location: None }
    }

    /// Renders what a call led to.
    pub(crate) fn render(
        outcome: &Result<Reply, Failure>,
        format: Format,
        release: Release,
        random: &mut impl Rng,
    ) -> Self {
        let (mut status, mut reason, mut body) = match outcome {
            Ok(reply) => {
                let mut body = json!({"data": reply.data});
                if let Some(total) = reply.total {
                    body["total"] = json!(total);
                }
                (200, "OK".to_owned(), body)
            }
            Err(failure) if failure.is_bare => {
                return Self::bare(failure.status, &failure.reason);
            }
            Err(failure) => {
                let mut body = json!({"data": null});
                if release.has_message() {
                    body["message"] = json!(failure.reason);
                }
                if !failure.errors.is_empty() {
                    body["errors"] = json!(failure.errors);
                }
                (failure.status, failure.reason.clone(), body)
            }
        };
        if format == Format::Extjs {
            body["success"] = json!(u8::from(outcome.is_ok()));
            if let Err(failure) = outcome {
                body["status"] = json!(failure.status);
                body["message"] = json!(failure.reason);
            }
            (status, reason) = (200, "OK".into());
        }
        let mut text = String::new();
        write_shuffled(&body, &mut text, random);
        Self { status, reason, body: text.into_bytes(), location: None }
    }

    /// The bytes on the wire. The reason ends at its first line break. `now_s` is what the daemon's clock shows,
    /// in seconds since 1970.
    pub(crate) fn encode(&self, is_closing: bool, now_s: Option<u64>) -> Vec<u8> {
        let reason = self.reason.lines().next().unwrap_or_default();
        let connection = if is_closing { "close" } else { "Keep-Alive" };
        let mut head = format!(
            "HTTP/1.1 {} {reason}\r\nCache-Control: max-age=0\r\nConnection: {connection}\r\n\
             Pragma: no-cache\r\nServer: pve-api-daemon/3.0\r\nContent-Length: {}\r\n",
            self.status,
            self.body.len()
        );
        if let Some(date) = now_s.and_then(date) {
            head.push_str(&date);
        }
        if !self.body.is_empty() {
            head.push_str("Content-Type: application/json;charset=UTF-8\r\n");
        }
        if let Some(location) = &self.location {
            head.push_str("Location: ");
            head.push_str(location);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// The header that says what time it is (RFC 9110, section 5.6.7).
fn date(now_s: u64) -> Option<String> {
    let now = OffsetDateTime::from_unix_timestamp(i64::try_from(now_s).ok()?).ok()?;
    let (weekday, month) = (now.weekday().to_string(), now.month().to_string());
    let (day, year) = (now.day(), now.year());
    let (hour, minute, second) = now.to_hms();
    let (weekday, month) = (&weekday[..3], &month[..3]);
    Some(format!(
        "Date: {weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT\r\n"
    ))
}

/// Writes JSON with the keys of objects in any order, as the daemon does.
fn write_shuffled(value: &Value, text: &mut String, random: &mut impl Rng) {
    match value {
        Value::Object(map) => write_object(map, text, random),
        Value::Array(list) => {
            text.push('[');
            for (index, item) in list.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_shuffled(item, text, random);
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string());
        }
    }
}

fn write_object(map: &Map<String, Value>, text: &mut String, random: &mut impl Rng) {
    let mut entries: Vec<_> = map.iter().collect();
    entries.shuffle(random);
    text.push('{');
    for (index, (key, value)) in entries.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&Value::String(key.clone()).to_string());
        text.push(':');
        write_shuffled(value, text, random);
    }
    text.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    fn rendered(outcome: &Result<Reply, Failure>, format: Format, release: Release) -> Answer {
        Answer::render(outcome, format, release, &mut StdRng::seed_from_u64(1))
    }

    #[test]
    fn the_text_of_an_error_is_the_reason_up_to_its_first_line_break() {
        let outcome = Err(Failure::internal("first\nsecond"));
        let answer = rendered(&outcome, Format::Json, Release::V9_2);
        let text = String::from_utf8(answer.encode(true, Some(784_111_777))).expect("is text");
        assert!(text.starts_with("HTTP/1.1 500 first\r\n"), "{text}");
        assert!(text.contains("\"message\":\"first\\nsecond\""), "{text}");
        assert!(text.contains("\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"), "{text}");
    }

    #[test]
    fn old_releases_have_no_message_in_the_body() {
        let answer = rendered(&Err(Failure::internal("x")), Format::Json, Release::V7_4);
        assert_eq!(answer.body, br#"{"data":null}"#);
        assert_eq!(answer.reason, "x");
    }

    #[test]
    fn the_other_format_always_answers_200() {
        let answer = rendered(&Err(Failure::internal("x")), Format::Extjs, Release::V9_2);
        let body: Value = serde_json::from_slice(&answer.body).expect("is JSON");
        assert_eq!(answer.status, 200);
        assert_eq!(body, json!({"data": null, "success": 0, "status": 500, "message": "x"}));
    }

    #[test]
    fn keys_come_in_any_order_and_nothing_is_lost() {
        let data = json!({"a": 1, "b": {"c": [1, {"d": null}], "e": "x\"y"}, "f": 1.5, "g": ""});
        let mut random = StdRng::seed_from_u64(2);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..20 {
            let mut text = String::new();
            write_shuffled(&data, &mut text, &mut random);
            assert_eq!(serde_json::from_str::<Value>(&text).expect("is JSON"), data);
            seen.insert(text);
        }
        assert!(seen.len() > 1);
    }
}
