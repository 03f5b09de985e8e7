//! Why a session is in its state: whom to blame, and what is known.

use super::{Exit, RunUsage};
use crate::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Who or what a failure is to be blamed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// Failed before the agent started, and may work next time.
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

impl FailureClass {
    /// Every class.
    pub const ALL: [Self; 6] = [
        Self::Transient,
        Self::Resource,
        Self::UserConfig,
        Self::PolicyDenied,
        Self::Agent,
        Self::Infrastructure,
    ];

    /// The word as users see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Resource => "resource",
            Self::UserConfig => "user-config",
            Self::PolicyDenied => "policy-denied",
            Self::Agent => "agent",
            Self::Infrastructure => "infrastructure",
        }
    }

    /// Finds a class by its word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == text)
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
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
    /// What it was concluded from.
    #[serde(default, skip_serializing_if = "Evidence::is_empty")]
    pub evidence: Box<Evidence>,
}

/// What is known about a failure, as data. Of most failures only some of it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Evidence {
    /// How the agent's process ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// How much memory the run had, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
    /// The most memory that was seen in use, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    /// The image that could not be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The node that its pod was on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The operation that emptied that node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// What a quota had too little of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shortages: Vec<Shortage>,
    /// What an API server, a kubelet or a registry said, in its own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
    /// The last lines of the run's log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub last_lines: Vec<String>,
}

/// A resource of which a quota has too little left. The amounts are Kubernetes quantities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shortage {
    /// Its name, as in `limits.memory`.
    pub resource: String,
    /// How much was asked for.
    pub requested: String,
    /// How much was in use.
    pub used: String,
    /// How much there may be in use.
    pub limit: String,
}

impl Evidence {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What somebody said, with the arithmetic if it is a quota's refusal.
    #[must_use]
    pub fn of_words(words: &str) -> Self {
        let words = words.trim();
        Self {
            words: (!words.is_empty()).then(|| words.to_owned()),
            shortages: shortages(words),
            ..Self::default()
        }
    }
}

/// Reads `exceeded quota: NAME, requested: A=1,B=2, used: A=3,B=4, limited: A=3,B=5` (Kubernetes, plugin
/// `ResourceQuota`).
fn shortages(words: &str) -> Vec<Shortage> {
    let Some((_, rest)) = words.split_once("exceeded quota: ") else { return Vec::new() };
    let part = |name: &str| {
        let amounts = rest.split_once(name).map_or("", |(_, rest)| rest);
        let amounts = amounts.split(", ").next().unwrap_or_default();
        let amounts = amounts.split(',').filter_map(|amount| amount.trim().split_once('='));
        amounts.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
    };
    let (used, limited) = (part(", used: "), part(", limited: "));
    let find = |all: &[(String, String)], name: &str| {
        all.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    };
    let shortage = |(resource, requested): (String, String)| {
        let (used, limit) = (find(&used, &resource)?, find(&limited, &resource)?);
        Some(Shortage { resource, requested, used, limit })
    };
    part(", requested: ").into_iter().filter_map(shortage).collect()
}

impl Cause {
    /// The reason of a failure that more memory may help.
    pub const OUT_OF_MEMORY: &str = "OutOfMemory";
    /// The reason of an end that was asked for because a node had to be emptied.
    pub const NODE_DRAINED: &str = "NodeDrained";

    /// A cause without blame.
    #[must_use]
    pub fn plain(reason: &str, message: impl Into<String>) -> Self {
        let (reason, message) = (reason.to_owned(), message.into());
        Self { class: None, reason, message, evidence: Box::default() }
    }

    /// A failure.
    #[must_use]
    pub fn failure(class: FailureClass, reason: &str, message: impl Into<String>) -> Self {
        Self { class: Some(class), ..Self::plain(reason, message) }
    }

    /// The same with what it was concluded from.
    #[must_use]
    pub fn with(self, evidence: Evidence) -> Self {
        Self { evidence: Box::new(evidence), ..self }
    }

    /// A run needed more memory than it had.
    #[must_use]
    pub fn out_of_memory(limit: Bytes, usage: Option<RunUsage>) -> Self {
        let peak = usage.map(|usage| Bytes(usage.peak_memory_bytes));
        let seen = peak.map(|peak| format!(" (seen: {peak})")).unwrap_or_default();
        let message = format!("it needed more than its {limit} of memory{seen}");
        Self::failure(FailureClass::Resource, Self::OUT_OF_MEMORY, message).with(Evidence {
            memory_limit_bytes: Some(limit.0),
            peak_memory_bytes: peak.map(|peak| peak.0),
            ..Evidence::default()
        })
    }

    /// The agent ended in another way than with code 0.
    #[must_use]
    pub fn of_exit(exit: Exit) -> Self {
        let (reason, message) = match (exit.code, exit.signal) {
            (Some(code), _) => ("ExitCode", format!("the agent ended with code {code}")),
            (None, Some(signal)) => ("Signal", format!("the agent was ended by signal {signal}")),
            (None, None) => ("Unknown", "the agent ended, and nobody saw how".to_owned()),
        };
        let evidence = Evidence { exit: Some(exit), ..Evidence::default() };
        Self::failure(FailureClass::Agent, reason, message).with(evidence)
    }

    /// The same of a run whose agent never started: nothing was done that another run would do twice.
    #[must_use]
    pub fn before_start(self) -> Self {
        let is_ours = self.class == Some(FailureClass::Infrastructure);
        Self { class: if is_ours { Some(FailureClass::Transient) } else { self.class }, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotas_refusal_is_read_as_arithmetic() {
        let words = "pods \"a\" is forbidden: exceeded quota: plan, requested: limits.cpu=1,limits.memory=1Gi, \
                     used: limits.cpu=2,limits.memory=3584Mi, limited: limits.cpu=4,limits.memory=4Gi";
        let evidence = Evidence::of_words(words);
        let memory = Shortage {
            resource: "limits.memory".to_owned(),
            requested: "1Gi".to_owned(),
            used: "3584Mi".to_owned(),
            limit: "4Gi".to_owned(),
        };
        assert_eq!(evidence.shortages.len(), 2);
        assert_eq!(evidence.shortages[1], memory);
        assert!(Evidence::of_words("exceeded quota: plan, requested: x").shortages.is_empty());
        assert!(Evidence::of_words("  ").is_empty());
    }
}
