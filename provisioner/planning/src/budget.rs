//! Budgets that keep pods where they are, and whose they are.

use crate::pod::{controller, name, text};
use serde_json::{Value, json};
use std::fmt;

/// How many are named; of the others there is a number.
const NAMED: usize = 3;

/// A pod that a budget does not let go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The pod, as `namespace/name`.
    pub pod: String,
    /// Who makes it anew, as `Kind name`; nobody if nobody does.
    pub maker: Option<String>,
    /// The budget, as `namespace/name`.
    pub budget: String,
    /// Who keeps the budget: its controller, or else whoever wrote it.
    pub owner: Option<String>,
    /// How many of its pods are ready, and how many have to be; nothing before its controller has counted.
    pub ready: Option<(u64, u64)>,
}

/// The budget among `budgets` that holds a pod: of several the one that allows least.
#[must_use]
pub fn holding(pod: &Value, budgets: &[Value]) -> Option<Held> {
    let is_meant = |budget: &&Value| {
        text(budget, "/metadata/namespace") == text(pod, "/metadata/namespace")
            && selects(&budget["spec"]["selector"], &pod["metadata"]["labels"])
    };
    let allowed = |budget: &&Value| budget["status"]["disruptionsAllowed"].as_u64().unwrap_or(0);
    let budget = budgets.iter().filter(is_meant).min_by_key(allowed)?;
    let count = |field: &str| budget["status"][field].as_u64();
    Some(Held {
        pod: name(pod),
        maker: maker(pod),
        budget: name(budget),
        owner: maker(budget).or_else(|| writer(budget)),
        ready: count("currentHealthy").zip(count("desiredHealthy")),
    })
}

/// What is in the way, in words; nothing if nothing is.
#[must_use]
pub fn words(held: &[Held]) -> Option<String> {
    let named: Vec<String> = held.iter().take(NAMED).map(ToString::to_string).collect();
    let more = held.len().saturating_sub(NAMED);
    let more = if more > 0 { format!("; {more} more pods are held") } else { String::new() };
    (!held.is_empty()).then(|| format!("{}{more}", named.join("; ")))
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod {}", self.pod)?;
        if let Some(maker) = &self.maker {
            write!(f, " of {maker}")?;
        }
        write!(f, " is held by budget {}", self.budget)?;
        if let Some(owner) = &self.owner {
            write!(f, " of {owner}")?;
        }
        match self.ready {
            Some((ready, least)) => write!(f, ": {ready} are ready, {least} have to be"),
            None => Ok(()),
        }
    }
}

/// Whether a label selector names these labels. An empty one names all, none names nothing.
///
/// Source: Kubernetes API, `policy/v1` `PodDisruptionBudgetSpec` and `meta/v1` `LabelSelector`.
fn selects(selector: &Value, labels: &Value) -> bool {
    let Some(selector) = selector.as_object() else { return false };
    let label = |name: &str| labels.get(name).and_then(Value::as_str);
    let parts = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    let mut expressions =
        selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
    let holds = |expression: &Value| {
        let has = label(text(expression, "/key"));
        let values = expression["values"].as_array().map_or(&[][..], Vec::as_slice);
        let is_among = has.is_some_and(|has| values.contains(&json!(has)));
        match text(expression, "/operator") {
            "In" => is_among,
            "NotIn" => !is_among,
            "Exists" => has.is_some(),
            "DoesNotExist" => has.is_none(),
            _ => false,
        }
    };
    parts.into_iter().all(|(name, value)| label(name) == value.as_str()) && expressions.all(holds)
}

/// Who makes an object, in words.
fn maker(object: &Value) -> Option<String> {
    let owner = controller(object)?;
    Some(format!("{} {}", text(owner, "/kind"), text(owner, "/name")))
}

/// The program that wrote an object's specification.
fn writer(object: &Value) -> Option<String> {
    let fields = object.pointer("/metadata/managedFields")?.as_array()?;
    let of_spec = fields.iter().find(|entry| entry.pointer("/fieldsV1/f:spec").is_some())?;
    Some(text(of_spec, "/manager").to_owned()).filter(|manager| !manager.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Value {
        let owner = json!([{ "kind": "ReplicaSet", "name": "web-5f", "controller": true }]);
        let labels = json!({ "app": "web", "tier": "front" });
        let name = "web-5f-x";
        json!({ "metadata": {
            "namespace": "apps", "name": name, "labels": labels, "ownerReferences": owner,
        } })
    }

    fn budget(name: &str, selector: &Value, allowed: u64) -> Value {
        json!({
            "metadata": {
                "namespace": "apps", "name": name,
                "managedFields": [{ "manager": "helm", "fieldsV1": { "f:spec": {} } }],
            },
            "spec": { "selector": selector },
            "status": { "disruptionsAllowed": allowed, "currentHealthy": 2, "desiredHealthy": 2 },
        })
    }

    #[test]
    fn a_pod_that_is_held_is_told_with_its_maker_and_whose_budget_holds_it() {
        let web = json!({ "matchLabels": { "app": "web" } });
        let mut elsewhere = budget("elsewhere", &web, 0);
        elsewhere["metadata"]["namespace"] = "other".into();
        let budgets = [budget("lax", &web, 1), budget("web", &web, 0), elsewhere];
        let held = holding(&pod(), &budgets).expect("two are about it");
        assert_eq!(
            held.to_string(),
            "pod apps/web-5f-x of ReplicaSet web-5f is held by budget apps/web of helm: 2 are ready, 2 have to be"
        );
        let many = vec![held; 5];
        assert!(words(&many).is_some_and(|text| text.ends_with("; 2 more pods are held")));
        assert_eq!((holding(&pod(), &[]), words(&[])), (None, None));
    }

    #[test]
    fn a_selector_is_read_as_kubernetes_reads_it() {
        let labels = &pod()["metadata"]["labels"];
        let expression = |operator: &str, values: Value| json!({ "matchExpressions": [{ "key": "tier", "operator": operator, "values": values }] });
        for (selector, is_meant) in [
            (json!({}), true),
            (json!(null), false),
            (json!({ "matchLabels": { "app": "web", "tier": "back" } }), false),
            (expression("In", json!(["back", "front"])), true),
            (expression("NotIn", json!(["front"])), false),
            (expression("Exists", json!(null)), true),
            (expression("DoesNotExist", json!(null)), false),
        ] {
            assert_eq!(selects(&selector, labels), is_meant, "{selector}");
        }
    }
}
