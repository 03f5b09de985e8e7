//! What the supervisor knows about its parts, on disk for everybody else.

use serde::{Deserialize, Serialize};

use crate::process::{Identity, now_ms};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Process numbers mean nothing in another boot.
    pub(crate) boot: String,
    pub(crate) supervisor: Identity,
    pub(crate) phase: Phase,
    pub(crate) since_ms: u64,
    pub(crate) parts: Vec<PartRecord>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    Starting,
    Ready,
    Stopping,
    /// The supervisor is gone without having stopped the parts.
    Abandoned,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PartRecord {
    pub(crate) name: String,
    pub(crate) process: Identity,
    pub(crate) health: Health,
    /// What the last failed probe saw, or how the part ended.
    pub(crate) detail: String,
    /// When it took this health.
    pub(crate) since_ms: u64,
    /// How often it was started.
    pub(crate) starts: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Health {
    Starting,
    Healthy,
    /// It runs but does not answer.
    Unhealthy,
    /// It ended without being asked to.
    Died,
    /// It was asked to end.
    Stopped,
}

impl Record {
    pub(crate) fn part_mut(&mut self, name: &str) -> Option<&mut PartRecord> {
        self.parts.iter_mut().find(|part| part.name == name)
    }

    /// Whether the lab is up and every part works.
    pub(crate) fn is_healthy(&self) -> bool {
        let all = self.parts.iter().all(|part| part.health == Health::Healthy);
        self.phase == Phase::Ready && all
    }

    /// The processes it speaks of, if they can be of this boot.
    pub(crate) fn processes(&self) -> Vec<Identity> {
        if self.boot != crate::process::boot_id() {
            return Vec::new();
        }
        let parts = self.parts.iter().map(|part| part.process);
        parts.chain([self.supervisor]).filter(|process| process.is_alive()).collect()
    }
}

impl PartRecord {
    /// Takes a health; returns whether it is another one than before.
    pub(crate) fn turn(&mut self, health: Health, detail: impl Into<String>) -> bool {
        self.detail = detail.into();
        let is_news = self.health != health;
        if is_news {
            self.health = health;
            self.since_ms = now_ms();
        }
        is_news
    }
}
