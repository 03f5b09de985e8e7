//! What a session is to do, and what is checked of that before anything is recorded.

use crate::{Bytes, Digest, Invalid, Millicores, OnDrain, Plan, ProjectName, RetryPolicy};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, fmt};

/// What one run may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// CPU, asked for and limit alike.
    pub cpu: Millicores,
    /// Memory, asked for and limit alike.
    pub memory: Bytes,
}

impl Default for Resources {
    fn default() -> Self {
        Self { cpu: Millicores(250), memory: Bytes::mebi(256) }
    }
}

/// Where an input's bytes come from. Its `Debug` leaves them out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InputSource {
    /// A small text, given in the request.
    Inline(String),
    /// A blob that was uploaded before.
    Blob(Digest),
}

/// A file that the agent finds in `/warren/inputs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Its file name.
    pub name: String,
    /// Its bytes.
    pub source: InputSource,
}

/// What a session is to do. Its `Debug` has the names of variables, not their values.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionSpec {
    /// The project, at the same time the namespace in the tenant's cluster.
    pub project: ProjectName,
    /// The agent's image.
    pub image: String,
    /// The program to start; the image's own entry point is not used.
    pub command: Vec<String>,
    /// Its arguments, after those in `command`.
    pub args: Vec<String>,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// More of its environment: what is secret. Nobody is shown the values, and its log has them masked.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// Its inputs.
    pub inputs: Vec<Input>,
    /// What it may use.
    pub resources: Resources,
    /// The user that it runs as, as its own user namespace counts: 0 is root there and nobody outside.
    #[serde(default = "standard_user")]
    pub run_as_user: u32,
    /// How long it may run, in seconds, counted from the start of the Job.
    pub timeout_seconds: u32,
    /// How long it has to end after SIGTERM, in seconds.
    pub grace_period_seconds: u32,
    /// Free labels for finding it again.
    pub labels: BTreeMap<String, String>,
    /// After which failures it is tried again.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// What may be done with it when its node has to be emptied.
    #[serde(default)]
    pub on_drain: OnDrain,
    /// The JSON Schema that its result has to obey, if it declares one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_schema: Option<Value>,
}

impl fmt::Debug for InputSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(text) => write!(f, "Inline({} bytes)", text.len()),
            Self::Blob(digest) => f.debug_tuple("Blob").field(digest).finish(),
        }
    }
}

/// For what was recorded when everybody ran as that.
const fn standard_user() -> u32 {
    SessionSpec::STANDARD_USER
}

impl fmt::Debug for SessionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            project,
            image,
            command,
            args,
            env,
            secrets,
            inputs,
            resources,
            run_as_user,
            timeout_seconds,
            grace_period_seconds,
            labels,
            retry,
            on_drain,
            result_schema,
        } = self;
        f.debug_struct("SessionSpec")
            .field("project", project)
            .field("image", image)
            .field("command", command)
            .field("args", args)
            .field("env", &env.keys())
            .field("secrets", &secrets.keys())
            .field("inputs", inputs)
            .field("resources", resources)
            .field("run_as_user", run_as_user)
            .field("timeout_seconds", timeout_seconds)
            .field("grace_period_seconds", grace_period_seconds)
            .field("labels", labels)
            .field("retry", retry)
            .field("on_drain", on_drain)
            .field("result_schema", result_schema)
            .finish()
    }
}

impl SessionSpec {
    /// Who agents run as when nobody says: the usual `nonroot`.
    pub const STANDARD_USER: u32 = 65532;
    /// The last user that a pod's own user namespace has.
    ///
    /// Source: Kubernetes, "User Namespaces": each pod is given 65536 ids; the last one of 16 bits means "none".
    pub const LAST_USER: u32 = 65534;
    /// The shortest secret, in bytes: shorter ones could not be told from other text in a log.
    pub const MIN_SECRET_BYTES: usize = 6;
    /// The largest sum of inline inputs, in bytes.
    pub const MAX_INLINE_BYTES: usize = 256 << 10;

    /// Checks everything that can be checked without looking at the world.
    ///
    /// # Errors
    /// Every field that breaks a rule of the format or of the plan.
    pub fn validate(&self, plan: &Plan) -> Result<(), Invalid> {
        let mut invalid = Invalid::default();
        self.validate_command(&mut invalid);
        self.validate_environment(&mut invalid);
        self.validate_inputs(&mut invalid);
        self.validate_limits(plan, &mut invalid);
        invalid.into_result()
    }

    fn validate_command(&self, invalid: &mut Invalid) {
        let bad_image = |byte: u8| !byte.is_ascii_graphic();
        if self.image.is_empty() || self.image.len() > 255 || self.image.bytes().any(bad_image) {
            invalid.add("/image", &self.image, "an image reference of 1 to 255 visible characters");
        }
        if self.command.first().is_none_or(String::is_empty) {
            invalid.add("/command", format!("{:?}", self.command), "at least the program to start");
        }
        let words = self.command.iter().chain(&self.args);
        if words.clone().any(|word| word.contains('\0'))
            || words.map(String::len).sum::<usize>() > 64 << 10
        {
            invalid.add(
                "/args",
                "…",
                "command and arguments of at most 64 KiB without NUL characters",
            );
        }
    }

    fn validate_environment(&self, invalid: &mut Invalid) {
        for (name, value) in &self.env {
            let field = format!("/env/{}", pointer(name));
            variable(&field, name, value, invalid);
            if self.secrets.contains_key(name) {
                invalid.add(&field, name, "a name that is not in secrets too");
            }
        }
        for (name, value) in &self.secrets {
            let field = format!("/secrets/{}", pointer(name));
            variable(&field, name, value, invalid);
            if value.len() < Self::MIN_SECRET_BYTES {
                let least = Self::MIN_SECRET_BYTES;
                let rule = format!(
                    "a value of at least {least} bytes: it is masked wherever the log has it"
                );
                invalid.add(&field, "…", rule);
            }
        }
        let secrets = self.secrets.values().map(String::len).sum::<usize>();
        if self.secrets.len() > 64 || secrets > Self::MAX_INLINE_BYTES {
            let sum = format!("{} secrets of {secrets} bytes", self.secrets.len());
            invalid.add("/secrets", sum, "at most 64 secrets of at most 256 KiB together");
        }
        for (name, value) in &self.labels {
            let is_label = |text: &str| {
                text.len() <= 63
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            };
            if name.is_empty() || !is_label(name) || !is_label(value) {
                let field = format!("/labels/{}", pointer(name));
                invalid.add(
                    &field,
                    value,
                    "name and value of at most 63 letters, digits, '-', '_' and '.'",
                );
            }
        }
        if self.labels.len() > 32 {
            invalid.add("/labels", self.labels.len(), "at most 32 labels");
        }
    }

    fn validate_inputs(&self, invalid: &mut Invalid) {
        let mut inline = 0;
        for (index, input) in self.inputs.iter().enumerate() {
            let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            let name = &input.name;
            let is_special = name.starts_with('.') || name == "manifest.json";
            if name.is_empty() || name.len() > 128 || !name.bytes().all(good) || is_special {
                invalid.add(
                    &format!("/inputs/{index}/name"),
                    name,
                    "a file name of letters, digits, '-', '_' and '.', not starting with '.', not manifest.json",
                );
            }
            if self.inputs[..index].iter().any(|earlier| earlier.name == *name) {
                invalid.add(
                    &format!("/inputs/{index}/name"),
                    name,
                    "each input needs a name of its own",
                );
            }
            if let InputSource::Inline(text) = &input.source {
                inline += text.len();
            }
        }
        if inline > Self::MAX_INLINE_BYTES {
            invalid.add(
                "/inputs",
                inline,
                "inline inputs of at most 256 KiB together; upload larger ones",
            );
        }
        if self.inputs.len() > 64 {
            invalid.add("/inputs", self.inputs.len(), "at most 64 inputs");
        }
    }

    fn validate_limits(&self, plan: &Plan, invalid: &mut Invalid) {
        let Resources { cpu, memory } = self.resources;
        if cpu < Millicores(10) || cpu > plan.session_cpu {
            let rule =
                format!("between 10m and {}, the limit of plan {}", plan.session_cpu, plan.name);
            invalid.add("/resources/cpu", cpu, rule);
        }
        if memory < Bytes::mebi(16) || memory > plan.session_memory {
            let rule = format!(
                "between 16Mi and {}, the limit of plan {}",
                plan.session_memory, plan.name
            );
            invalid.add("/resources/memory", memory, rule);
        }
        if self.run_as_user > Self::LAST_USER {
            let rule = format!("between 0 and {}, a user of its user namespace", Self::LAST_USER);
            invalid.add("/runAsUser", self.run_as_user, rule);
        }
        if !(1..=plan.session_timeout_seconds).contains(&self.timeout_seconds) {
            let rule = format!("between 1 and {} seconds", plan.session_timeout_seconds);
            invalid.add("/timeoutSeconds", self.timeout_seconds, rule);
        }
        if self.grace_period_seconds > 300 {
            invalid.add("/gracePeriodSeconds", self.grace_period_seconds, "at most 300 seconds");
        }
        self.retry.validate(invalid);
    }
}

/// Checks one variable of an environment.
fn variable(field: &str, name: &str, value: &str, invalid: &mut Invalid) {
    let is_name = |(index, byte): (usize, u8)| {
        byte == b'_' || byte.is_ascii_alphabetic() || (index > 0 && byte.is_ascii_digit())
    };
    if name.is_empty() || name.len() > 128 || !name.bytes().enumerate().all(is_name) {
        invalid.add(field, name, "a name of letters, digits and '_', not starting with a digit");
    } else if name.starts_with("WARREN_") {
        invalid.add(field, name, "names that start with WARREN_ are set by Warren; choose another");
    }
    if value.contains('\0') || value.len() > 32 << 10 {
        invalid.add(field, "…", "a value of at most 32 KiB without NUL characters");
    }
}

/// Escapes one segment of a JSON Pointer (RFC 6901, section 3).
fn pointer(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PlanName, sample::spec};

    fn fields(spec: &SessionSpec) -> Vec<String> {
        match spec.validate(&Plan::current(PlanName::Starter)) {
            Ok(()) => Vec::new(),
            Err(invalid) => invalid.fields.into_iter().map(|field| field.field).collect(),
        }
    }

    #[test]
    fn a_plain_session_is_accepted_and_each_broken_rule_is_named() {
        assert_eq!(fields(&spec()), Vec::<String>::new());
        let mut bad = spec();
        bad.command.clear();
        bad.image = "a b".to_owned();
        bad.env.insert("WARREN_RUN_ID".to_owned(), "mine".to_owned());
        bad.env.insert("a/b".to_owned(), String::new());
        bad.resources.memory = Bytes::gibi(1000);
        bad.env.insert("TWICE".to_owned(), String::new());
        bad.secrets.insert("TWICE".to_owned(), "long enough".to_owned());
        bad.secrets.insert("PIN".to_owned(), "12345".to_owned());
        bad.run_as_user = 65535;
        bad.timeout_seconds = 0;
        bad.inputs
            .push(Input { name: "../x".to_owned(), source: InputSource::Inline(String::new()) });
        let expected = [
            "/image",
            "/command",
            "/env/TWICE",
            "/env/WARREN_RUN_ID",
            "/env/a~1b",
            "/secrets/PIN",
            "/inputs/0/name",
            "/resources/memory",
            "/runAsUser",
            "/timeoutSeconds",
        ];
        assert_eq!(fields(&bad), expected);
    }

    #[test]
    fn two_inputs_cannot_share_a_name() {
        let mut bad = spec();
        let input = Input { name: "a".to_owned(), source: InputSource::Inline(String::new()) };
        bad.inputs = vec![input.clone(), input];
        assert_eq!(fields(&bad), ["/inputs/1/name"]);
    }

    #[test]
    fn what_an_agent_is_told_is_not_in_what_programs_print_of_it() {
        let mut secretive = spec();
        secretive.env.insert("KEY".to_owned(), "canary".to_owned());
        secretive.secrets.insert("PIN".to_owned(), "canary".to_owned());
        let source = InputSource::Inline("canary".to_owned());
        secretive.inputs.push(Input { name: "plan".to_owned(), source });
        let printed = format!("{secretive:?}");
        assert!(
            printed.contains("KEY") && printed.contains("PIN") && printed.contains("plan"),
            "{printed}"
        );
        assert!(!printed.contains("canary"), "{printed}");
    }
}
