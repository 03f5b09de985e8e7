use crate::{Bytes, Digest, Invalid, Millicores, Plan, ProjectName, RunId, SessionId, TenantId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// How far a session is. The last four are final and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionState {
    /// Accepted, waits for its turn or for its tenant to be ready.
    Queued,
    /// Its Job is being made or its pod is on the way.
    Starting,
    /// The agent's process runs.
    Running,
    /// A stop was asked for; the process is being ended.
    Stopping,
    /// The agent ended with exit code 0.
    Succeeded,
    /// It ended in another way; the cause says how.
    Failed,
    /// Its time was up.
    TimedOut,
    /// It was stopped.
    Stopped,
}

impl SessionState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Starting,
        Self::Running,
        Self::Stopping,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Stopped,
    ];

    /// The word as users see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
            Self::Stopped => "stopped",
        }
    }

    /// Finds a state by its word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether nothing will change any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::TimedOut | Self::Stopped)
    }

    /// Whether a session in this state may go to `next`.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Queued => {
                matches!(next, Self::Starting | Self::Failed | Self::TimedOut | Self::Stopped)
            }
            Self::Starting => matches!(
                next,
                Self::Running | Self::Stopping | Self::Succeeded | Self::Failed | Self::TimedOut
            ),
            Self::Running => {
                matches!(next, Self::Stopping | Self::Succeeded | Self::Failed | Self::TimedOut)
            }
            Self::Stopping => {
                matches!(next, Self::Succeeded | Self::Failed | Self::TimedOut | Self::Stopped)
            }
            Self::Succeeded | Self::Failed | Self::TimedOut | Self::Stopped => false,
        }
    }
}

impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who or what a failure is to be blamed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// May work next time.
    Transient,
    /// Out of memory, evicted, disk full.
    Resource,
    /// The image, the command or an input is wrong.
    UserConfig,
    /// Quota or admission refused it.
    PolicyDenied,
    /// The agent ended with a code other than 0, or by a signal.
    Agent,
    /// A node or the tenant's API server was lost.
    Infrastructure,
}

/// Why a session is in the state that it is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// Whom to blame; nothing for a success or a stop.
    pub class: Option<FailureClass>,
    /// One word in CamelCase for programs.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

impl Cause {
    /// A cause without blame.
    #[must_use]
    pub fn plain(reason: &str, message: impl Into<String>) -> Self {
        Self { class: None, reason: reason.to_owned(), message: message.into() }
    }

    /// A failure.
    #[must_use]
    pub fn failure(class: FailureClass, reason: &str, message: impl Into<String>) -> Self {
        Self { class: Some(class), reason: reason.to_owned(), message: message.into() }
    }
}

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
    /// Its inputs.
    pub inputs: Vec<Input>,
    /// What it may use.
    pub resources: Resources,
    /// How long it may run, in seconds, counted from the start of the Job.
    pub timeout_seconds: u32,
    /// How long it has to end after SIGTERM, in seconds.
    pub grace_period_seconds: u32,
    /// Free labels for finding it again.
    pub labels: BTreeMap<String, String>,
}

impl fmt::Debug for InputSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(text) => write!(f, "Inline({} bytes)", text.len()),
            Self::Blob(digest) => f.debug_tuple("Blob").field(digest).finish(),
        }
    }
}

impl fmt::Debug for SessionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            project,
            image,
            command,
            args,
            env,
            inputs,
            resources,
            timeout_seconds,
            grace_period_seconds,
            labels,
        } = self;
        f.debug_struct("SessionSpec")
            .field("project", project)
            .field("image", image)
            .field("command", command)
            .field("args", args)
            .field("env", &env.keys())
            .field("inputs", inputs)
            .field("resources", resources)
            .field("timeout_seconds", timeout_seconds)
            .field("grace_period_seconds", grace_period_seconds)
            .field("labels", labels)
            .finish()
    }
}

/// How a run's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    /// Its exit code, if it ended by itself.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

/// What a run used, as its runner measured it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunUsage {
    /// CPU time of the agent and its children, in milliseconds.
    pub cpu_ms: u64,
    /// The most memory held at one time, in bytes.
    pub peak_memory_bytes: u64,
    /// Time from start to end, in milliseconds.
    pub wall_ms: u64,
}

/// One attempt at a session: one Job in the tenant's cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its identifier.
    pub id: RunId,
    /// What it is an attempt at.
    pub session: SessionId,
    /// Whose.
    pub tenant: TenantId,
    /// 1 for the first.
    pub attempt: u32,
    /// When it was decided to start it.
    pub created_at: Timestamp,
    /// When its Job was accepted by the tenant's API server.
    pub job_created_at: Option<Timestamp>,
    /// When the agent's process started.
    pub started_at: Option<Timestamp>,
    /// When its runner was last heard of.
    pub heartbeat_at: Option<Timestamp>,
    /// When the agent's process ended.
    pub exited_at: Option<Timestamp>,
    /// How it ended.
    pub exit: Option<Exit>,
    /// What it used.
    pub usage: Option<RunUsage>,
    /// The number of the next log line; lines are numbered from 1.
    pub next_log_line: u64,
}

/// One agent task of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its identifier.
    pub id: SessionId,
    /// Whose.
    pub tenant: TenantId,
    /// What it is to do.
    pub spec: SessionSpec,
    /// How far it is.
    pub state: SessionState,
    /// Why.
    pub cause: Option<Cause>,
    /// Counts changes of state; starts at 1.
    pub revision: i64,
    /// Its run, once there is one.
    pub run: Option<RunId>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its Job was asked for.
    pub starting_at: Option<Timestamp>,
    /// When the agent's process started.
    pub running_at: Option<Timestamp>,
    /// When a stop was asked for.
    pub stop_requested_at: Option<Timestamp>,
    /// When it reached its final state.
    pub finished_at: Option<Timestamp>,
}

impl SessionSpec {
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
            let is_name = |(index, byte): (usize, u8)| {
                byte == b'_' || byte.is_ascii_alphabetic() || (index > 0 && byte.is_ascii_digit())
            };
            if name.is_empty() || name.len() > 128 || !name.bytes().enumerate().all(is_name) {
                invalid.add(
                    &field,
                    name,
                    "a name of letters, digits and '_', not starting with a digit",
                );
            } else if name.starts_with("WARREN_") {
                invalid.add(
                    &field,
                    name,
                    "names that start with WARREN_ are set by Warren; choose another",
                );
            }
            if value.contains('\0') || value.len() > 32 << 10 {
                invalid.add(&field, "…", "a value of at most 32 KiB without NUL characters");
            }
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
        if !(1..=plan.session_timeout_seconds).contains(&self.timeout_seconds) {
            let rule = format!("between 1 and {} seconds", plan.session_timeout_seconds);
            invalid.add("/timeoutSeconds", self.timeout_seconds, rule);
        }
        if self.grace_period_seconds > 300 {
            invalid.add("/gracePeriodSeconds", self.grace_period_seconds, "at most 300 seconds");
        }
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
    use proptest::prelude::*;

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
        bad.timeout_seconds = 0;
        bad.inputs
            .push(Input { name: "../x".to_owned(), source: InputSource::Inline(String::new()) });
        let expected = [
            "/image",
            "/command",
            "/env/WARREN_RUN_ID",
            "/env/a~1b",
            "/inputs/0/name",
            "/resources/memory",
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
        let source = InputSource::Inline("canary".to_owned());
        secretive.inputs.push(Input { name: "plan".to_owned(), source });
        let printed = format!("{secretive:?}");
        assert!(printed.contains("KEY") && printed.contains("plan"), "{printed}");
        assert!(!printed.contains("canary"), "{printed}");
    }

    proptest! {
        #[test]
        fn a_final_state_is_never_left_and_every_walk_can_end(path in prop::collection::vec(0..8usize, 0..20)) {
            let mut state = SessionState::Queued;
            for index in path {
                let next = SessionState::ALL[index];
                if state.may_become(next) {
                    prop_assert!(!state.is_final());
                    state = next;
                }
            }
            let can_end = SessionState::ALL.into_iter().any(|next| next.is_final() && state.may_become(next));
            prop_assert!(state.is_final() || can_end);
        }
    }

    #[test]
    fn only_a_stopping_or_queued_session_becomes_stopped() {
        for state in SessionState::ALL {
            let allowed = matches!(state, SessionState::Stopping | SessionState::Queued);
            assert_eq!(state.may_become(SessionState::Stopped), allowed, "{state}");
        }
    }
}
