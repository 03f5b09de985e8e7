//! The query of a request.

use crate::problem::{Code, Problem};
use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use domain::Invalid;
use std::ops::RangeInclusive;

/// The parameters that were not taken yet, and what is wrong with those that were.
#[derive(Debug)]
pub(crate) struct Parameters {
    /// The path that they were sent to.
    pub(crate) path: String,
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
    invalid: Invalid,
}

impl Parameters {
    /// One parameter, read by `read`; `rule` says what it takes.
    pub(crate) fn take<T>(
        &mut self,
        name: &'static str,
        rule: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.known.push(name);
        let mut values = self.pairs.extract_if(.., |(key, _)| key == name).map(|(_, value)| value);
        let value = values.next()?;
        let is_repeated = values.count() > 0;
        let field = format!("?{name}");
        if is_repeated {
            self.invalid.add(&field, value, "given once");
            return None;
        }
        let read = read(&value);
        if read.is_none() {
            self.invalid.add(&field, value, rule);
        }
        read
    }

    /// A number within a range.
    pub(crate) fn number(&mut self, name: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let rule = match (*range.start(), *range.end()) {
            (start, u64::MAX) => format!("a whole number from {start}"),
            (start, end) => format!("a whole number from {start} to {end}"),
        };
        let read = |text: &str| text.parse().ok().filter(|number| range.contains(number));
        self.take(name, &rule, read)
    }

    /// `true` or `false`; false if it is missing.
    pub(crate) fn flag(&mut self, name: &'static str) -> bool {
        self.take(name, "true or false", |text| text.parse().ok()).unwrap_or_default()
    }

    /// Adds a rule that several parameters break together.
    pub(crate) fn refuse(&mut self, name: &'static str, value: &str, rule: &str) {
        self.invalid.add(&format!("?{name}"), value, rule);
    }

    /// Every parameter was taken; what is left over is unknown.
    pub(crate) fn finish(mut self) -> Result<(), Problem> {
        let known = if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") };
        for (name, value) in &self.pairs {
            let rule = format!("unknown parameter; known are: {known}");
            self.invalid.add(&format!("?{name}"), value, rule);
        }
        let result = self.invalid.into_result();
        result.map_err(|invalid| Problem::with_fields(Code::InvalidQuery, invalid))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let Query(pairs) = pairs.map_err(|_| Problem::new(Code::InvalidQuery))?;
        let path = parts.uri.path().to_owned();
        Ok(Self { path, pairs, known: Vec::new(), invalid: Invalid::default() })
    }
}
