//! The form that runs a session again, with what may help filled in.

use application::{
    Draft,
    session::{NewRerun, NewResources, SessionView},
};
use domain::{Invalid, SessionSpec};
use serde::Deserialize;

/// What was typed, or is proposed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Rerun {
    /// So that a second click starts no second session.
    pub(super) key: String,
    pub(super) cpu: String,
    pub(super) memory: String,
    pub(super) timeout: String,
}

impl Rerun {
    /// As it was, but for what may help.
    pub(super) fn proposed(view: &SessionView, key: String) -> Self {
        let SessionSpec { resources, timeout_seconds, .. } = &view.session.spec;
        let more = view.next_step.as_ref().and_then(|step| step.memory);
        Self {
            key,
            cpu: resources.cpu.to_string(),
            memory: more.unwrap_or(resources.memory).to_string(),
            timeout: timeout_seconds.to_string(),
        }
    }

    /// All of it as one text.
    pub(super) fn request(&self) -> String {
        let Self { key: _, cpu, memory, timeout } = self;
        format!("{cpu}\0{memory}\0{timeout}")
    }

    /// What is said; an empty field leaves it as it was.
    pub(super) fn draft(&self) -> Draft<NewRerun> {
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let mut invalid = Invalid::default();
        let timeout_seconds = text(&self.timeout).and_then(|typed| {
            let number = typed.parse().ok();
            if number.is_none() {
                invalid.add("/timeoutSeconds", &typed, "a whole number");
            }
            number
        });
        let resources = NewResources { cpu: text(&self.cpu), memory: text(&self.memory) };
        Draft { value: NewRerun { resources, timeout_seconds }, invalid }
    }
}
