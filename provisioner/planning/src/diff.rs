//! What has to change so that the observed objects become the rendered ones, and why.

mod compare;

use crate::object::{
    Absence, Key, Kind, MANAGED_BY, MANAGED_BY_VALUE, RENDERED, Rendered, rendered_hash,
};
use compare::Difference;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, fmt};

/// What is known about an object.
#[derive(Clone, PartialEq)]
pub enum Observed {
    /// It is not there.
    Absent,
    /// It could not be found out, or a write to it got no answer. It has to be looked up.
    Unknown,
    /// It is there.
    Known(Value),
}

impl fmt::Debug for Observed {
    /// Without the object: it may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "Absent",
            Self::Unknown => "Unknown",
            Self::Known(_) => "Known(…)",
        })
    }
}

/// What to do with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Server-side apply of an object that is not there.
    Create,
    /// Server-side apply, force, of an object that is there.
    Apply,
    /// Update (PUT) with the `resourceVersion` in the body: something foreign has to go that an apply
    /// would leave.
    Replace,
    /// Delete with the `DeleteOptions` in the body: it is no longer rendered, or has to be made anew.
    Delete,
    /// Nothing can be done without losing something. Neither this object nor what depends on it may be
    /// written until a person has looked ([`part_damage`]); `why` says what is the matter.
    Damage,
}

/// One thing to do.
#[derive(Clone, PartialEq)]
pub struct Change {
    /// With which object.
    pub key: Key,
    /// What.
    pub action: Action,
    /// Why: lines of JSON Pointer, what is and what should be. Values of Secrets are never in it.
    pub why: Vec<String>,
    /// What to send.
    pub body: Value,
}

impl fmt::Debug for Change {
    /// Without the body: it may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} because {:?}", self.action, self.key, self.why)
    }
}

/// What has to be done, in the order of `rendered`; deletions come last.
///
/// An object that is missing from `observed` counts as [`Observed::Unknown`], and for what is unknown
/// nothing is done: [`unknown`] lists it. An object in `observed` that is not rendered any more is
/// deleted if it carries Warren's label and is of a kind that holds no data.
#[must_use]
pub fn diff(rendered: &[Rendered], observed: &BTreeMap<Key, Observed>) -> Vec<Change> {
    let (deletions, mut changes): (Vec<_>, Vec<_>) = rendered
        .iter()
        .filter_map(|object| diff_one(object, observed.get(&object.key)?))
        .partition(|change| change.action == Action::Delete);
    changes.extend(deletions);
    changes.extend(observed.iter().filter_map(|(key, object)| {
        let is_rendered = rendered.iter().any(|rendered| rendered.key == *key);
        match object {
            Observed::Known(object) if !is_rendered => orphan(key, object),
            Observed::Known(_) | Observed::Absent | Observed::Unknown => None,
        }
    }));
    changes
}

/// Parts what may be sent from the damage. While anything is damaged the control plane is left as it is, for it depends
/// on everything that can be damaged; what guards the tenant is put right all the same. In a namespace that is gone, or
/// going, nothing can be.
#[must_use]
pub fn part_damage(changes: Vec<Change>) -> (Vec<Change>, Vec<Change>) {
    let (damage, mut changes): (Vec<_>, Vec<_>) =
        changes.into_iter().partition(|change| change.action == Action::Damage);
    if damage.iter().any(|change| change.key.kind == Kind::Namespace) {
        changes.clear();
    } else if !damage.is_empty() {
        changes.retain(|change| change.key.kind != Kind::StatefulSet);
    }
    (changes, damage)
}

/// The rendered objects that have to be looked up before [`diff`] can judge them.
#[must_use]
pub fn unknown<'a>(rendered: &'a [Rendered], observed: &BTreeMap<Key, Observed>) -> Vec<&'a Key> {
    let is_unknown = |key: &Key| matches!(observed.get(key), None | Some(Observed::Unknown));
    rendered.iter().map(|object| &object.key).filter(|key| is_unknown(key)).collect()
}

/// What has to be done with one object.
#[must_use]
pub fn diff_one(rendered: &Rendered, observed: &Observed) -> Option<Change> {
    let change = |action, why, body| Some(Change { key: rendered.key.clone(), action, why, body });
    match observed {
        Observed::Unknown => None,
        Observed::Absent => match rendered.absence {
            Absence::Create => {
                change(Action::Create, vec!["is not there".to_owned()], rendered.body.clone())
            }
            Absence::Damage(why) => {
                change(Action::Damage, vec![format!("is gone: {why}")], Value::Null)
            }
        },
        Observed::Known(object) => {
            if is_terminating(object) {
                let Absence::Damage(why) = rendered.absence else { return None };
                return change(
                    Action::Damage,
                    vec![format!("is being deleted: {why}")],
                    Value::Null,
                );
            }
            if rendered.body.is_null() {
                return None;
            }
            diff_known(rendered, object)
        }
    }
}

fn diff_known(rendered: &Rendered, object: &Value) -> Option<Change> {
    let comparison = rendered.comparison;
    let is_one_of = |difference: &Difference, parts: &[&str]| {
        parts.iter().any(|part| difference.is_within(part))
    };
    let mut differences = compare::objects(rendered, object);
    differences.retain(|difference| !is_one_of(difference, comparison.kept));
    let mut body = rendered.body.clone();
    for part in comparison.kept {
        if let (Some(place), Some(kept)) = (body.pointer_mut(part), object.pointer(part)) {
            *place = kept.clone();
        }
    }
    if is_stopped_by_accident(rendered.key.kind, object) {
        body["spec"]["replicas"] = json!(1);
        differences.push(Difference::wrong("/spec/replicas", "0", "1"));
    }
    if rendered.hash() != rendered_hash(object) {
        let pointer = format!("/metadata/annotations/{}", compare::escape(RENDERED));
        let is = rendered_hash(object).unwrap_or("nothing");
        differences.push(Difference::wrong(&pointer, is, rendered.hash().unwrap_or("nothing")));
    }
    if differences.is_empty() {
        return None;
    }
    let is_immutable = |difference: &Difference| is_one_of(difference, comparison.immutable);
    let (action, body) = if differences.iter().any(is_immutable) {
        if rendered.key.kind == Kind::StatefulSet {
            (Action::Damage, Value::Null)
        } else {
            (Action::Delete, delete_options(object))
        }
    } else if differences.iter().any(Difference::survives_apply) {
        (Action::Replace, replacement(rendered, object, body))
    } else {
        (Action::Apply, body)
    };
    let is_secret = rendered.key.kind == Kind::Secret;
    let mut why: Vec<String> =
        differences.iter().map(|difference| difference.line(is_secret)).collect();
    if action == Action::Damage {
        why.push("this part cannot be changed once it exists".to_owned());
    }
    Some(Change { key: rendered.key.clone(), action, why, body })
}

/// Somebody scaled the control plane to nothing without saying that it is paused.
///
/// `spec.replicas` is never rendered: it belongs to whoever pauses and resumes (1 is the default).
fn is_stopped_by_accident(kind: Kind, object: &Value) -> bool {
    let annotations = object.pointer("/metadata/annotations");
    let has = |name: &str| annotations.is_some_and(|annotations| annotations.get(name).is_some());
    kind == Kind::StatefulSet
        && object.pointer("/spec/replicas") == Some(&json!(0))
        && !has("loft.sh/paused")
        && !has("loft.sh/restoring")
}

fn orphan(key: &Key, object: &Value) -> Option<Change> {
    let is_ours =
        object.pointer("/metadata/labels").and_then(|labels| labels.get(MANAGED_BY)?.as_str())
            == Some(MANAGED_BY_VALUE);
    if !is_ours || !may_be_deleted(key.kind) || is_terminating(object) {
        return None;
    }
    Some(Change {
        key: key.clone(),
        action: Action::Delete,
        why: vec!["is no longer part of what Warren makes".to_owned()],
        body: delete_options(object),
    })
}

/// Only what holds no data and owns nothing.
const fn may_be_deleted(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::NetworkPolicy
            | Kind::ResourceQuota
            | Kind::LimitRange
            | Kind::Role
            | Kind::RoleBinding
            | Kind::ServiceAccount
            | Kind::ValidatingAdmissionPolicy
            | Kind::ValidatingAdmissionPolicyBinding
            | Kind::MutatingAdmissionPolicy
            | Kind::MutatingAdmissionPolicyBinding
    )
}

fn is_terminating(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null())
}

fn delete_options(object: &Value) -> Value {
    let mut options = json!({ "apiVersion": "v1", "kind": "DeleteOptions" });
    if let Some(uid) = object.pointer("/metadata/uid") {
        options["preconditions"] = json!({ "uid": uid });
    }
    options
}

/// The observed object with everything rendered laid over it; exact parts are taken from `body`.
fn replacement(rendered: &Rendered, object: &Value, body: Value) -> Value {
    let mut replacement = object.clone();
    if let Some(root) = replacement.as_object_mut() {
        root.remove("status");
    }
    if let Some(metadata) = replacement.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    for part in rendered.comparison.exact {
        remove(&mut replacement, part);
    }
    lay_over(&mut replacement, body);
    replacement
}

fn remove(value: &mut Value, pointer: &str) {
    if let Some((parent, name)) = pointer.rsplit_once('/')
        && let Some(parent) = value.pointer_mut(parent).and_then(Value::as_object_mut)
    {
        parent.remove(name);
    }
}

fn lay_over(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (name, value) in above {
                lay_over(below.entry(name).or_insert_with(|| Value::Object(Map::new())), value);
            }
        }
        (below, above) => *below = above,
    }
}
