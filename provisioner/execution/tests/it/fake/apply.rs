//! How objects are changed in parts.

use serde_json::{Map, Value};

/// Lays `above` over `below`; null takes away.
pub(super) fn merge(below: &mut Value, above: &Value) {
    let Value::Object(above) = above else {
        *below = above.clone();
        return;
    };
    if !below.is_object() {
        *below = Value::Object(Map::new());
    }
    for (name, value) in above {
        if value.is_null() {
            below.as_object_mut().expect("just made one").remove(name);
        } else {
            merge(&mut below[name], value);
        }
    }
}

/// Takes from an object what was applied `before` and is not applied `now`.
pub(super) fn forget(object: &mut Value, before: &Value, now: &Value) {
    let (Value::Object(object), Value::Object(before)) = (object, before) else { return };
    for (name, value) in before {
        match (object.get_mut(name), now.get(name)) {
            (Some(field), Some(now)) => forget(field, value, now),
            (Some(_), None) => drop(object.remove(name)),
            (None, _) => {}
        }
    }
}
