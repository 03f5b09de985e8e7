//! How much work a schema makes: a few lines of references can ask for the same thing millions of times.

use serde_json::Value;
use std::collections::HashMap;

/// So many references, one leading to the next at one place of a document, are nobody's schema.
const LONGEST_CHAIN: u32 = 200;

/// How many schemas are held against one place of a document and what is below it on one way down, if
/// the document is so deep. Nothing if the schema refers to something in a way that is not understood.
pub(super) fn count(schema: &Value, depth: usize) -> Option<u64> {
    let mut nodes = Vec::new();
    collect(schema, &mut nodes);
    if !nodes.iter().all(|node| is_understood(schema, node)) {
        return None;
    }
    let mut layer = Layer { root: schema, below: HashMap::new(), here: HashMap::new() };
    for _ in 0..=depth {
        layer.below = std::mem::take(&mut layer.here);
        for node in &nodes {
            layer.of(node, 0);
        }
    }
    Some(layer.of(schema, 0))
}

fn collect<'a>(value: &'a Value, nodes: &mut Vec<&'a Value>) {
    match value {
        Value::Object(members) => {
            nodes.push(value);
            members.values().for_each(|value| collect(value, nodes));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, nodes)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// References lead to a path in the document itself, and no part of it has an address of its own.
fn is_understood(root: &Value, node: &Value) -> bool {
    let text = |key| node.get(key).and_then(Value::as_str);
    let is_root = std::ptr::eq(root, node);
    text("$ref").is_none_or(|text| target(root, text).is_some())
        && (is_root || text("$id").is_none())
        && text("$dynamicRef").is_none()
        && text("$recursiveRef").is_none()
}

fn target<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    root.pointer(reference.strip_prefix('#')?)
}

/// The counts for all schemas at one depth.
struct Layer<'a> {
    root: &'a Value,
    /// One level further down in the document.
    below: HashMap<usize, Option<u64>>,
    /// Nothing for those that are being counted.
    here: HashMap<usize, Option<u64>>,
}

impl<'a> Layer<'a> {
    fn of(&mut self, node: &'a Value, chain: u32) -> u64 {
        let Some(members) = node.as_object() else { return 1 };
        if chain > LONGEST_CHAIN {
            return u64::MAX;
        }
        match self.here.get(&address(node)) {
            Some(Some(count)) => return *count,
            // It leads to itself: a validator sees that.
            Some(None) => return 0,
            None => self.here.insert(address(node), None),
        };
        let mut count: u64 = 1;
        for (key, value) in members {
            let more = match key.as_str() {
                "$ref" => {
                    let target = value.as_str().and_then(|text| target(self.root, text));
                    target.map_or(0, |target| self.of(target, chain + 1))
                }
                "not" | "if" | "then" | "else" => self.of(value, chain + 1),
                "allOf" | "anyOf" | "oneOf" | "dependentSchemas" | "dependencies" => {
                    let each = parts(value).into_iter().map(|part| self.of(part, chain + 1));
                    each.fold(0, u64::saturating_add)
                }
                // Each for another place.
                "properties" | "prefixItems" => {
                    parts(value).into_iter().map(|part| self.below(part)).max().unwrap_or(0)
                }
                "patternProperties" => {
                    let each = parts(value).into_iter().map(|part| self.below(part));
                    each.fold(0, u64::saturating_add)
                }
                "items"
                | "additionalItems"
                | "additionalProperties"
                | "contains"
                | "propertyNames"
                | "unevaluatedItems"
                | "unevaluatedProperties" => self.below(value),
                _ => 0,
            };
            count = count.saturating_add(more);
        }
        self.here.insert(address(node), Some(count));
        count
    }

    fn below(&self, node: &Value) -> u64 {
        if let Value::Array(parts) = node {
            return parts.iter().map(|part| self.below(part)).max().unwrap_or(0);
        }
        self.below.get(&address(node)).copied().flatten().unwrap_or(0)
    }
}

/// The members of an object or the items of an array.
fn parts(value: &Value) -> Vec<&Value> {
    match value {
        Value::Object(members) => members.values().collect(),
        Value::Array(items) => items.iter().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

fn address(node: &Value) -> usize {
    std::ptr::from_ref(node).addr()
}
