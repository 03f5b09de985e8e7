//! Reading a JSON value field by field, so that the caller hears of every broken field at once.

use domain::Invalid;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Something that a field can hold.
pub(crate) trait Field: Default {
    /// Reads it; what cannot be read is noted, and its default returned.
    fn read(value: Value, pointer: &str, invalid: &mut Invalid) -> Self;
}

/// A JSON object with known fields.
pub(crate) trait Record: Default {
    /// Takes every field that the record has; what is left over is unknown.
    fn take(fields: &mut Fields<'_>) -> Self;
}

/// The fields of an object that were not taken yet.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    pointer: &'a str,
    object: Map<String, Value>,
    known: Vec<&'static str>,
    invalid: &'a mut Invalid,
}

impl Fields<'_> {
    /// A field that must be there.
    pub(crate) fn required<T: Field>(&mut self, name: &'static str) -> T {
        self.optional(name).unwrap_or_else(|| {
            let pointer = format!("{}/{name}", self.pointer);
            self.invalid.add(&pointer, "", "required");
            T::default()
        })
    }

    /// A field that may be missing or null.
    pub(crate) fn optional<T: Field>(&mut self, name: &'static str) -> Option<T> {
        self.known.push(name);
        let value = self.object.remove(name).filter(|value| !value.is_null())?;
        Some(T::read(value, &format!("{}/{name}", self.pointer), self.invalid))
    }
}

/// Reads an object.
impl<T: Record> Field for T {
    fn read(value: Value, pointer: &str, invalid: &mut Invalid) -> Self {
        let Value::Object(object) = value else {
            return refuse(&value, pointer, "an object", invalid);
        };
        let mut fields = Fields { pointer, object, known: Vec::new(), invalid };
        let record = T::take(&mut fields);
        let Fields { object, known, invalid, .. } = fields;
        for (name, value) in object {
            let rule = format!("unknown field; known are: {}", known.join(", "));
            invalid.add(&child(pointer, &name), text(&value), rule);
        }
        record
    }
}

impl Field for String {
    fn read(value: Value, pointer: &str, invalid: &mut Invalid) -> Self {
        match value {
            Value::String(text) => text,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => refuse(&value, pointer, "a text", invalid),
        }
    }
}

impl Field for Value {
    fn read(value: Value, _: &str, _: &mut Invalid) -> Self {
        value
    }
}

impl Field for bool {
    fn read(value: Value, pointer: &str, invalid: &mut Invalid) -> Self {
        value.as_bool().unwrap_or_else(|| refuse(&value, pointer, "true or false", invalid))
    }
}

impl Field for u32 {
    fn read(value: Value, pointer: &str, invalid: &mut Invalid) -> Self {
        let number = value.as_u64().and_then(|number| Self::try_from(number).ok());
        number.unwrap_or_else(|| refuse(&value, pointer, "a whole number from 0", invalid))
    }
}

impl<T: Field> Field for Vec<T> {
    fn read(value: Value, pointer: &str, invalid: &mut Invalid) -> Self {
        let Value::Array(items) = value else {
            return refuse(&value, pointer, "a list", invalid);
        };
        let items = items.into_iter().enumerate();
        items.map(|(index, item)| T::read(item, &format!("{pointer}/{index}"), invalid)).collect()
    }
}

impl<T: Field> Field for BTreeMap<String, T> {
    fn read(value: Value, pointer: &str, invalid: &mut Invalid) -> Self {
        let Value::Object(object) = value else {
            return refuse(&value, pointer, "an object", invalid);
        };
        let read = |(name, value): (String, Value)| {
            let item = T::read(value, &child(pointer, &name), invalid);
            (name, item)
        };
        object.into_iter().map(read).collect()
    }
}

fn refuse<T: Default>(value: &Value, pointer: &str, rule: &str, invalid: &mut Invalid) -> T {
    invalid.add(pointer, text(value), rule);
    T::default()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// Appends a segment to a JSON Pointer (RFC 6901, section 3).
fn child(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, Default, PartialEq)]
    struct Point {
        x: u32,
        name: Option<String>,
        tags: Vec<String>,
        more: BTreeMap<String, String>,
    }

    impl Record for Point {
        fn take(fields: &mut Fields<'_>) -> Self {
            Self {
                x: fields.required("x"),
                name: fields.optional("name"),
                tags: fields.optional("tags").unwrap_or_default(),
                more: fields.optional("more").unwrap_or_default(),
            }
        }
    }

    fn broken(value: Value) -> Vec<(String, String, String)> {
        let mut invalid = Invalid::default();
        Point::read(value, "", &mut invalid);
        invalid.fields.into_iter().map(|f| (f.field, f.value, f.rule)).collect()
    }

    #[test]
    fn every_broken_field_is_told_with_its_pointer_its_value_and_the_rule() {
        let value = json!({
            "x": -1, "name": 5, "tags": ["a", 6, null], "more": {"a/b": []}, "~": "?",
        });
        let expected = [
            ("/x", "-1", "a whole number from 0"),
            ("/name", "5", "a text"),
            ("/tags/1", "6", "a text"),
            ("/tags/2", "null", "a text"),
            ("/more/a~1b", "[]", "a text"),
            ("/~0", "?", "unknown field; known are: x, name, tags, more"),
        ];
        let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
        assert_eq!(broken(value), expected);
    }

    #[test]
    fn a_missing_field_and_a_wrong_whole_are_told_too() {
        let required = ("/x".to_owned(), String::new(), "required".to_owned());
        assert_eq!(broken(json!({})), [required]);
        assert_eq!(broken(json!([]))[0].2, "an object");
    }
}
