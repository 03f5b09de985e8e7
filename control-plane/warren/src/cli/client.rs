//! Requests to the server: bounded in time and size, repeated where that is harmless.

mod attempts;
mod pieces;

use attempts::{Attempts, asked_pause};
use reqwest::{
    Certificate, Method, RequestBuilder, Response, Url,
    header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue},
    redirect::Policy,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

use super::{
    answer::items,
    options::Connection,
    problem::{Exit, Failure, Problem, chain},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For one attempt at a request with a small answer, and for the head of a long answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// No answer that is kept in memory is larger.
const MAX_ANSWER_BYTES: usize = 32 << 20;
const MAX_PROBLEM_BYTES: usize = 256 << 10;
const PAGE: usize = 200;

/// The way to one server.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
}

/// Whether a request may be sent again when its answer got lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It has the same effect twice as once.
    Harmless,
    /// An idempotency key makes it have the same effect twice as once.
    WithKey,
    /// Only if it certainly did not reach the server.
    OnlyUnsent,
}

/// One page after the other, up to a number of items.
#[derive(Debug)]
pub(super) struct List {
    pub(super) items: Vec<Value>,
    /// Whether the server has more than were asked for.
    pub(super) is_cut: bool,
}

/// Name and value in the address, after the question mark.
pub(super) type Query<'a> = [(&'a str, String)];

impl Client {
    pub(super) fn new(
        connection: &Connection,
        token: Option<SecretString>,
    ) -> Result<Self, Failure> {
        let base = connection.server.clone();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("warren-cli/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(Policy::none())
            .default_headers(headers(token)?);
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        if base.scheme() == "http" {
            // No certificate will be looked at, so none needs to be on this machine.
            builder = builder.tls_certs_only([]);
        } else if let Some(path) = &connection.ca_file {
            let unreadable = |error: &(dyn std::error::Error + 'static)| {
                Failure::local(
                    format!("The certificates in {} are not usable", path.display()),
                    error,
                )
            };
            let pem = std::fs::read(path).map_err(|error| unreadable(&error))?;
            let certificates =
                Certificate::from_pem_bundle(&pem).map_err(|error| unreadable(&error))?;
            builder = builder.tls_certs_merge(certificates);
        }
        let http = builder
            .build()
            .map_err(|error| Failure::local("The HTTP client cannot be set up", &error))?;
        Ok(Self { http, base })
    }

    pub(super) fn server(&self) -> &Url {
        &self.base
    }

    pub(super) async fn get(&self, path: &[&str]) -> Result<Value, Failure> {
        self.get_with(path, &[]).await
    }

    pub(super) async fn get_with(
        &self,
        path: &[&str],
        query: &Query<'_>,
    ) -> Result<Value, Failure> {
        let request = self.request(Method::GET, path).query(query);
        self.json(request, Repeat::Harmless).await
    }

    /// Reads what the server may hold back for so many seconds, until there is nothing to wait for.
    pub(super) async fn get_held(&self, path: &[&str], seconds: u64) -> Result<Value, Failure> {
        let request = self.request(Method::GET, path).header("Prefer", format!("wait={seconds}"));
        self.json(request, Repeat::Harmless).await
    }

    /// Sends a document.
    pub(super) async fn post(
        &self,
        path: &[&str],
        body: &Value,
        repeat: Repeat,
    ) -> Result<Value, Failure> {
        let mut request = self.request(Method::POST, path).json(body);
        if repeat == Repeat::WithKey {
            request = request.header("Idempotency-Key", new_key());
        }
        self.json(request, repeat).await
    }

    /// Asks what a document would do.
    pub(super) async fn ask_about(
        &self,
        path: &[&str],
        query: &Query<'_>,
        body: &Value,
    ) -> Result<Value, Failure> {
        let request = self.request(Method::POST, path).query(query).json(body);
        self.json(request, Repeat::Harmless).await
    }

    /// Asks for something that may be asked for twice.
    pub(super) async fn ask(&self, path: &[&str], query: &Query<'_>) -> Result<Value, Failure> {
        self.json(self.request(Method::POST, path).query(query), Repeat::Harmless).await
    }

    pub(super) async fn delete(&self, path: &[&str], query: &Query<'_>) -> Result<Value, Failure> {
        self.json(self.request(Method::DELETE, path).query(query), Repeat::Harmless).await
    }

    /// Changes some fields of what is there; the answer is empty.
    pub(super) async fn change(&self, path: &[&str], body: &Value) -> Result<(), Failure> {
        self.read(self.request(Method::PATCH, path).json(body), Repeat::Harmless).await.map(drop)
    }

    /// Takes something away; the answer is empty.
    pub(super) async fn remove(&self, path: &[&str]) -> Result<(), Failure> {
        self.read(self.request(Method::DELETE, path), Repeat::Harmless).await.map(drop)
    }

    /// A small answer that is not JSON.
    pub(super) async fn bytes(&self, path: &[&str], accept: &str) -> Result<Vec<u8>, Failure> {
        let request = self.request(Method::GET, path).header(ACCEPT, accept);
        self.read(request, Repeat::Harmless).await
    }

    /// All pages of a list, or its first `limit` items.
    pub(super) async fn list(
        &self,
        path: &[&str],
        query: &Query<'_>,
        limit: usize,
    ) -> Result<List, Failure> {
        let mut list = List { items: Vec::new(), is_cut: false };
        let mut cursor: Option<String> = None;
        loop {
            let missing = limit - list.items.len();
            let mut query = query.to_vec();
            query.push(("limit", missing.min(PAGE).to_string()));
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let page = self.get_with(path, &query).await?;
            cursor = page["nextCursor"].as_str().map(ToOwned::to_owned);
            let page = items(page, &["items"])?;
            let is_empty = page.is_empty();
            list.items.extend(page);
            if cursor.is_none() || is_empty {
                return Ok(list);
            }
            if list.items.len() >= limit {
                list.items.truncate(limit);
                list.is_cut = true;
                return Ok(list);
            }
        }
    }

    /// Begins a long answer, whose body the caller reads.
    pub(super) async fn open(
        &self,
        path: &[&str],
        query: &Query<'_>,
        accept: &str,
    ) -> Result<Response, Failure> {
        let request = self.request(Method::GET, path).query(query).header(ACCEPT, accept);
        let mut attempts = Attempts::new();
        loop {
            let request = request.try_clone().expect("a request without a body can be cloned");
            let failure = match timeout(ANSWER_TIMEOUT, request.send()).await {
                Ok(Ok(response)) if response.status().is_success() => return Ok(response),
                Ok(Ok(response)) => {
                    let pause = asked_pause(&response);
                    let failure = refused(response).await;
                    if pause.is_none() || !attempts.another(pause).await {
                        return Err(failure);
                    }
                    continue;
                }
                Ok(Err(error)) => self.unreachable(&error),
                Err(_) => self.silent(),
            };
            if !attempts.another(None).await {
                return Err(failure);
            }
        }
    }

    /// Whether something is there.
    pub(super) async fn exists(&self, path: &[&str]) -> Result<bool, Failure> {
        match self.read(self.request(Method::HEAD, path), Repeat::Harmless).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.exit == Exit::NotFound => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Sends many bytes within `limit`. Not repeated here: the caller has to read them again.
    pub(super) async fn put(
        &self,
        path: &[&str],
        bytes: u64,
        body: reqwest::Body,
        limit: Duration,
    ) -> Result<(), Failure> {
        let request = self
            .request(Method::PUT, path)
            .timeout(limit)
            .header("Content-Type", "application/octet-stream")
            .header("Content-Length", bytes)
            .body(body);
        match request.send().await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(refused(response).await),
            Err(error) => Err(self.unreachable(&error)),
        }
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("an http address can have a path")
            .pop_if_empty()
            .extend(path);
        self.http.request(method, url)
    }

    async fn json(&self, request: RequestBuilder, repeat: Repeat) -> Result<Value, Failure> {
        let bytes = self.read(request.header(ACCEPT, "application/json"), repeat).await?;
        serde_json::from_slice(&bytes).map_err(|error| Failure::unexpected(error.to_string()))
    }

    async fn read(&self, request: RequestBuilder, repeat: Repeat) -> Result<Vec<u8>, Failure> {
        let request = request.timeout(ANSWER_TIMEOUT);
        let mut attempts = Attempts::new();
        loop {
            let request = request.try_clone().expect("a request with a whole body can be cloned");
            match attempt(request).await {
                Ok(Attempt::Done(bytes)) => return Ok(bytes),
                Ok(Attempt::Refused(failure, pause)) => {
                    let is_worth_it = pause.is_some() && repeat != Repeat::OnlyUnsent;
                    if !is_worth_it || !attempts.another(pause).await {
                        return Err(failure);
                    }
                }
                Err(error) => {
                    let is_worth_it = error.is_connect() || repeat != Repeat::OnlyUnsent;
                    if !is_worth_it || !attempts.another(None).await {
                        return Err(self.unreachable(&error));
                    }
                }
            }
        }
    }

    /// Nobody answered, or not to the end.
    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let title = if error.is_connect() {
            "The server cannot be reached"
        } else if error.is_timeout() {
            "The server did not answer in time"
        } else {
            "The connection to the server broke"
        };
        let mut failure = Failure::new(Exit::Failure, title)
            .code("unreachable")
            .detail(format!("{}: {}", self.base, cause(error)))
            .hint("is it running there? Its address comes from WARREN_URL or --server");
        failure.is_unreachable = true;
        failure
    }

    fn silent(&self) -> Failure {
        let mut failure = Failure::new(Exit::Failure, "The server did not answer in time")
            .code("unreachable")
            .detail(format!("{}: no answer for {} s", self.base, ANSWER_TIMEOUT.as_secs()));
        failure.is_unreachable = true;
        failure
    }
}

enum Attempt {
    Done(Vec<u8>),
    /// With the pause after which the server may say something else.
    Refused(Failure, Option<Duration>),
}

async fn attempt(request: RequestBuilder) -> Result<Attempt, reqwest::Error> {
    let mut response = request.send().await?;
    if !response.status().is_success() {
        let pause = asked_pause(&response);
        return Ok(Attempt::Refused(refused(response).await, pause));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
            let failure = Failure::unexpected(format!("more than {MAX_ANSWER_BYTES} bytes"));
            return Ok(Attempt::Refused(failure, None));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Attempt::Done(bytes))
}

/// Turns an answer other than a success into what is shown.
async fn refused(mut response: Response) -> Failure {
    let status = response.status();
    let request_id = response.headers().get("x-request-id");
    let request_id = request_id.and_then(|id| id.to_str().ok()).map(ToOwned::to_owned);
    let mut bytes = Vec::new();
    // What cannot be read of an error is left out: the status says enough.
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_PROBLEM_BYTES {
            break;
        }
    }
    let mut problem = serde_json::from_slice::<Problem>(&bytes).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(&bytes);
        let text: String = text.trim().chars().take(300).collect();
        Problem { detail: (!text.is_empty()).then_some(text), ..Problem::default() }
    });
    problem.request_id = problem.request_id.or(request_id);
    Failure::from_problem(status, problem)
}

/// The cause without the address, which is said already.
fn cause(error: &reqwest::Error) -> String {
    let mut source = std::error::Error::source(error);
    while let Some(next) = source.and_then(std::error::Error::source) {
        source = Some(next);
    }
    source.map_or_else(|| error.to_string(), chain)
}

fn headers(token: Option<SecretString>) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        let text = SecretString::from(format!("Bearer {}", token.expose_secret()));
        let mut value = HeaderValue::from_str(text.expose_secret()).map_err(|_| {
            Failure::new(Exit::Denied, "The token has characters that no token has")
                .hint("a token is one line that starts with wrn_")
        })?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

/// 128 random bits: never the same twice.
fn new_key() -> String {
    format!("{:032x}", rand::random::<u128>())
}
