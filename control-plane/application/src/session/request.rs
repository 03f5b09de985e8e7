//! What a caller sends to start a session or to run one again, and how it becomes a [`SessionSpec`].

use crate::{draft, result_schema};
use domain::{
    Bytes, FailureClass, Input, InputSource, Invalid, Millicores, OnDrain, Plan, ProjectName,
    Resources, RetryPolicy, RetryRule, SessionSpec,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a caller sends to start a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewSession {
    /// The project; `agents` if there is none.
    pub project: Option<String>,
    /// The agent's image.
    pub image: String,
    /// The program to start.
    pub command: Vec<String>,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// What is secret of its environment.
    pub secrets: BTreeMap<String, String>,
    /// Its inputs.
    pub inputs: Vec<NewInput>,
    /// What it may use.
    pub resources: NewResources,
    /// The user that it runs as.
    pub run_as_user: Option<u32>,
    /// How long it may run, in seconds.
    pub timeout_seconds: Option<u32>,
    /// How long it has to end after SIGTERM, in seconds.
    pub grace_period_seconds: Option<u32>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// After which failures it is tried again, by the class of the failure.
    pub retry: BTreeMap<String, NewRetryRule>,
    /// What may be done with it when its node has to be emptied: the word.
    pub on_drain: Option<String>,
    /// The JSON Schema that its result has to obey.
    pub result_schema: Option<Value>,
}

/// What a caller changes when a session is run again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRerun {
    /// What it may use.
    pub resources: NewResources,
    /// How long it may run, in seconds.
    pub timeout_seconds: Option<u32>,
}

/// What follows a failure of one class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NewRetryRule {
    /// How many runs there may be in all.
    pub attempts: u32,
    /// The pause before the second one, in seconds.
    pub backoff_seconds: Option<u32>,
    /// How much memory the next run gets, in percent of what this one had.
    pub memory_percent: Option<u32>,
}

/// An input: a name, and one of the other two.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewInput {
    /// Its file name.
    pub name: String,
    /// Its text.
    pub content: Option<String>,
    /// The digest of an uploaded blob.
    pub digest: Option<String>,
}

/// Kubernetes quantities.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewResources {
    /// CPU, e.g. `250m`.
    pub cpu: Option<String>,
    /// Memory, e.g. `256Mi`.
    pub memory: Option<String>,
}

impl NewSession {
    /// How long a session may run when it does not say.
    pub const TIMEOUT_SECONDS: u32 = 3600;
    /// How long a session has to end when it does not say.
    pub const GRACE_PERIOD_SECONDS: u32 = 30;

    /// Checks every field; the plan sets the limits.
    ///
    /// # Errors
    /// Every field that breaks a rule.
    pub(crate) fn check(self, plan: &Plan) -> Result<SessionSpec, Invalid> {
        let mut invalid = Invalid::default();
        let project = match self.project.as_deref() {
            None => ProjectName::standard(),
            Some(text) => ProjectName::parse("/project", text).unwrap_or_else(|error| {
                invalid.fields.extend(error.fields);
                ProjectName::standard()
            }),
        };
        let spec = SessionSpec {
            project,
            image: self.image,
            command: self.command,
            args: self.args,
            env: self.env,
            secrets: self.secrets,
            inputs: inputs(self.inputs, &mut invalid),
            resources: self.resources.over(Resources::default(), &mut invalid),
            run_as_user: self.run_as_user.unwrap_or(SessionSpec::STANDARD_USER),
            timeout_seconds: self.timeout_seconds.unwrap_or(Self::TIMEOUT_SECONDS),
            grace_period_seconds: self.grace_period_seconds.unwrap_or(Self::GRACE_PERIOD_SECONDS),
            labels: self.labels,
            retry: retry(&self.retry, &mut invalid),
            on_drain: on_drain(self.on_drain.as_deref(), &mut invalid),
            result_schema: self.result_schema,
        };
        checked(spec, plan, invalid)
    }
}

impl NewRerun {
    /// What a session was to do, with the changes; the plan sets the limits.
    ///
    /// # Errors
    /// Every field that breaks a rule, also one that is not changed.
    pub(crate) fn check(self, spec: SessionSpec, plan: &Plan) -> Result<SessionSpec, Invalid> {
        let mut invalid = Invalid::default();
        let resources = self.resources.over(spec.resources, &mut invalid);
        let timeout_seconds = self.timeout_seconds.unwrap_or(spec.timeout_seconds);
        checked(SessionSpec { resources, timeout_seconds, ..spec }, plan, invalid)
    }
}

/// The specification if it breaks no rule, and nothing is known to be wrong already.
fn checked(spec: SessionSpec, plan: &Plan, mut invalid: Invalid) -> Result<SessionSpec, Invalid> {
    if let Some(schema) = &spec.result_schema
        && let Err(rule) = result_schema::check(schema)
    {
        invalid.add("/resultSchema", "…", rule);
    }
    if let Err(error) = spec.validate(plan) {
        draft::add(&mut invalid, error);
    }
    invalid.into_result()?;
    Ok(spec)
}

/// What is not said stays as it is for everybody.
fn retry(new: &BTreeMap<String, NewRetryRule>, invalid: &mut Invalid) -> RetryPolicy {
    let mut policy = RetryPolicy::default();
    for (word, new) in new {
        let Some(class) = FailureClass::parse(word) else {
            let all = FailureClass::ALL.map(FailureClass::as_str).join(", ");
            invalid.add(&format!("/retry/{word}"), word, format!("a class of failures: {all}"));
            continue;
        };
        let none = RetryRule::NONE;
        let rule = RetryRule {
            attempts: new.attempts,
            backoff_seconds: new.backoff_seconds.unwrap_or(none.backoff_seconds),
            memory_percent: new.memory_percent.unwrap_or(none.memory_percent),
        };
        policy.0.insert(class, rule);
    }
    policy
}

fn on_drain(word: Option<&str>, invalid: &mut Invalid) -> OnDrain {
    let Some(word) = word else { return OnDrain::default() };
    OnDrain::parse(word).unwrap_or_else(|| {
        let all = OnDrain::ALL.map(OnDrain::as_str).join(", ");
        invalid.add("/onDrain", word, format!("one of: {all}"));
        OnDrain::default()
    })
}

impl NewResources {
    /// What is said, over what there is otherwise.
    fn over(&self, mut resources: Resources, invalid: &mut Invalid) -> Resources {
        if let Some(text) = &self.cpu {
            match Millicores::parse(text) {
                Some(cpu) => resources.cpu = cpu,
                None => invalid.add("/resources/cpu", text, "a quantity of CPU, e.g. 250m or 1.5"),
            }
        }
        if let Some(text) = &self.memory {
            match Bytes::parse(text) {
                Some(memory) => resources.memory = memory,
                None => {
                    invalid.add(
                        "/resources/memory",
                        text,
                        "a quantity of bytes, e.g. 256Mi or 2Gi",
                    );
                }
            }
        }
        resources
    }
}

fn inputs(new: Vec<NewInput>, invalid: &mut Invalid) -> Vec<Input> {
    let mut inputs = Vec::new();
    for (index, NewInput { name, content, digest }) in new.into_iter().enumerate() {
        let source = match (content, digest) {
            (Some(text), None) => InputSource::Inline(text),
            (None, Some(text)) => text.parse().map_or_else(
                |error: domain::ParseDigestError| {
                    let field = format!("/inputs/{index}/digest");
                    invalid.add(&field, &text, error.to_string());
                    InputSource::Inline(String::new())
                },
                InputSource::Blob,
            ),
            (content, _) => {
                let value = if content.is_some() { "content and digest" } else { "neither" };
                let rule = "exactly one of content and digest";
                invalid.add(&format!("/inputs/{index}"), value, rule);
                InputSource::Inline(String::new())
            }
        };
        inputs.push(Input { name, source });
    }
    inputs
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::PlanName;

    fn fields(new: NewSession) -> Vec<String> {
        match new.check(&Plan::current(PlanName::Starter)) {
            Ok(_) => Vec::new(),
            Err(invalid) => invalid.fields.into_iter().map(|field| field.field).collect(),
        }
    }

    fn new() -> NewSession {
        NewSession {
            image: "agent:1".to_owned(),
            command: vec!["/agent".to_owned()],
            ..NewSession::default()
        }
    }

    #[test]
    fn what_is_not_said_gets_its_default() {
        let spec = new().check(&Plan::current(PlanName::Starter)).expect("all is well");
        assert_eq!(spec.project, ProjectName::standard());
        assert_eq!((spec.timeout_seconds, spec.grace_period_seconds), (3600, 30));
        assert_eq!((spec.resources, spec.run_as_user), (Resources::default(), 65532));
    }

    #[test]
    fn all_broken_fields_are_named_at_once() {
        let input = |name: &str, content: Option<&str>, digest: Option<&str>| NewInput {
            name: name.to_owned(),
            content: content.map(str::to_owned),
            digest: digest.map(str::to_owned),
        };
        let bad = NewSession {
            project: Some("kube-system".to_owned()),
            command: Vec::new(),
            inputs: vec![
                input("a", None, None),
                input("b", Some(""), Some("sha256:00")),
                input("c", None, Some("sha256:00")),
                input("../d", Some(""), None),
            ],
            on_drain: Some("flee".to_owned()),
            resources: NewResources {
                cpu: Some("much".to_owned()),
                memory: Some("900Gi".to_owned()),
            },
            ..new()
        };
        let expected = [
            "/project",
            "/inputs/0",
            "/inputs/1",
            "/inputs/2/digest",
            "/resources/cpu",
            "/onDrain",
            "/command",
            "/inputs/3/name",
            "/resources/memory",
        ];
        assert_eq!(fields(bad), expected);
    }
}
