//! Results of agents against the JSON Schema that their session declares.

mod steps;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

/// The largest schema, in bytes of JSON.
pub(crate) const MAX_BYTES: usize = 64 << 10;
/// How many violations are told.
const TOLD: usize = 5;
/// How often one place of a shallow result may be looked at.
const MAX_WAYS: u64 = 10_000;
const SHALLOW: usize = 4;
/// How many steps the check of a result may take: seconds, and a gigabyte for what they find.
const MAX_STEPS: u64 = 3_000_000;
/// How much of each is told, in characters: it quotes what the agent wrote.
const TOLD_CHARS: usize = 300;

/// Checks a schema before anybody relies on it.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(schema: &Value) -> Result<(), String> {
    if schema.to_string().len() > MAX_BYTES {
        return Err("a JSON Schema of at most 64 KiB".to_owned());
    }
    if !schema.is_object() {
        return Err("a JSON Schema: an object".to_owned());
    }
    match steps::count(schema, SHALLOW) {
        None => {
            Err("a JSON Schema with references of the form #/…, and one $id at most".to_owned())
        }
        Some(MAX_WAYS..) => {
            Err("a JSON Schema that does not lead to the same part over and over".to_owned())
        }
        Some(_) => validator(schema).map(drop),
    }
}

/// In what a result breaks its schema; nothing if it does not.
///
/// # Errors
/// If the schema itself is broken.
pub(crate) fn violations(schema: &Value, result: &[u8]) -> Result<Vec<String>, String> {
    let result: Value = match serde_json::from_slice(result) {
        Ok(result) => result,
        Err(error) => return Ok(vec![format!("it is not JSON: {error}")]),
    };
    let (nodes, depth) = measure(&result);
    let ways = steps::count(schema, depth).unwrap_or(1);
    if ways.saturating_mul(nodes) > MAX_STEPS {
        return Ok(vec![format!("to check it would take more than {MAX_STEPS} steps")]);
    }
    let validator = validator(schema)?;
    let told = validator.iter_errors(&result).take(TOLD).map(|error| {
        let place = error.instance_path().to_string();
        let place = if place.is_empty() { "the whole".to_owned() } else { place };
        format!("{place}: {error}").chars().take(TOLD_CHARS).collect()
    });
    Ok(told.collect())
}

/// How many values are in a value, and how deep.
fn measure(value: &Value) -> (u64, usize) {
    let inner: Vec<&Value> = match value {
        Value::Object(members) => members.values().collect(),
        Value::Array(items) => items.iter().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return (1, 0),
    };
    let sum = |(nodes, deepest): (u64, usize), value| {
        let (more, depth) = measure(value);
        (nodes + more, deepest.max(depth + 1))
    };
    inner.into_iter().fold((1, 0), sum)
}

/// Without references to elsewhere, and with patterns that take time in proportion to the text.
fn validator(schema: &Value) -> Result<Validator, String> {
    let built = jsonschema::options().with_pattern_options(PatternOptions::regex()).build(schema);
    built.map_err(|error| format!("a JSON Schema without references to elsewhere: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_result_is_held_against_its_schema_and_each_violation_has_its_place() {
        let schema = json!({
            "type": "object", "required": ["files"],
            "properties": { "files": { "type": "array", "items": { "type": "string" } } },
        });
        check(&schema).expect("it is one");
        assert_eq!(violations(&schema, br#"{"files":["a"]}"#), Ok(Vec::new()));
        let told = violations(&schema, br#"{"files":["a",1]}"#).expect("the schema is good");
        assert!(told.len() == 1 && told[0].starts_with("/files/1: "), "{told:?}");
        let told = violations(&schema, b"{}").expect("the schema is good");
        assert!(told[0].contains("files"), "{told:?}");
        let told = violations(&schema, b"{").expect("the schema is good");
        assert!(told[0].contains("not JSON"), "{told:?}");
    }

    #[test]
    fn what_is_no_schema_or_points_elsewhere_is_refused() {
        for schema in [
            json!({ "type": "nothing" }),
            json!({ "$ref": "https://schemas.invalid/elsewhere.json" }),
            json!({ "$ref": "file:///etc/passwd" }),
            json!({ "pattern": "(a" }),
            json!([]),
            json!({ "description": "x".repeat(MAX_BYTES) }),
        ] {
            assert!(check(&schema).is_err(), "{schema}");
        }
    }

    /// Each of these asks twice for the next, which is so for `levels` of them.
    fn doubling(levels: usize, twice: impl Fn(Value) -> Value) -> Value {
        let mut defs = serde_json::Map::new();
        for level in 0..levels {
            let next = json!({ "$ref": format!("#/$defs/a{}", level + 1) });
            defs.insert(format!("a{level}"), twice(next));
        }
        defs.insert(format!("a{levels}"), json!({ "type": "object" }));
        json!({ "$ref": "#/$defs/a0", "$defs": defs })
    }

    #[test]
    fn a_schema_that_asks_for_the_same_millions_of_times_is_refused() {
        let all = |levels| doubling(levels, |next| json!({ "allOf": [next, next] }));
        check(&all(8)).expect("a few hundred");
        for levels in [16, 60] {
            assert!(check(&all(levels)).is_err(), "{levels}");
        }
        for schema in [
            json!({ "$ref": "#" }),
            json!({ "$defs": { "a": { "anyOf": [{ "$ref": "#/$defs/a" }] } }, "$ref": "#/$defs/a" }),
        ] {
            check(&schema).expect("it leads to itself and nowhere else");
        }
        for schema in [
            json!({ "$defs": { "a": { "$id": "b", "$defs": {} } } }),
            json!({ "$dynamicRef": "#a", "$dynamicAnchor": "a" }),
        ] {
            assert!(check(&schema).is_err(), "{schema}");
        }
    }

    #[test]
    fn a_schema_that_grows_with_the_depth_of_the_result_is_not_followed_for_ever() {
        let next = json!({ "$ref": "#" });
        let twice = json!({ "properties": { "a": { "allOf": [next, next] } } });
        check(&twice).expect("it depends on the result");
        let nested = |depth: usize| r#"{"a":"#.repeat(depth) + "1" + &"}".repeat(depth);
        assert_eq!(violations(&twice, nested(5).as_bytes()), Ok(Vec::new()));
        let told = violations(&twice, nested(60).as_bytes()).expect("the schema is good");
        assert!(told[0].contains("steps"), "{told:?}");
        // A tree has two ways down, and each place is looked at once.
        let tree = json!({ "properties": { "a": { "$ref": "#" }, "b": { "$ref": "#" } } });
        check(&tree).expect("it is one");
        assert_eq!(violations(&tree, nested(100).as_bytes()), Ok(Vec::new()));
    }

    #[test]
    fn a_large_result_of_many_records_is_checked() {
        let schema = json!({ "type": "array", "items": {
            "type": "object", "required": ["a"],
            "properties": { "a": { "type": "integer" }, "b": { "enum": ["x", "y"] } },
        } });
        let records = vec![json!({ "a": 1, "b": "x" }); 50_000];
        let result = Value::Array(records).to_string();
        assert!(result.len() > 800_000);
        assert_eq!(violations(&schema, result.as_bytes()), Ok(Vec::new()));
    }
}
