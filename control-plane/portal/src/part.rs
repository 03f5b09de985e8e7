//! The parts that pages consist of. Each is a template of its own and can stand in others as it is.

mod gauge;
mod steps;

pub(crate) use gauge::Gauge;
pub(crate) use steps::OperationPart;

use crate::{time::When, words::Tone};
use askama::{Template, filters::HtmlSafe};
use std::fmt;

/// The icon of a state; its word stands beside it.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "part/icon.html")]
pub(crate) struct Icon(pub(crate) Tone);

/// How something is: icon, word, reason, since.
#[derive(Debug, Clone, Template)]
#[template(path = "part/status.html")]
pub(crate) struct Status {
    pub(crate) icon: Icon,
    pub(crate) word: String,
    /// A sentence, or empty.
    pub(crate) reason: String,
    pub(crate) since: Option<When>,
}

/// Text to copy: a command, a document, a request.
#[derive(Debug, Clone, Template)]
#[template(path = "part/code.html")]
pub(crate) struct Code {
    /// What it is, for those who do not see it.
    pub(crate) label: String,
    pub(crate) text: String,
}

/// Nothing to show: one sentence, one action, the same as a command.
#[derive(Debug, Clone, Template)]
#[template(path = "part/empty.html")]
pub(crate) struct Empty {
    pub(crate) sentence: String,
    /// Label and address.
    pub(crate) action: Option<(String, String)>,
    pub(crate) command: Option<Code>,
}

/// What went wrong, and the way out.
#[derive(Debug, Clone, Template)]
#[template(path = "part/problem.html")]
pub(crate) struct Problem {
    pub(crate) code: String,
    pub(crate) detail: String,
    /// What to do; may be empty.
    pub(crate) hint: String,
}

/// The end of something, on purpose: what goes, and its name to type.
#[derive(Debug, Clone, Template)]
#[template(path = "part/danger.html")]
pub(crate) struct Danger {
    /// What the button does.
    pub(crate) verb: String,
    /// What it is done to, to be typed.
    pub(crate) name: String,
    /// What is destroyed, with counts.
    pub(crate) goes: Vec<String>,
    /// Where the form goes.
    pub(crate) url: String,
    /// What was typed instead; then the form says so.
    pub(crate) mistyped: Option<String>,
}

/// An identifier: short to look at, whole to copy.
#[derive(Debug, Clone, Template)]
#[template(path = "part/id.html")]
pub(crate) struct Id {
    short: String,
    whole: String,
}

impl HtmlSafe for Id {}
impl HtmlSafe for Icon {}
impl HtmlSafe for Status {}
impl HtmlSafe for Code {}
impl HtmlSafe for Empty {}
impl HtmlSafe for Problem {}
impl HtmlSafe for Danger {}

impl Id {
    /// The prefix and the last characters: those of a UUID of version 7 that differ.
    pub(crate) fn new(id: impl fmt::Display) -> Self {
        let whole = id.to_string();
        let prefix = whole.split_once('_').map(|(prefix, _)| format!("{prefix}_"));
        let prefix = prefix.unwrap_or_default();
        let digits = whole.chars().count() - prefix.chars().count();
        let tail = || whole.chars().skip(whole.chars().count() - 6).collect::<String>();
        let short = if digits > 6 { format!("{prefix}…{}", tail()) } else { whole.clone() };
        Self { short, whole }
    }
}

impl Icon {
    fn name(self) -> &'static str {
        self.0.as_str()
    }
}

impl Status {
    /// A state by its word alone.
    pub(crate) fn of((tone, word): (Tone, &str)) -> Self {
        Self { icon: Icon(tone), word: word.to_owned(), reason: String::new(), since: None }
    }

    pub(crate) fn since(self, when: When) -> Self {
        Self { since: Some(when), ..self }
    }

    pub(crate) fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..self }
    }
}

impl Code {
    pub(crate) fn new(label: impl Into<String>, text: impl Into<String>) -> Self {
        Self { label: label.into(), text: text.into() }
    }

    pub(crate) fn command(text: impl Into<String>) -> Self {
        Self::new("Command", text)
    }
}
