//! Between domain values and what a column holds.

use crate::StoreError;
use jiff::Timestamp;
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, IntoDeserializer, value::Error as ValueError},
};
use std::{net::Ipv4Addr, str::FromStr};

/// An instant as it is stored; what is below a millisecond is cut off.
pub(crate) fn time(at: Timestamp) -> i64 {
    at.as_millisecond()
}

pub(crate) fn to_time(column: &'static str, at: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(at).map_err(|error| StoreError::corrupt(column, error))
}

pub(crate) fn to_optional_time(
    column: &'static str,
    at: Option<i64>,
) -> Result<Option<Timestamp>, StoreError> {
    at.map(|at| to_time(column, at)).transpose()
}

pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("values of the domain have text keys only")
}

pub(crate) fn to_json<T: DeserializeOwned>(
    column: &'static str,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::corrupt(column, error))
}

pub(crate) fn to_optional_json<T: DeserializeOwned>(
    column: &'static str,
    text: Option<&str>,
) -> Result<Option<T>, StoreError> {
    text.map(|text| to_json(column, text)).transpose()
}

/// The word of a plain enum, as it is serialized.
pub(crate) fn word(value: &impl Serialize) -> String {
    json(value).trim_matches('"').to_owned()
}

pub(crate) fn to_word<'a, T: Deserialize<'a>>(
    column: &'static str,
    word: &'a str,
) -> Result<T, StoreError> {
    T::deserialize(IntoDeserializer::<ValueError>::into_deserializer(word))
        .map_err(|error| StoreError::corrupt(column, error))
}

pub(crate) fn to_parsed<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    column: &'static str,
    text: &str,
) -> Result<T, StoreError> {
    text.parse().map_err(|error| StoreError::corrupt(column, error))
}

pub(crate) fn address(text: &str) -> Result<Ipv4Addr, StoreError> {
    to_parsed("nodes.address", text)
}

/// A count as it is stored. Counts come from lines, bytes and numbers of runs; none reaches 2^63.
pub(crate) fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn to_count(column: &'static str, value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|error| StoreError::corrupt(column, error))
}
