//! How a caller says who it is: a ticket in a cookie, or a token in a header. A cookie wins.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{Access, Actor};
use crate::failure::Failure;
use crate::http::head::Head;

/// How long a ticket is good.
const LIFE_S: u64 = 2 * 60 * 60;
/// What the value of the header begins with.
const SCHEME: &str = "PVEAPIToken=";

/// A login with a password.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ticket {
    pub(crate) user: String,
    pub(crate) text: String,
    /// Has to come with everything that changes something.
    pub(crate) guard: String,
    pub(crate) made_s: u64,
}

impl Ticket {
    pub(crate) fn new(user: &str, now_s: u64, random: &mut impl Rng) -> Self {
        let mut noise = || hex::encode(random.random::<[u8; 16]>());
        Self {
            user: user.into(),
            text: format!("PVE:{user}:{now_s:08X}::{}", noise()),
            guard: format!("{now_s:08X}:{}", noise()),
            made_s: now_s,
        }
    }

    pub(crate) fn is_good(&self, now_s: u64) -> bool {
        now_s < self.made_s + LIFE_S
    }
}

/// Finds out who calls.
pub(crate) fn authenticate(
    access: &Access,
    tickets: &[Ticket],
    now_s: u64,
    head: &Head,
) -> Result<Actor, Failure> {
    if let Some(cookie) = head.cookie("PVEAuthCookie") {
        let text = crate::http::form::percent_decode(cookie);
        let ticket = tickets.iter().find(|ticket| ticket.text == text && ticket.is_good(now_s));
        let ticket = ticket.ok_or_else(|| Failure::unauthorized("Authentication failed!"))?;
        let guard = head.header("csrfpreventiontoken");
        if head.method != "GET" && guard != Some(&ticket.guard) {
            return Err(Failure::unauthorized("Permission denied - invalid csrf token"));
        }
        return Ok(Actor { user: ticket.user.clone(), token: None });
    }
    let Some(given) = head.header("authorization").and_then(|text| text.strip_prefix(SCHEME))
    else {
        return Err(Failure::unauthorized("No ticket"));
    };
    token(access, now_s, given).ok_or_else(|| Failure::unauthorized("Authentication failed!"))
}

fn token(access: &Access, now_s: u64, given: &str) -> Option<Actor> {
    let (name, secret) = given.split_once('=')?;
    let (user, id) = name.split_once('!')?;
    let token = access.users.get(user)?.tokens.get(id)?;
    let is_good = token.secret == secret && (token.expires_s == 0 || now_s < token.expires_s);
    is_good.then(|| Actor { user: user.into(), token: Some(id.into()) })
}
