//! What can go wrong, as one block for people or one JSON object for programs, and exit codes.

use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{error::Error, fmt, io, process::ExitCode};

use super::{format::visible, options::Format};

/// The contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Ok = 0,
    Failure = 1,
    Usage = 2,
    NotFound = 3,
    Denied = 4,
    Conflict = 5,
    Quota = 6,
    WaitTimedOut = 7,
    OperationFailed = 8,
    Interrupted = 130,
}

/// A problem as the API says it (RFC 9457); ours take the same form.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Problem {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<String>,
    pub(super) title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) errors: Vec<FieldError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
    #[serde(flatten)]
    pub(super) more: Map<String, Value>,
}

/// One field that breaks a rule.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct FieldError {
    pub(super) field: String,
    pub(super) value: Value,
    pub(super) rule: String,
}

/// Why a command ends with something else than 0.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    pub(super) problem: Box<Problem>,
    /// Nobody answered: worth another try.
    pub(super) is_unreachable: bool,
}

impl Failure {
    pub(super) fn new(exit: Exit, title: impl Into<String>) -> Self {
        let problem = Problem { title: title.into(), ..Problem::default() };
        Self { exit, problem: Box::new(problem), is_unreachable: false }
    }

    /// The command was not used as it is meant.
    pub(super) fn usage(title: impl Into<String>) -> Self {
        Self::new(Exit::Usage, title)
    }

    /// The server said something that this program does not understand.
    pub(super) fn unexpected(detail: impl Into<String>) -> Self {
        Self::new(Exit::Failure, "The server gave an unexpected answer")
            .detail(detail)
            .hint("compare the versions: warren version")
    }

    /// Something on this machine did not work.
    pub(super) fn local(what: impl Into<String>, error: &(dyn Error + 'static)) -> Self {
        Self::new(Exit::Failure, what).detail(chain(error))
    }

    /// The reader of stdout went away, or stdout is full.
    pub(super) fn stdout(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            // Whoever reads has enough: not an error, and nothing to say.
            Self::new(Exit::Ok, "")
        } else {
            Self::local("Writing to stdout failed", error)
        }
    }

    /// An answer with a status other than a success.
    pub(super) fn from_problem(status: StatusCode, mut problem: Problem) -> Self {
        problem.status = Some(status.as_u16());
        if problem.title.is_empty() {
            status.canonical_reason().unwrap_or("Refused").clone_into(&mut problem.title);
        }
        if status == StatusCode::UNAUTHORIZED {
            // The server speaks of headers, which nobody types here.
            let hint = "name a file that holds an API token: WARREN_TOKEN_FILE or --token-file";
            problem.hint = Some(hint.to_owned());
        }
        Self { exit: exit_of(status, &problem), problem: Box::new(problem), is_unreachable: false }
    }

    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.problem.detail = Some(detail.into());
        self
    }

    pub(super) fn code(mut self, code: impl Into<String>) -> Self {
        self.problem.code = Some(code.into());
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.problem.hint = Some(hint.into());
        self
    }

    /// A further member for programs, e.g. the id of the operation.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.problem.more.insert(name.to_owned(), value.into());
        self
    }

    /// Says it on stderr; an exit with 0 has nothing to say.
    pub(super) fn report(&self, format: Format) {
        use io::Write as _;
        if self.exit == Exit::Ok {
            return;
        }
        let text = match format {
            Format::Json => self.clone_with_exit().to_string() + "\n",
            Format::Table | Format::Yaml | Format::Name => self.to_string(),
        };
        // There is no third place to say that stderr is gone.
        let _ = io::stderr().write_all(text.as_bytes());
    }

    fn clone_with_exit(&self) -> Value {
        let mut value = serde_json::to_value(&self.problem).unwrap_or_default();
        value["exitCode"] = (self.exit as u8).into();
        value
    }
}

impl fmt::Display for Failure {
    /// The block: title, detail, fields, hint, request id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { title, status, detail, code, request_id, errors, hint, .. } = &*self.problem;
        let marks = [status.map(|status| status.to_string()), code.clone()];
        let marks: Vec<_> = marks.into_iter().flatten().collect();
        write!(f, "error: {}", visible(title))?;
        if !marks.is_empty() {
            write!(f, " ({})", visible(&marks.join(", ")))?;
        }
        writeln!(f)?;
        for line in detail.iter().flat_map(|detail| detail.lines()) {
            writeln!(f, "  {}", visible(line))?;
        }
        for FieldError { field, value, rule } in errors {
            writeln!(f, "  {} = {value}: {}", visible(field), visible(rule))?;
        }
        for (index, line) in hint.iter().flat_map(|hint| hint.lines()).enumerate() {
            let start = if index == 0 { "hint: " } else { "  " };
            writeln!(f, "{start}{}", visible(line))?;
        }
        if let Some(request_id) = request_id {
            writeln!(f, "request: {}", visible(request_id))?;
        }
        Ok(())
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error and what caused it, in one line without repetitions.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let cause = error.to_string();
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
        next = error.source();
    }
    text
}

fn exit_of(status: StatusCode, problem: &Problem) -> Exit {
    let code = problem.code.as_deref().unwrap_or_default();
    match status.as_u16() {
        401 | 403 => Exit::Denied,
        404 => Exit::NotFound,
        409 | 412 | 428 => Exit::Conflict,
        422 if code.contains("idempotency") => Exit::Conflict,
        422 if code.contains("quota") || code.contains("capacity") => Exit::Quota,
        // The file changed while it was sent: nobody typed anything wrong.
        422 if code == "digest-mismatch" => Exit::Failure,
        400 | 422 if !problem.errors.is_empty() => Exit::Usage,
        _ => Exit::Failure,
    }
}
