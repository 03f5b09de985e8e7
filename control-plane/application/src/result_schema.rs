//! Results of agents against the JSON Schema that their session declares.

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

/// The largest schema, in bytes of JSON.
pub(crate) const MAX_BYTES: usize = 64 << 10;
/// How many violations are told.
const TOLD: usize = 5;
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
    validator(schema).map(drop)
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
    let validator = validator(schema)?;
    let told = validator.iter_errors(&result).take(TOLD).map(|error| {
        let place = error.instance_path().to_string();
        let place = if place.is_empty() { "the whole".to_owned() } else { place };
        format!("{place}: {error}").chars().take(TOLD_CHARS).collect()
    });
    Ok(told.collect())
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
}
