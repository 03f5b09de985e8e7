//! What a session is to do, as it was asked for. The values of secrets are nowhere in it.

use super::{summary::size, twin::quoted};
use crate::time::Took;
use application::session::SessionView;
use askama::{Template, filters::HtmlSafe};
use domain::{FailureClass, Input, InputSource, RetryRule, SessionSpec};

/// The specification.
#[derive(Debug, Template)]
#[template(path = "session/spec.html")]
pub(super) struct Spec {
    /// Name and value, those that are one line.
    facts: Vec<(&'static str, String)>,
    env: Vec<Variable>,
    inputs: Vec<(String, String)>,
    schema: Option<String>,
}

/// A variable of its environment; without its value where that is not shown.
#[derive(Debug)]
struct Variable {
    name: String,
    value: Option<String>,
    is_secret: bool,
}

impl HtmlSafe for Spec {}

impl Spec {
    pub(super) fn new(view: &SessionView) -> Self {
        let spec = &view.session.spec;
        let seconds = |seconds: u32| Took::milliseconds(seconds.saturating_mul(1000)).to_string();
        let words = spec.command.iter().chain(&spec.args).map(|word| quoted(word));
        let labels = spec.labels.iter().map(|(name, value)| format!("{name}={value}"));
        let facts = vec![
            ("Image", spec.image.clone()),
            ("Command", words.collect::<Vec<_>>().join(" ")),
            ("Project", spec.project.to_string()),
            ("CPU", spec.resources.cpu.to_string()),
            ("Memory", spec.resources.memory.to_string()),
            ("Time limit", seconds(spec.timeout_seconds)),
            ("Grace period", seconds(spec.grace_period_seconds)),
            ("User", spec.run_as_user.to_string()),
            ("Retries", retries(spec)),
            ("When its node is emptied", spec.on_drain.as_str().to_owned()),
            ("Labels", labels.collect::<Vec<_>>().join(" ")),
        ];
        let shown = spec.env.iter().map(|(name, value)| Variable {
            name: name.clone(),
            value: view.is_env_shown.then(|| value.clone()),
            is_secret: false,
        });
        let secret = spec.secrets.keys().map(|name| Variable {
            name: name.clone(),
            value: None,
            is_secret: true,
        });
        let schema = spec.result_schema.as_ref();
        Self {
            facts: facts.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
            env: shown.chain(secret).collect(),
            inputs: spec.inputs.iter().map(input).collect(),
            schema: schema.and_then(|schema| serde_json::to_string_pretty(schema).ok()),
        }
    }
}

fn input(Input { name, source }: &Input) -> (String, String) {
    let told = match source {
        InputSource::Inline(text) => size(text.len() as u64),
        InputSource::Blob(digest) => digest.to_string(),
    };
    (name.clone(), told)
}

/// E.g. `agent 2, transient 3`.
fn retries(spec: &SessionSpec) -> String {
    let rule = |(class, rule): (&FailureClass, &RetryRule)| {
        let more = rule.memory_percent > RetryRule::NONE.memory_percent;
        let memory =
            if more { format!(" with {} % of memory", rule.memory_percent) } else { String::new() };
        format!("{class} {}{memory}", rule.attempts)
    };
    spec.retry.0.iter().map(rule).collect::<Vec<_>>().join(", ")
}
