//! The paths by which a volume goes from node to node, piece by piece.

use super::{CallError, agent, read_json, settle, to_json};
use crate::settings::CopySettings;
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use ureq::{
    Agent, Body,
    http::{Response, StatusCode, header::CONTENT_TYPE},
};

/// Warren's side of a copy.
pub(crate) struct Pieces {
    agent: Agent,
    base: String,
    authorization: String,
}

/// All that was sent or received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Whole {
    pub(crate) bytes: u64,
    /// `sha256:` and 64 hexadecimal digits.
    pub(crate) digest: String,
}

/// What comes next.
pub(crate) enum Taken {
    Piece(Vec<u8>),
    Nothing,
    End(Whole),
}

#[derive(Deserialize)]
struct Next {
    next: u64,
}

#[derive(Serialize)]
struct Failure<'a> {
    problem: &'a str,
}

impl Pieces {
    /// The largest piece, in bytes.
    pub(crate) const MOST: usize = 1 << 20;

    pub(crate) fn new(settings: &CopySettings) -> Result<Self, ureq::Error> {
        Ok(Self {
            agent: agent(&settings.authority, settings.endpoint)?,
            base: format!("https://{}/copy/v1", settings.endpoint),
            authorization: format!("Bearer {}", settings.token),
        })
    }

    /// Sends the bytes from number `at` on, of about `of`. Where it goes on: at the same place if there was no room.
    pub(crate) fn put(&self, at: u64, of: u64, bytes: &[u8]) -> Result<u64, CallError> {
        let mut answer = self.post(format!("/pieces?at={at}&of={of}"), bytes)?;
        read_json(&mut answer).map(|next: Next| next.next)
    }

    /// Gets the bytes from number `at` on.
    pub(crate) fn take(&self, at: u64) -> Result<Taken, CallError> {
        let request = self.agent.get(format!("{}/pieces?at={at}", self.base));
        let mut answer = settle(request.header("Authorization", &self.authorization).call())?;
        if answer.status() == StatusCode::NO_CONTENT {
            return Ok(Taken::Nothing);
        }
        if answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json") {
            return read_json(&mut answer).map(Taken::End);
        }
        // A body of exactly as much as is read counts as too large.
        let body = answer.body_mut().with_config().limit(Self::MOST as u64 + 1);
        let piece = body.read_to_vec().map_err(|error| CallError::Away(error.to_string()))?;
        Ok(Taken::Piece(piece))
    }

    /// Says what was sent, or received and kept.
    pub(crate) fn end(&self, whole: &Whole) -> Result<(), CallError> {
        self.post("/end", &to_json(whole)).map(drop)
    }

    /// Says what went wrong.
    pub(crate) fn fail(&self, problem: &str) -> Result<(), CallError> {
        self.post("/end", &to_json(&Failure { problem })).map(drop)
    }

    fn post(&self, path: impl Display, body: &[u8]) -> Result<Response<Body>, CallError> {
        let request = self.agent.post(format!("{}{path}", self.base));
        settle(request.header("Authorization", &self.authorization).send(body))
    }
}
