//! What a change of plan would do, as the server says it.

use super::Subscription;
use crate::cli::{answer::Measured, format::bytes, output};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Preview {
    id: String,
    pub(super) from: Subscription,
    to: Subscription,
    pub(super) price_delta: i64,
    pub(super) machines_made: u32,
    pub(super) machines_freed: u32,
    restarts: bool,
    api_away: Option<Measured>,
    waves: Vec<Vec<String>>,
    sessions: Vec<String>,
    #[serde(default)]
    moved_sessions: Vec<MovedSession>,
    #[serde(default)]
    moved_volumes: Vec<MovedVolume>,
    #[serde(default)]
    capacity: Capacity,
    approval: Option<Approval>,
    pub(super) blockers: Vec<Blocker>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Capacity {
    tightest: Option<String>,
    bounds: Vec<Bound>,
}

#[derive(Debug, Deserialize)]
struct Bound {
    resource: String,
    verdict: String,
    detail: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Approval {
    may_begin: Vec<String>,
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct MovedSession {
    session: String,
    state: String,
    outcome: String,
}

#[derive(Debug, Deserialize)]
struct MovedVolume {
    claim: String,
    size: u64,
    outcome: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Blocker {
    pub(super) detail: String,
    hint: String,
}

impl Preview {
    pub(super) fn text(&self) -> String {
        let mut fields = vec![
            ("Preview", self.id.clone()),
            ("From", self.from.text()),
            ("To", self.to.text()),
            ("Price a month", price(self.price_delta)),
            ("Machines", machines(self.machines_made, self.machines_freed)),
            ("API away", self.away()),
            ("Sessions running", self.sessions.len().to_string()),
        ];
        for MovedSession { session, state, outcome } in &self.moved_sessions {
            fields.push(("Session", format!("{session}, {state}: {}", becomes(outcome))));
        }
        for MovedVolume { claim, size, outcome } in &self.moved_volumes {
            let becomes = match outcome.as_str() {
                "copy" => "is copied; its pods are down meanwhile",
                _ => "is in the way",
            };
            fields.push(("Volume", format!("{claim}, up to {}: {becomes}", bytes(*size))));
        }
        for wave in &self.waves {
            fields.push(("Wave", wave.join(", ")));
        }
        fields.extend(self.capacity.fields());
        if let Some(approval) = &self.approval {
            let who = approval.reason.clone();
            fields.push(("May begin it", who.unwrap_or_else(|| approval.may_begin.join(", "))));
        }
        for blocker in &self.blockers {
            fields.push(("In the way", blocker.detail.clone()));
            fields.push(("Way out", blocker.hint.clone()));
        }
        output::fields(&fields)
    }

    fn away(&self) -> String {
        match (&self.api_away, self.restarts) {
            (_, false) => "none: the control plane stays as it is".to_owned(),
            (None, true) => "one restart of the control plane; never measured here yet".to_owned(),
            (Some(away), true) => format!("one restart of the control plane: {away}"),
        }
    }
}

impl Capacity {
    /// A line for each thing that there is only so much of.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.bounds.iter().map(|Bound { resource, verdict, detail }| {
            let is_tightest = self.tightest.as_ref() == Some(resource);
            let tightest = if is_tightest { ", the tightest" } else { "" };
            ("Room", format!("{resource}, {verdict}{tightest}: {detail}"))
        })
    }
}

pub(super) fn machines(made: u32, freed: u32) -> String {
    format!("{made} made, {freed} freed")
}

/// A difference in hundredths of the currency.
pub(super) fn price(delta: i64) -> String {
    let cents = delta.unsigned_abs();
    let sign = if delta < 0 { '-' } else { '+' };
    format!("{sign}{}.{:02}", cents / 100, cents % 100)
}

/// What becomes of a session, in words.
fn becomes(outcome: &str) -> &str {
    match outcome {
        "wait" => "runs to its end",
        "stop" => "is stopped with its grace period",
        "restart" => "is ended with its grace period and begins again at the new place",
        other => other,
    }
}
