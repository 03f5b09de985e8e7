//! What is wrong with a form that was sent, said above it and at its fields.

use askama::{Template, filters::HtmlSafe};
use domain::{Invalid, InvalidField};

/// Everything that is wrong with a form; nothing when it is shown for the first time.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "part/faults.html")]
pub(crate) struct Faults {
    faults: Vec<Fault>,
}

/// One thing that is wrong.
#[derive(Debug, Clone)]
struct Fault {
    /// The field's id on the page; empty if it is about all of them.
    field: String,
    rule: String,
}

impl HtmlSafe for Faults {}

impl Faults {
    /// About the form as a whole.
    pub(crate) fn whole(rule: impl Into<String>) -> Self {
        Self { faults: vec![Fault { field: String::new(), rule: rule.into() }] }
    }

    /// What is wrong with a field, if something is.
    pub(crate) fn of(&self, field: &str) -> Option<&str> {
        self.faults.iter().find(|fault| fault.field == field).map(|fault| fault.rule.as_str())
    }
}

impl From<Invalid> for Faults {
    fn from(invalid: Invalid) -> Self {
        let fault = |InvalidField { field, rule, value: _ }: InvalidField| Fault {
            field: field.trim_start_matches('/').to_owned(),
            rule,
        };
        Self { faults: invalid.fields.into_iter().map(fault).collect() }
    }
}
