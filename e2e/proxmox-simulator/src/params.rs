//! Parameters of a call: what is allowed, and what was given.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::option;
use crate::release::Release;

/// What a parameter may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// At most this many characters.
    Short(usize),
    /// `1` or `0`; a JSON body may say `true`.
    Boolean,
    Integer(i64, i64),
    Number,
    Choice(&'static [&'static str]),
    /// Texts, as a repeated key or a JSON list.
    List,
    /// A DNS name.
    Name,
    /// `10G` or `+10G`.
    Size,
}

/// A parameter of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) is_required: bool,
}

pub(crate) const fn required(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind, is_required: true }
}

pub(crate) const fn optional(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind, is_required: false }
}

/// The range of ids of VMs.
pub(crate) const VM_ID: Kind = Kind::Integer(100, 999_999_999);

/// What was given, checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params(Map<String, Value>);

impl Params {
    /// Checks what was given. `with_options` lets the options of VMs in, too.
    pub(crate) fn check(
        given: Map<String, Value>,
        allowed: &[Parameter],
        with_options: Option<Release>,
    ) -> Result<Self, Failure> {
        let mut errors = BTreeMap::new();
        let mut checked = Map::new();
        for (name, value) in given {
            let own = allowed.iter().find(|known| known.name == name).map(|known| known.kind);
            let kind = own.or_else(|| option::find(with_options?, &name).map(|found| found.kind));
            let result = match kind {
                Some(kind) => check_value(kind, value),
                None => Err("property is not defined in schema and the schema does not allow \
                             additional properties"
                    .into()),
            };
            match result {
                Ok(value) => {
                    checked.insert(name, value);
                }
                Err(text) => {
                    errors.insert(name, text);
                }
            }
        }
        for missing in allowed.iter().filter(|known| known.is_required) {
            if !checked.contains_key(missing.name) {
                let text = "property is missing and it is not optional".to_owned();
                errors.entry(missing.name.into()).or_insert(text);
            }
        }
        if errors.is_empty() { Ok(Self(checked)) } else { Err(Failure::parameters(errors)) }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.number(name) == Some(1)
    }

    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.0.get(name).and_then(Value::as_i64)
    }

    pub(crate) fn vm(&self, name: &str) -> Option<u32> {
        self.number(name).and_then(|id| u32::try_from(id).ok())
    }

    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        match self.0.get(name) {
            Some(Value::Array(list)) => {
                list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            Some(Value::String(one)) => vec![one.clone()],
            _ => Vec::new(),
        }
    }

    /// Words with commas, semicolons or spaces between them.
    pub(crate) fn words(&self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        let words = text.split([',', ';', ' ']).filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Options of a VM among the parameters, as its configuration writes them.
    pub(crate) fn options(&self, release: Release) -> Vec<(String, String)> {
        let options = self.0.iter().filter(|(name, _)| option::find(release, name).is_some());
        options.map(|(name, value)| (name.clone(), plain(value))).collect()
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn check_value(kind: Kind, value: Value) -> Result<Value, String> {
    let wrong = |kind: &str, value: &Value| {
        format!("type check ('{kind}') failed - got '{}'", plain(value))
    };
    match (kind, value) {
        (Kind::List, Value::Array(list)) => {
            Ok(list.into_iter().map(|item| Value::String(plain(&item))).collect())
        }
        (Kind::List, value) => Ok(Value::String(plain(&value))),
        (_, value @ (Value::Array(_) | Value::Object(_) | Value::Null)) => {
            Err(wrong("string", &value))
        }
        (Kind::Boolean, Value::Bool(is_set)) => Ok(u8::from(is_set).into()),
        (Kind::Boolean, value) => match plain(&value).as_str() {
            "0" => Ok(0.into()),
            "1" => Ok(1.into()),
            _ => Err(wrong("boolean", &value)),
        },
        (Kind::Integer(least, most), value) => {
            let number: i64 = plain(&value).parse().map_err(|_| wrong("integer", &value))?;
            if number < least {
                return Err(format!("value must have a minimum value of {least}"));
            }
            if number > most {
                return Err(format!("value must have a maximum value of {most}"));
            }
            Ok(number.into())
        }
        (Kind::Number, value) => match plain(&value).parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::String(plain(&value))),
            _ => Err(wrong("number", &value)),
        },
        (kind, value) => check_text(kind, &plain(&value)).map(|()| Value::String(plain(&value))),
    }
}

fn check_text(kind: Kind, text: &str) -> Result<(), String> {
    let is_name_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(is_name_letter)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let problem = match kind {
        Kind::Short(limit) if text.chars().count() > limit => {
            format!("value may only be {limit} characters long")
        }
        Kind::Choice(choices) if !choices.contains(&text) => {
            format!(
                "value '{text}' does not have a value in the enumeration '{}'",
                choices.join(", ")
            )
        }
        Kind::Name if !text.split('.').all(is_label) => {
            "invalid format - value does not look like a valid DNS name".into()
        }
        Kind::Size if size_bytes(text.trim_start_matches('+')).is_none() => {
            "value does not match the regex pattern".into()
        }
        Kind::Text
        | Kind::Short(_)
        | Kind::Boolean
        | Kind::Integer(..)
        | Kind::Number
        | Kind::Choice(_)
        | Kind::List
        | Kind::Name
        | Kind::Size => return Ok(()),
    };
    Err(problem)
}

/// Bytes of a size such as `10G` or `512M`; a bare number is bytes.
pub(crate) fn size_bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['K', 'M', 'G', 'T']);
    let factor: u64 = match &text[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor))
}

/// The shortest size that says so many bytes.
pub(crate) fn size_text(bytes: u64) -> String {
    let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
    let fits = |(shift, _): &(u32, &str)| bytes > 0 && bytes.is_multiple_of(1u64 << shift);
    match units.into_iter().find(fits) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::form;
    use serde_json::json;

    const ALLOWED: [Parameter; 4] = [
        required("newid", VM_ID),
        optional("full", Kind::Boolean),
        optional("name", Kind::Name),
        optional("command", Kind::List),
    ];

    fn check(given: &Value) -> Result<Params, BTreeMap<String, String>> {
        let given = given.as_object().cloned().unwrap_or_default();
        Params::check(given, &ALLOWED, None).map_err(|failure| failure.errors)
    }

    #[test]
    fn a_boolean_of_a_form_is_one_or_zero_and_a_json_body_may_say_true() {
        let form = Value::Object(form::parse("newid=100&full=true"));
        let errors = check(&form).expect_err("is refused");
        assert_eq!(errors["full"], "type check ('boolean') failed - got 'true'");
        for good in [json!({"newid": 100, "full": true}), json!({"newid": "100", "full": "1"})] {
            assert!(check(&good).expect("is good").is_set("full"));
        }
    }

    #[test]
    fn unknown_missing_and_wrong_parameters_are_all_named() {
        let errors = check(&json!({"other": 1, "name": "a_b"})).expect_err("is refused");
        assert!(errors["other"].starts_with("property is not defined in schema"));
        assert_eq!(errors["newid"], "property is missing and it is not optional");
        assert!(errors["name"].contains("DNS name"));
        let errors = check(&json!({"newid": 99})).expect_err("is refused");
        assert_eq!(errors["newid"], "value must have a minimum value of 100");
    }

    #[test]
    fn lists_come_repeated_or_alone() {
        for (form, list) in [("command=a&command=b", vec!["a", "b"]), ("command=a", vec!["a"])] {
            let given = Value::Object(form::parse(&format!("newid=100&{form}")));
            assert_eq!(check(&given).expect("is good").list("command"), list);
        }
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes) in [("10G", 10 << 30), ("512M", 512 << 20), ("4M", 4 << 20), ("7", 7)] {
            assert_eq!(size_bytes(text), Some(bytes));
            assert_eq!(size_text(bytes), text);
        }
        assert_eq!(size_bytes("G"), None);
        assert_eq!(size_bytes("10X"), None);
    }
}
