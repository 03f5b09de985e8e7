//! The form for a new session: its fields as they were typed, and what they say.

mod fields;

use application::{
    Draft,
    session::{NewResources, NewRetryRule, NewSession},
};
use domain::{FailureClass, Invalid, InvalidField, Plan};
use fields::{groups, retry_id};
use serde::Deserialize;
use std::{collections::BTreeMap, str::FromStr};

/// What was typed, by the names of the fields.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Typed(BTreeMap<String, String>);

/// Fields that belong together.
#[derive(Debug)]
pub(super) struct FieldGroup {
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
    /// Whether they are seldom needed, and so folded unless something is in them.
    pub(super) is_folded: bool,
    pub(super) fields: Vec<Field>,
}

/// One field as it is shown.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) hint: String,
    pub(super) control: Control,
    pub(super) value: String,
    /// What is wrong with it; empty if nothing is.
    pub(super) errors: Vec<String>,
}

/// How a field is filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Control {
    Text,
    /// Short, e.g. a number.
    Short,
    /// So many lines.
    Lines(u8),
    /// One of these.
    Choice(Vec<(&'static str, &'static str)>),
}

impl Field {
    /// What ties its control to its hint and its errors; made of names of our own only.
    pub(super) fn attributes(&self) -> String {
        let Self { id, hint, errors, .. } = self;
        let hint = (!hint.is_empty()).then(|| format!("{id}-hint"));
        let errors = (1..=errors.len()).map(|index| format!("{id}-error-{index}"));
        let told: Vec<_> = hint.into_iter().chain(errors).collect();
        let is_wrong = if self.errors.is_empty() { "" } else { " aria-invalid=\"true\"" };
        if told.is_empty() {
            return is_wrong.to_owned();
        }
        format!("{is_wrong} aria-describedby=\"{}\"", told.join(" "))
    }
}

impl Typed {
    /// Without the blanks around it; nothing if it was left empty.
    pub(super) fn get(&self, id: &str) -> Option<&str> {
        self.0.get(id).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    fn raw(&self, id: &str) -> String {
        self.0.get(id).cloned().unwrap_or_default()
    }

    /// All that was typed as one text, the same for the same.
    pub(super) fn request(&self) -> String {
        let pairs = self.0.iter().filter(|(name, _)| *name != "then");
        pairs.flat_map(|(name, value)| [name.as_str(), "\0", value, "\0"]).collect()
    }

    /// The lines of a field, without empty ones. Blanks around a line may be meant, as in an argument.
    fn lines(&self, id: &str) -> impl Iterator<Item = &str> {
        let lines = self.0.get(id).map(String::as_str).unwrap_or_default().lines();
        lines.filter(|line| !line.trim().is_empty())
    }

    /// What the fields say, with those that cannot be read.
    pub(super) fn draft(&self) -> Draft<NewSession> {
        let mut invalid = Invalid::default();
        let mut words = self.lines("command").map(str::to_owned);
        let command = words.next().into_iter().collect();
        let args = words.collect();
        let text = |id: &str| self.get(id).map(str::to_owned);
        let value = NewSession {
            project: text("project"),
            image: text("image").unwrap_or_default(),
            command,
            args,
            env: self.pairs("env", &mut invalid),
            secrets: self.pairs("secrets", &mut invalid),
            labels: self.pairs("labels", &mut invalid),
            resources: NewResources { cpu: text("cpu"), memory: text("memory") },
            timeout_seconds: self.number("timeout", "/timeoutSeconds", &mut invalid),
            grace_period_seconds: self.number("grace", "/gracePeriodSeconds", &mut invalid),
            retry: self.retry(&mut invalid),
            on_drain: text("drain"),
            ..NewSession::default()
        };
        Draft { value, invalid }
    }

    fn retry(&self, invalid: &mut Invalid) -> BTreeMap<String, NewRetryRule> {
        let rule = |class: FailureClass| {
            let field = format!("/retry/{class}/attempts");
            let attempts = self.number(&retry_id(class), &field, invalid)?;
            Some((class.to_string(), NewRetryRule { attempts, ..NewRetryRule::default() }))
        };
        FailureClass::ALL.into_iter().filter_map(rule).collect()
    }

    fn number<T: FromStr>(&self, id: &str, field: &str, invalid: &mut Invalid) -> Option<T> {
        let text = self.get(id)?;
        let number = text.parse().ok();
        if number.is_none() {
            invalid.add(field, text, "a whole number");
        }
        number
    }

    /// Lines like `NAME=value`. A value that is wrong is not told back: it may be a password.
    fn pairs(&self, id: &str, invalid: &mut Invalid) -> BTreeMap<String, String> {
        let mut pairs = BTreeMap::new();
        for (index, line) in self.lines(id).enumerate() {
            let pair = line.split_once('=').map(|(name, value)| (name.trim(), value));
            match pair {
                None => {
                    let rule = format!("NAME=value on each line; line {} has no '='", index + 1);
                    invalid.add(&format!("/{id}"), "…", rule);
                }
                Some((name, value)) => {
                    if pairs.insert(name.to_owned(), value.to_owned()).is_some() {
                        let rule = format!("each name once; {name} is there twice");
                        invalid.add(&format!("/{id}"), name, rule);
                    }
                }
            }
        }
        pairs
    }

    /// The fields of the form as they are shown, with what is wrong with each.
    pub(super) fn groups(&self, plan: &Plan, invalid: &Invalid) -> Vec<FieldGroup> {
        let mut groups = groups(plan);
        for field in groups.iter_mut().flat_map(|group| &mut group.fields) {
            field.value = self.raw(&field.id);
            let of_this = invalid.fields.iter().filter(|broken| id_of(broken) == field.id);
            field.errors = of_this.map(told).collect();
        }
        for group in &mut groups {
            let is_usual = |field: &Field| match &field.control {
                Control::Choice(choices) => {
                    choices.first().is_some_and(|(value, _)| *value == field.value)
                }
                Control::Text | Control::Short | Control::Lines(_) => false,
            };
            let is_used = |field: &Field| {
                !(field.value.is_empty() || is_usual(field)) || !field.errors.is_empty()
            };
            group.is_folded &= !group.fields.iter().any(is_used);
        }
        groups
    }
}

/// The name of the form's field that a pointer of the API means; `image` stands for what the form has no field for.
pub(super) fn id_of(broken: &InvalidField) -> String {
    let mut parts = broken.field.trim_start_matches('/').split('/');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    match (first, second) {
        ("command" | "args", _) => "command".to_owned(),
        ("resources", Some(which)) => which.to_owned(),
        ("timeoutSeconds", _) => "timeout".to_owned(),
        ("gracePeriodSeconds", _) => "grace".to_owned(),
        ("onDrain", _) => "drain".to_owned(),
        ("retry", Some(class)) => format!("retry-{class}"),
        ("env" | "secrets" | "labels" | "project" | "image", _) => first.to_owned(),
        _ => "image".to_owned(),
    }
}

/// A broken rule as a sentence, naming the entry where a field has several.
pub(super) fn told(broken: &InvalidField) -> String {
    let mut parts = broken.field.trim_start_matches('/').splitn(2, '/');
    let entry = match (parts.next(), parts.next()) {
        (Some("env" | "secrets" | "labels"), Some(name)) => format!("{name}: "),
        _ => String::new(),
    };
    format!("{entry}It has to be {}.", broken.rule)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::PlanName;

    fn typed(pairs: &[(&str, &str)]) -> Typed {
        Typed(pairs.iter().map(|(id, text)| ((*id).to_owned(), (*text).to_owned())).collect())
    }

    #[test]
    fn what_is_typed_becomes_what_the_interface_takes() {
        let typed = typed(&[
            ("image", " agent:1 "),
            ("command", "/agent\r\n--say\r\n  two words\r\n\r\n"),
            ("env", "A=1\r\nB=x=y\r\nC="),
            ("retry-agent", "2"),
            ("timeout", ""),
        ]);
        let Draft { value, invalid } = typed.draft();
        assert!(invalid.fields.is_empty());
        assert_eq!((value.image.as_str(), value.command.len()), ("agent:1", 1));
        assert_eq!(value.args, ["--say", "  two words"]);
        let env = [("A", "1"), ("B", "x=y"), ("C", "")];
        assert_eq!(value.env, env.map(|(a, b)| (a.to_owned(), b.to_owned())).into());
        assert_eq!(value.retry["agent"].attempts, 2);
        assert_eq!(value.timeout_seconds, None);
    }

    #[test]
    fn every_broken_field_is_found_in_the_form() {
        let typed = typed(&[("env", "A"), ("secrets", "B"), ("grace", "x"), ("retry-agent", "y")]);
        let invalid = typed.draft().invalid;
        let groups = typed.groups(&Plan::current(PlanName::Starter), &invalid);
        let fields = groups.iter().flat_map(|group| &group.fields);
        let broken: Vec<_> = fields.filter(|field| !field.errors.is_empty()).collect();
        let ids: Vec<_> = broken.iter().map(|field| field.id.as_str()).collect();
        assert_eq!(ids, ["env", "secrets", "grace", "retry-agent"]);
        assert!(!groups.iter().any(|group| group.is_folded), "what is wrong is not folded away");
    }
}
