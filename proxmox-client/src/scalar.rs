//! Scalars as they come: a number may be text, a flag may be a number, and a key may be missing.
//!
//! Proxmox VE answers `template: 1`, `memory: "4096"` and `nextid: "100"`, and what it answers differs
//! between releases.

use serde::{Deserialize, Deserializer, de::Error as _};
use std::{fmt, str::FromStr};

/// A scalar of an answer in any encoding.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Scalar {
    Flag(bool),
    Whole(u64),
    Negative(i64),
    Number(f64),
    Text(String),
}

impl Scalar {
    /// As whole number; a fraction and a negative one are none.
    pub(crate) fn whole(&self) -> Option<u64> {
        match self {
            Self::Flag(flag) => Some(u64::from(*flag)),
            Self::Whole(number) => Some(*number),
            Self::Negative(_) => None,
            Self::Number(number) => format!("{number}").parse().ok(),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    fn flag(&self) -> Option<bool> {
        match self {
            Self::Flag(flag) => Some(*flag),
            Self::Whole(number) => Some(*number != 0),
            Self::Negative(_) => Some(true),
            Self::Number(number) => Some(*number != 0.0),
            Self::Text(text) => match text.trim() {
                "1" | "on" | "yes" | "true" => Some(true),
                "0" | "off" | "no" | "false" | "" => Some(false),
                _ => None,
            },
        }
    }

    fn number(&self) -> Option<f64> {
        self.to_string().trim().parse().ok()
    }
}

/// The text that a form would carry: flags are `1` and `0`.
impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => u8::from(*flag).fmt(f),
            Self::Whole(number) => number.fmt(f),
            Self::Negative(number) => number.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

fn read<'de, D: Deserializer<'de>, T>(
    from: D,
    expected: &'static str,
    pick: impl Fn(&Scalar) -> Option<T>,
) -> Result<Option<T>, D::Error> {
    let Some(scalar) = Option::<Scalar>::deserialize(from)? else { return Ok(None) };
    match pick(&scalar) {
        Some(value) => Ok(Some(value)),
        None => Err(D::Error::custom(format!("expected {expected}, found {scalar:?}"))),
    }
}

/// A whole number, 0 if it is missing.
pub(crate) fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    maybe_whole(from).map(Option::unwrap_or_default)
}

/// A whole number that may be missing.
pub(crate) fn maybe_whole<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    read(from, "a whole number", Scalar::whole)
}

/// A flag, false if it is missing.
pub(crate) fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    read(from, "a flag", Scalar::flag).map(Option::unwrap_or_default)
}

/// A number that may be missing.
pub(crate) fn maybe_number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    read(from, "a number", Scalar::number)
}

/// A text, empty if it is missing.
pub(crate) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    maybe_text(from).map(Option::unwrap_or_default)
}

/// A text that may be missing.
pub(crate) fn maybe_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    read(from, "a text", |scalar| Some(scalar.to_string()))
}

/// Something that is read from its text and may be missing or be something else.
pub(crate) fn maybe_parsed<'de, D: Deserializer<'de>, T: FromStr>(
    from: D,
) -> Result<Option<T>, D::Error> {
    Ok(maybe_text(from)?.and_then(|text| text.parse().ok()))
}

/// Something that is read from its text.
pub(crate) fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(
    from: D,
) -> Result<T, D::Error> {
    text(from)?.parse().map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Sample {
        #[serde(deserialize_with = "whole")]
        whole: u64,
        #[serde(deserialize_with = "maybe_whole")]
        maybe: Option<u64>,
        #[serde(deserialize_with = "flag")]
        flag: bool,
        #[serde(deserialize_with = "maybe_number")]
        number: Option<f64>,
        #[serde(deserialize_with = "text")]
        text: String,
    }

    fn sample(value: Value) -> Result<Sample, serde_json::Error> {
        serde_json::from_value(value)
    }

    #[test]
    fn every_encoding_of_a_scalar_is_accepted() -> Result<(), serde_json::Error> {
        let expected = Sample {
            whole: 4096,
            maybe: Some(1),
            flag: true,
            number: Some(0.5),
            text: "12".to_owned(),
        };
        for value in [
            json!({"whole": 4096, "maybe": 1, "flag": 1, "number": 0.5, "text": 12}),
            json!({"whole": "4096", "maybe": "1", "flag": "1", "number": "0.5", "text": "12"}),
            json!({"whole": 4096.0, "maybe": true, "flag": true, "number": "0.50", "text": "12"}),
        ] {
            assert_eq!(sample(value)?, expected);
        }
        assert_eq!(sample(json!({}))?, Sample::default());
        assert_eq!(sample(json!({"whole": null, "flag": null, "text": null}))?, Sample::default());
        Ok(())
    }

    #[test]
    fn what_is_no_number_is_told() {
        let error = sample(json!({"whole": "many"})).expect_err("no number");
        assert!(error.to_string().contains("expected a whole number"), "{error}");
        assert!(sample(json!({"flag": "perhaps"})).is_err());
        assert!(sample(json!({"whole": [1]})).is_err());
    }
}
