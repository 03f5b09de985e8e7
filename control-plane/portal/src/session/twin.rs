//! The same as a form, as a command and as a call of the API: so that the form teaches how to do without it.

use super::form::Typed;
use crate::part::Code;
use application::session::NewSession;
use domain::TenantName;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What a secret's value is replaced by.
const HIDDEN: &str = "…";

/// A command and a request that do the same.
#[derive(Debug)]
pub(super) struct Twin {
    pub(super) command: Code,
    pub(super) request: Code,
    /// Whether the command takes secrets from where it is run.
    pub(super) has_secrets: bool,
}

impl Twin {
    pub(super) fn new(tenant: &TenantName, typed: &Typed) -> Self {
        let new = typed.draft().value;
        let body = serde_json::to_string_pretty(&body(&new)).unwrap_or_default();
        let request = format!(
            "curl --fail-with-body \"$WARREN_URL/api/v1/tenants/{tenant}/sessions\" \\\n  \
             -H \"Authorization: Bearer $WARREN_TOKEN\" \\\n  \
             -H \"Content-Type: application/json\" \\\n  \
             -d {}",
            quoted(&body)
        );
        Self {
            command: Code::command(command(tenant, &new)),
            request: Code::new("API call", request),
            has_secrets: !new.secrets.is_empty(),
        }
    }
}

fn command(tenant: &TenantName, new: &NewSession) -> String {
    let mut options = vec![("image", new.image.clone())];
    let pairs = |map: &BTreeMap<String, String>| -> Vec<String> {
        map.iter().map(|(name, value)| format!("{name}={value}")).collect()
    };
    options.extend(pairs(&new.env).into_iter().map(|pair| ("env", pair)));
    options.extend(new.secrets.keys().map(|name| ("secret", name.clone())));
    options.extend(pairs(&new.labels).into_iter().map(|pair| ("label", pair)));
    let retry = new.retry.iter().map(|(class, rule)| format!("{class}={}", rule.attempts));
    options.extend(retry.map(|rule| ("retry", rule)));
    let seconds = |seconds: Option<u32>| seconds.map(|seconds| format!("{seconds}s"));
    let single = [
        ("cpu", new.resources.cpu.clone()),
        ("memory", new.resources.memory.clone()),
        ("timeout", seconds(new.timeout_seconds)),
        ("grace", seconds(new.grace_period_seconds)),
        ("project", new.project.clone()),
        ("on-drain", new.on_drain.clone()),
    ];
    options.extend(single.into_iter().filter_map(|(name, value)| Some((name, value?))));
    let tenant = format!("warren session run --tenant {tenant}");
    let options = options.iter().map(|(name, value)| format!("--{name} {}", quoted(value)));
    let words = new.command.iter().chain(&new.args).map(|word| format!(" {}", quoted(word)));
    let end = ["--follow --".to_owned()].into_iter().chain(words).collect::<Vec<_>>().concat();
    let parts = [tenant].into_iter().chain(options).chain([end]);
    parts.collect::<Vec<_>>().join(" \\\n  ")
}

fn body(new: &NewSession) -> Value {
    let mut body = json!({ "image": new.image, "command": new.command });
    let mut set = |name: &str, value: Value| {
        let is_nothing = value.is_null()
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(Map::is_empty);
        if !is_nothing {
            body[name] = value;
        }
    };
    set("args", json!(new.args));
    set("env", json!(new.env));
    set("secrets", new.secrets.keys().map(|name| (name.clone(), json!(HIDDEN))).collect());
    let amounts = [("cpu", &new.resources.cpu), ("memory", &new.resources.memory)];
    let amounts = amounts.into_iter().filter_map(|(name, amount)| Some((name, amount.as_ref()?)));
    set("resources", amounts.map(|(name, amount)| (name.to_owned(), json!(amount))).collect());
    set("timeoutSeconds", json!(new.timeout_seconds));
    set("gracePeriodSeconds", json!(new.grace_period_seconds));
    set("project", json!(new.project));
    set("labels", json!(new.labels));
    let rules = new.retry.iter();
    let rule = |(class, rule): (&String, &application::session::NewRetryRule)| {
        (class.clone(), json!({ "attempts": rule.attempts }))
    };
    set("retry", rules.map(rule).collect());
    set("onDrain", json!(new.on_drain));
    body
}

/// A word as a shell needs it.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twin_does_the_same_and_has_no_secret_in_it() {
        let pairs = [
            ("image", "agent:1"),
            ("command", "/agent\n--say\nit's me"),
            ("secrets", "KEY=hunter22"),
            ("memory", "1Gi"),
            ("retry-agent", "2"),
        ];
        let typed = serde_json::to_value(BTreeMap::from(pairs)).expect("JSON");
        let typed: Typed = serde_json::from_value(typed).expect("fields");
        let twin = Twin::new(&TenantName::parse("/name", "acme").expect("a name"), &typed);
        let expected = "warren session run --tenant acme \\\n  --image agent:1 \\\n  --secret KEY \\\n  --retry agent=2 \\\n  \
                        --memory 1Gi \\\n  --follow -- /agent --say 'it'\\''s me'";
        assert_eq!(twin.command.text, expected);
        assert!(!twin.request.text.contains("hunter22"), "{}", twin.request.text);
        assert!(twin.request.text.contains(r#""attempts": 2"#), "{}", twin.request.text);
    }
}
