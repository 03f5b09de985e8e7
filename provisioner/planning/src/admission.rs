//! Admission policies of the API server: how they are put together, on the host and inside tenants.
//!
//! Everything that the API server would fill in is written out, because policies are compared exactly.

use crate::object::{Key, Kind, Rendered};
use serde_json::{Value, json};

/// One thing that must hold, and what to say when it does not.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// A CEL expression.
    pub(crate) must: String,
    /// A sentence with the way out.
    pub(crate) message: &'static str,
}

impl Rule {
    pub(crate) fn new(must: impl Into<String>, message: &'static str) -> Self {
        Self { must: must.into(), message }
    }
}

/// What a policy looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) group: &'static str,
    pub(crate) resources: &'static [&'static str],
    pub(crate) operations: &'static [&'static str],
    pub(crate) scope: &'static str,
}

/// The scope of objects in namespaces.
pub(crate) const NAMESPACED: &str = "Namespaced";
/// The scope of objects outside of them.
pub(crate) const GLOBAL: &str = "Cluster";

impl Target {
    pub(crate) const PODS: Self =
        Self { resources: &["pods", "pods/ephemeralcontainers"], ..Self::SERVICES };
    pub(crate) const SERVICES: Self =
        Self { group: "", resources: &["services"], operations: WRITES, scope: NAMESPACED };

    fn constraints(self) -> Value {
        json!({
            "matchPolicy": "Equivalent",
            "namespaceSelector": {},
            "objectSelector": {},
            "resourceRules": [{
                "apiGroups": [self.group],
                "apiVersions": ["v1"],
                "operations": self.operations,
                "resources": self.resources,
                "scope": self.scope,
            }],
        })
    }
}

pub(crate) const WRITES: &[&str] = &["CREATE", "UPDATE"];

/// A policy that refuses, in all parts.
#[derive(Debug)]
pub(crate) struct Refusal<'a> {
    pub(crate) name: &'a str,
    pub(crate) target: Target,
    /// Names and CEL expressions.
    pub(crate) conditions: &'a [(&'a str, &'a str)],
    /// Names and CEL expressions.
    pub(crate) variables: Vec<(&'a str, String)>,
    pub(crate) rules: Vec<Rule>,
    /// Which namespaces it holds in.
    pub(crate) namespaces: &'a Value,
    /// The configuration map that its expressions know as `params`; without it everything is refused.
    pub(crate) params: Option<&'a Key>,
}

impl Refusal<'_> {
    /// The policy and its binding.
    pub(crate) fn render(self) -> [Rendered; 2] {
        let validations: Vec<Value> = self
            .rules
            .iter()
            .map(|rule| json!({ "expression": rule.must, "message": rule.message, "reason": "Forbidden" }))
            .collect();
        let mut spec = json!({
            "failurePolicy": "Fail",
            "matchConstraints": self.target.constraints(),
            "validations": validations,
        });
        if !self.conditions.is_empty() {
            spec["matchConditions"] = named(self.conditions.iter().copied());
        }
        if !self.variables.is_empty() {
            let variables = self.variables.iter().map(|(name, text)| (*name, text.as_str()));
            spec["variables"] = named(variables);
        }
        let mut bound = json!({
            "policyName": self.name,
            "validationActions": ["Deny"],
            "matchResources": everything_in(self.namespaces),
        });
        if let Some(params) = self.params {
            let kind = params.kind;
            spec["paramKind"] = json!({ "apiVersion": kind.api_version(), "kind": kind.as_str() });
            bound["paramRef"] = json!({
                "name": params.name,
                "namespace": params.namespace,
                "parameterNotFoundAction": "Deny",
            });
        }
        let policy = Key::global(Kind::ValidatingAdmissionPolicy, self.name);
        let binding = Key::global(Kind::ValidatingAdmissionPolicyBinding, self.name);
        [
            Rendered::new(policy, None, json!({ "spec": spec })),
            Rendered::new(binding, None, json!({ "spec": bound })),
        ]
    }
}

/// A policy that changes objects by an apply configuration, and its binding.
pub(crate) fn mutation(
    name: &str,
    target: Target,
    condition: (&str, &str),
    apply: &str,
    namespaces: &Value,
) -> [Rendered; 2] {
    let policy = json!({ "spec": {
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "matchConstraints": target.constraints(),
        "matchConditions": named([condition]),
        "mutations": [
            { "patchType": "ApplyConfiguration", "applyConfiguration": { "expression": apply } },
        ],
    } });
    let binding = json!({ "spec": {
        "policyName": name,
        "matchResources": everything_in(namespaces),
    } });
    [
        Rendered::new(Key::global(Kind::MutatingAdmissionPolicy, name), None, policy),
        Rendered::new(Key::global(Kind::MutatingAdmissionPolicyBinding, name), None, binding),
    ]
}

fn everything_in(namespaces: &Value) -> Value {
    json!({
        "matchPolicy": "Equivalent",
        "namespaceSelector": namespaces,
        "objectSelector": {},
    })
}

fn named<'a>(expressions: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    expressions
        .into_iter()
        .map(|(name, expression)| json!({ "name": name, "expression": expression }))
        .collect()
}
