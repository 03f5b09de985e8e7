//! The fields that the form has, in their order and with their hints.

use super::{Control, Field, FieldGroup};
use application::session::NewSession;
use domain::{FailureClass, OnDrain, Plan, Resources};
use std::fmt::Display;

pub(super) fn retry_id(class: FailureClass) -> String {
    format!("retry-{class}")
}

fn field(id: &str, label: &str, hint: impl Into<String>, control: Control) -> Field {
    let (id, label, hint) = (id.to_owned(), label.to_owned(), hint.into());
    Field { id, label, hint, control, value: String::new(), errors: Vec::new() }
}

/// All of them, with the limits of the plan in their hints.
pub(super) fn groups(plan: &Plan) -> Vec<FieldGroup> {
    let group = |label, fields| FieldGroup { label, hint: "", is_folded: false, fields };
    let project = "A namespace in the tenant's cluster; agents if empty.";
    vec![
        group("What runs", what()),
        group("Environment", environment()),
        group("Limits", limits(plan)),
        group(
            "Where to find it",
            vec![
                field("project", "Project", project, Control::Text),
                field("labels", "Labels", "NAME=value, one per line.", Control::Lines(2)),
            ],
        ),
        FieldGroup {
            label: "What follows a failure, or a node that is emptied",
            hint: "How many runs there may be in all, by where the failure comes from.",
            is_folded: true,
            fields: afterwards(),
        },
    ]
}

fn what() -> Vec<Field> {
    let words = "The program, then its arguments: one word per line.";
    vec![
        field("image", "Image", "E.g. registry.example/agent:1", Control::Text),
        field("command", "Command", words, Control::Lines(4)),
    ]
}

fn environment() -> Vec<Field> {
    let secret = "NAME=value, one per line. Masked in the log, and shown to nobody again.";
    vec![
        field("env", "Variables", "NAME=value, one per line.", Control::Lines(3)),
        field("secrets", "Secrets", secret, Control::Lines(3)),
    ]
}

fn limits(plan: &Plan) -> Vec<Field> {
    let Plan { session_cpu, session_memory, session_timeout_seconds, .. } = plan;
    let (timeout, grace) = (NewSession::TIMEOUT_SECONDS, NewSession::GRACE_PERIOD_SECONDS);
    let Resources { cpu, memory } = Resources::default();
    let told =
        |usual: &dyn Display, most: &dyn Display| format!("{usual} if empty, at most {most}");
    vec![
        field("cpu", "CPU", told(&cpu, session_cpu), Control::Short),
        field("memory", "Memory", told(&memory, session_memory), Control::Short),
        field(
            "timeout",
            "Time limit in s",
            told(&timeout, session_timeout_seconds),
            Control::Short,
        ),
        field("grace", "Grace period in s", told(&grace, &300), Control::Short),
    ]
}

fn afterwards() -> Vec<Field> {
    let drains = vec![
        (OnDrain::Wait.as_str(), "Let it run to its end"),
        (OnDrain::Stop.as_str(), "Stop it, with its grace period"),
        (OnDrain::Restart.as_str(), "Restart it elsewhere, with its grace period"),
    ];
    let retry = |class: FailureClass| {
        let (label, hint) = retry_words(class);
        field(&retry_id(class), label, hint, Control::Short)
    };
    let drain = field("drain", "When its node is emptied", "", Control::Choice(drains));
    FailureClass::ALL.into_iter().map(retry).chain([drain]).collect()
}

/// A class of failures, and when another run helps.
const fn retry_words(class: FailureClass) -> (&'static str, &'static str) {
    match class {
        FailureClass::Transient => ("Before the agent began", "3 if empty: nothing was done twice"),
        FailureClass::Resource => ("Too little of a resource", "1 if empty"),
        FailureClass::UserConfig => ("What it was told to do", "1 if empty: seldom helps"),
        FailureClass::PolicyDenied => ("A rule that refused it", "1 if empty: seldom helps"),
        FailureClass::Agent => ("The agent itself", "1 if empty"),
        FailureClass::Infrastructure => ("The machines below it", "1 if empty"),
    }
}
