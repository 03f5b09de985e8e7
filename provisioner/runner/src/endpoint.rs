//! The run endpoint, as HTTP/1.1 over TLS with connections that are kept.

mod artifact;
mod pieces;

pub(crate) use artifact::Artifact;
pub(crate) use pieces::{Pieces, Taken, Whole};

use crate::{settings::Settings, usage::Usage};
use serde::{Deserialize, Serialize};
use std::{
    fmt::Write as _,
    io::{self, Read},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};
use ureq::{
    Agent, Body,
    config::Config,
    http::{Response, Uri},
    tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem},
    unversioned::{
        resolver::{ResolvedSocketAddrs, Resolver},
        transport::{DefaultConnector, NextTimeout},
    },
};

/// Warren's side of this run.
pub(crate) struct Endpoint {
    agent: Agent,
    base: String,
    authorization: String,
    run: String,
}

/// In which a run says which one it is.
const RUN: &str = "Warren-Run";

/// Why a call did not have its effect.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// Worth another try.
    #[error("the run endpoint is away: {0}")]
    Away(String),
    /// The token is not, or no longer, that of a run in progress.
    #[error("the run endpoint does not accept the token of this run")]
    Unauthorized,
    /// The lines before this number have to be sent first.
    #[error("the run endpoint expects line {next}")]
    Gap { next: u64 },
    /// Trying again would not help.
    #[error("the run endpoint refused it ({status}): {detail}")]
    Refused { status: u16, detail: String },
    /// A file of the agent could not be read.
    #[error("{0}")]
    File(#[from] io::Error),
}

/// What the agent is to be given.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) run_id: String,
    pub(crate) session_id: String,
    pub(crate) inputs: Vec<Input>,
    /// A stop was asked for before the agent could start.
    #[serde(default)]
    pub(crate) stop: bool,
    /// How long the agent has to end after a stop.
    #[serde(default = "half_a_minute")]
    pub(crate) grace_period_seconds: u64,
}

/// One file for the agent.
#[derive(Debug, Deserialize)]
pub(crate) struct Input {
    pub(crate) name: String,
    /// `sha256:` and 64 hexadecimal digits.
    pub(crate) digest: String,
    pub(crate) size: u64,
}

/// How the agent ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Exited {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) was_terminated: bool,
    /// The kernel ended processes of the agent for want of memory.
    pub(crate) out_of_memory: bool,
    pub(crate) last_line: u64,
    /// Lines that were given up.
    pub(crate) missing_lines: u64,
    #[serde(flatten)]
    pub(crate) usage: Usage,
}

/// What became of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Kept {
    /// The number of the line that is expected next.
    pub(crate) next: u64,
    /// Warren has no room for more of the agent's lines, and has put a line in place of the first for
    /// which there was none. Last words of the runner are taken.
    #[serde(default)]
    pub(crate) full: bool,
}

#[derive(Deserialize)]
struct Next {
    next: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alive<'a> {
    #[serde(flatten)]
    usage: &'a Usage,
    missing_lines: u64,
}

#[derive(Deserialize)]
struct Stop {
    stop: bool,
}

#[derive(Deserialize)]
struct Problem {
    detail: String,
}

impl Endpoint {
    const CONNECT: Duration = Duration::from_secs(3);
    /// One read or write of a connection; a large transfer takes as long as it moves.
    const SILENCE: Duration = Duration::from_secs(10);
    /// Until a large file that was sent is safe on Warren's disk.
    const SAFEKEEPING: Duration = Duration::from_mins(2);
    const MAX_ANSWER_BYTES: u64 = 1 << 20;

    pub(crate) fn new(settings: &Settings) -> Result<Self, ureq::Error> {
        Ok(Self {
            agent: agent(&settings.authority, settings.endpoint)?,
            base: format!("https://{}/run/v1", settings.endpoint),
            authorization: format!("Bearer {}", settings.token),
            run: settings.run.clone(),
        })
    }

    pub(crate) fn manifest(&self) -> Result<Manifest, CallError> {
        let mut answer = self.get("/manifest")?;
        read_json(&mut answer)
    }

    /// The bytes of an input.
    pub(crate) fn input(&self, name: &str) -> Result<impl Read + use<>, CallError> {
        let answer = self.get(&format!("/inputs/{}", escape(name)))?;
        Ok(answer.into_body().into_reader())
    }

    pub(crate) fn started(&self, process: i32) -> Result<(), CallError> {
        self.post("/started", "application/json", format!("{{\"pid\":{process}}}").as_bytes())
            .map(drop)
    }

    /// Whether the agent is to be stopped.
    pub(crate) fn heartbeat(&self, usage: &Usage, missing_lines: u64) -> Result<bool, CallError> {
        let body = to_json(&Alive { usage, missing_lines });
        let mut answer = self.post("/heartbeat", "application/json", &body)?;
        read_json(&mut answer).map(|stop: Stop| stop.stop)
    }

    /// Sends lines; last words, once Warren has said that it has no room for others.
    pub(crate) fn logs(&self, lines: &[u8], are_last_words: bool) -> Result<Kept, CallError> {
        let path = if are_last_words { "/logs?lastWords=true" } else { "/logs" };
        let mut answer = self.post(path, "application/x-ndjson", lines)?;
        read_json(&mut answer)
    }

    pub(crate) fn result(&self, json: &[u8]) -> Result<(), CallError> {
        let request = self.agent.put(format!("{}/result", self.base)).header(RUN, &self.run);
        let request = request.header("Authorization", &self.authorization);
        settle(request.content_type("application/json").send(json)).map(drop)
    }

    pub(crate) fn exited(&self, exited: &Exited) -> Result<(), CallError> {
        self.post("/exited", "application/json", &to_json(exited)).map(drop)
    }

    fn get(&self, path: &str) -> Result<Response<Body>, CallError> {
        let request = self.agent.get(format!("{}{path}", self.base)).header(RUN, &self.run);
        settle(request.header("Authorization", &self.authorization).call())
    }

    fn post(&self, path: &str, kind: &str, body: &[u8]) -> Result<Response<Body>, CallError> {
        let request = self.agent.post(format!("{}{path}", self.base)).header(RUN, &self.run);
        let request = request.content_type(kind);
        settle(request.header("Authorization", &self.authorization).send(body))
    }
}

/// A client that speaks to one address and trusts one authority.
fn agent(authority: &[u8], address: SocketAddr) -> Result<Agent, ureq::Error> {
    let mut authorities: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(authority) {
        if let PemItem::Certificate(certificate) = item? {
            authorities.push(certificate);
        }
    }
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::Specific(Arc::new(authorities)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls_ring::crypto::ring::default_provider()))
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        // The environment is the agent's: a proxy named there is not for Warren's own traffic.
        .proxy(None)
        .https_only(true)
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_connect(Some(Endpoint::CONNECT))
        .timeout_recv_response(Some(2 * Endpoint::SILENCE))
        .timeout_per_read(Some(Endpoint::SILENCE))
        .timeout_per_write(Some(Endpoint::SILENCE))
        .input_buffer_size(32 << 10)
        .output_buffer_size(32 << 10)
        .build();
    Ok(Agent::with_parts(config, DefaultConnector::default(), Fixed(address)))
}

/// Decides what an answer means.
fn settle(outcome: Result<Response<Body>, ureq::Error>) -> Result<Response<Body>, CallError> {
    let mut answer = outcome.map_err(|error| CallError::Away(error.to_string()))?;
    let status = answer.status().as_u16();
    match status {
        // Read to the end, so that the connection can be kept.
        201 | 204 => read(&mut answer).map(|_| answer),
        200..300 => Ok(answer),
        401 => Err(CallError::Unauthorized),
        408 | 429 | 500.. => Err(CallError::Away(format!("it answered {status}"))),
        _ => {
            let body = read(&mut answer)?;
            if let Ok(Next { next }) = serde_json::from_slice(&body) {
                return Err(CallError::Gap { next });
            }
            let detail = serde_json::from_slice(&body).map(|problem: Problem| problem.detail);
            let detail = detail.unwrap_or_else(|_| "no reason given".to_owned());
            Err(CallError::Refused { status, detail })
        }
    }
}

fn read(answer: &mut Response<Body>) -> Result<Vec<u8>, CallError> {
    let body = answer.body_mut().with_config().limit(Endpoint::MAX_ANSWER_BYTES);
    body.read_to_vec().map_err(|error| CallError::Away(error.to_string()))
}

fn read_json<T: for<'a> Deserialize<'a>>(answer: &mut Response<Body>) -> Result<T, CallError> {
    let body = read(answer)?;
    serde_json::from_slice(&body)
        .map_err(|error| CallError::Away(format!("its answer is not understood: {error}")))
}

/// As JSON.
pub(crate) fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("numbers and texts are always JSON")
}

/// Percent-encodes a path for a URL (RFC 3986, section 3.3); slashes stay.
fn escape(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
    escaped
}

const fn half_a_minute() -> u64 {
    30
}

/// Knows one address; nothing is ever looked up.
#[derive(Debug)]
struct Fixed(SocketAddr);

impl Resolver for Fixed {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(self.0);
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_url_without_changing_its_meaning() {
        assert_eq!(escape("a b/ü?#%.txt"), "a%20b/%C3%BC%3F%23%25.txt");
    }
}
