//! Compares an observed object with the rendered one, part by part.

use crate::object::Rendered;
use domain::Quantity;
use serde_json::{Map, Value};

/// One place where the observed object is not as rendered.
pub(super) struct Difference {
    pointer: String,
    what: What,
}

enum What {
    /// The value is missing or another one.
    Wrong { is: String, should_be: String },
    /// Something foreign in a map: an apply would leave it there.
    Foreign { is: String },
}

/// How a part is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Subset,
    Exact,
}

impl Difference {
    pub(super) fn wrong(pointer: &str, is: &str, should_be: &str) -> Self {
        let what = What::Wrong { is: is.to_owned(), should_be: should_be.to_owned() };
        Self { pointer: pointer.to_owned(), what }
    }

    pub(super) fn is_within(&self, part: &str) -> bool {
        self.pointer.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    pub(super) fn survives_apply(&self) -> bool {
        matches!(self.what, What::Foreign { .. })
    }

    /// One line for people; `is_secret` hides values below `/data` and `/stringData`.
    pub(super) fn line(&self, is_secret: bool) -> String {
        let is_hidden = is_secret && (self.is_within("/data") || self.is_within("/stringData"));
        match &self.what {
            What::Wrong { .. } if is_hidden => {
                format!("{}: differs (a secret, not shown)", self.pointer)
            }
            What::Foreign { .. } if is_hidden => {
                format!("{}: should not be there (a secret, not shown)", self.pointer)
            }
            What::Wrong { is, should_be } => {
                format!("{}: is {is}, should be {should_be}", self.pointer)
            }
            What::Foreign { is } => format!("{}: is {is}, should not be there", self.pointer),
        }
    }
}

/// Every difference; the annotation with the hash is left to the caller.
pub(super) fn objects(rendered: &Rendered, observed: &Value) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut body = rendered.body.clone();
    if let Some(annotations) =
        body.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut)
    {
        annotations.remove(crate::object::RENDERED);
    }
    let exact = rendered.comparison.exact;
    let mut walk = Walk { exact, differences: &mut differences };
    walk.value("", Mode::Subset, Some(&body), Some(observed));
    // Parts that must be equal and are not rendered at all.
    for part in exact {
        if body.pointer(part).is_none()
            && let Some(extra) = observed.pointer(part)
        {
            walk.value(part, Mode::Exact, None, Some(extra));
        }
    }
    differences
}

/// Escapes one segment of a JSON Pointer (RFC 6901, section 3).
pub(super) fn escape(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

struct Walk<'a> {
    exact: &'static [&'static str],
    differences: &'a mut Vec<Difference>,
}

impl Walk<'_> {
    fn value(&mut self, at: &str, mode: Mode, desired: Option<&Value>, observed: Option<&Value>) {
        let mode = if self.exact.contains(&at) { Mode::Exact } else { mode };
        // The server leaves out empty lists and nulls; empty maps mean something (selectors).
        let desired = desired.filter(|value| !is_nothing(value));
        let observed = observed.filter(|value| !is_nothing(value));
        match (desired, observed) {
            (None, None) => {}
            (None, Some(observed)) => {
                if mode == Mode::Exact {
                    self.add(at, What::Foreign { is: text(observed) });
                }
            }
            (Some(desired), None) => {
                if !is_empty_map(desired) || mode == Mode::Exact {
                    self.add(at, wrong("nothing".to_owned(), text(desired)));
                }
            }
            (Some(Value::Object(desired)), Some(Value::Object(observed))) => {
                self.map(at, mode, desired, observed);
            }
            (Some(Value::Array(desired)), Some(Value::Array(observed))) => {
                self.list(at, mode, desired, observed);
            }
            (Some(desired), Some(observed)) => {
                if desired != observed && !is_same_quantity(at, desired, observed) {
                    self.add(at, wrong(text(observed), text(desired)));
                }
            }
        }
    }

    fn map(
        &mut self,
        at: &str,
        mode: Mode,
        desired: &Map<String, Value>,
        observed: &Map<String, Value>,
    ) {
        for (name, value) in desired {
            let at = format!("{at}/{}", escape(name));
            self.value(&at, mode, Some(value), observed.get(name));
        }
        if mode == Mode::Exact {
            for (name, value) in observed.iter().filter(|(name, _)| !desired.contains_key(*name)) {
                let at = format!("{at}/{}", escape(name));
                if !is_default(name, value) {
                    self.value(&at, mode, None, Some(value));
                }
            }
        }
    }

    fn list(&mut self, at: &str, mode: Mode, desired: &[Value], observed: &[Value]) {
        let key = if mode == Mode::Subset { merge_key(desired, observed) } else { None };
        if let Some(key) = key {
            for (index, element) in desired.iter().enumerate() {
                let same = observed.iter().find(|other| other.get(key) == element.get(key));
                self.value(&format!("{at}/{index}"), mode, Some(element), same);
            }
            return;
        }
        if desired.len() != observed.len() {
            // Lists without a merge key are replaced as a whole by an apply.
            let is = text(&Value::Array(observed.to_vec()));
            self.add(at, wrong(is, text(&Value::Array(desired.to_vec()))));
            return;
        }
        for (index, (desired, observed)) in desired.iter().zip(observed).enumerate() {
            self.value(&format!("{at}/{index}"), mode, Some(desired), Some(observed));
        }
    }

    fn add(&mut self, at: &str, what: What) {
        self.differences.push(Difference { pointer: at.to_owned(), what });
    }
}

fn wrong(is: String, should_be: String) -> What {
    What::Wrong { is, should_be }
}

/// The field that tells elements of a list apart, for the lists of Kubernetes that are merged.
fn merge_key(desired: &[Value], observed: &[Value]) -> Option<&'static str> {
    ["mountPath", "name"].into_iter().find(|key| {
        !desired.is_empty() && desired.iter().chain(observed).all(|value| value.get(key).is_some())
    })
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn is_empty_map(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

/// What the API server fills in inside parts that are compared exactly.
///
/// Source: Kubernetes 1.36, pkg/apis/*/v1/defaults.go (networking, core, admissionregistration).
fn is_default(name: &str, value: &Value) -> bool {
    match name {
        "protocol" => value == "TCP",
        "scope" => value == "*",
        "matchPolicy" => value == "Equivalent",
        "failurePolicy" => value == "Fail",
        "apiGroup" => value == "",
        _ => false,
    }
}

/// Whether two values of a resource list mean the same amount, e.g. `1000m` and `1`.
fn is_same_quantity(at: &str, left: &Value, right: &Value) -> bool {
    const LISTS: [&str; 9] = [
        "hard",
        "limits",
        "requests",
        "default",
        "defaultRequest",
        "max",
        "min",
        "capacity",
        "maxLimitRequestRatio",
    ];
    let is_resource_list = at
        .rsplit_once('/')
        .and_then(|(parent, _)| parent.rsplit('/').next())
        .is_some_and(|parent| LISTS.contains(&parent))
        || at.ends_with("/sizeLimit");
    is_resource_list
        && matches!((quantity(left), quantity(right)), (Some(left), Some(right)) if left == right)
}

fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text),
        Value::Number(number) => Quantity::parse(&number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn text(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
