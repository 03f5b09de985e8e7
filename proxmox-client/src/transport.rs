//! Sends calls: which host, how often, with what limits, and what a lost answer means.

mod answer;
mod door;
mod hosts;
mod lanes;

pub(crate) use answer::Answer;
pub(crate) use hosts::Hosts;
pub use hosts::{ApiHost, HostHealth};

use crate::{
    Call, Error, Settings, Timing,
    client::SettingsError,
    error::{Source, chain},
    request::Request,
    trust,
};
use answer::Reply;
use door::{Door, Pass};
use http::{StatusCode, header};
use lanes::Lanes;
use secrecy::ExposeSecret as _;
use std::{error::Error as StdError, io, time::Duration};
use tokio::time::Instant;

/// The server closes a connection that was idle for 5 s; a request must not meet that.
const IDLE: Duration = Duration::from_secs(4);

#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) hosts: Hosts,
    pub(crate) door: Door,
    lanes: Lanes,
    timing: Timing,
    /// Keeps connections.
    reads: reqwest::Client,
    /// Opens a connection for each call: on a kept one that the server is just closing
    /// a write could be lost, and nobody could say whether it happened.
    writes: reqwest::Client,
}

/// What became of one attempt.
enum Attempt {
    Answered(Reply),
    /// Nothing was sent.
    NotSent {
        source: Source,
        distrust: Option<String>,
    },
    /// It was sent, wholly or in part, and no answer came.
    Lost {
        source: Source,
        is_mute: bool,
    },
}

/// What may follow an attempt.
enum Next {
    Done(Result<Answer, Error>),
    /// Another attempt; the error if there is none left.
    Again(Error),
}

/// A status that stands for a call that may or may not have reached its node.
#[derive(Debug, thiserror::Error)]
#[error("status {status}: {text}")]
struct LostBehind {
    status: u16,
    text: String,
}

impl Transport {
    pub(crate) fn new(settings: Settings) -> Result<Self, SettingsError> {
        let Settings { hosts, trust, token, timing } = settings;
        if hosts.is_empty() {
            return Err(SettingsError::NoHost);
        }
        let tls = trust.configuration().map_err(SettingsError::Trust)?;
        let builder = || {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .http1_only()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .connect_timeout(timing.connect)
                .pool_idle_timeout(IDLE)
        };
        Ok(Self {
            hosts: Hosts::new(hosts),
            door: Door::new(token, timing.cool_down),
            lanes: Lanes::default(),
            reads: builder().build().map_err(SettingsError::Client)?,
            writes: builder().pool_max_idle_per_host(0).build().map_err(SettingsError::Client)?,
            timing,
        })
    }

    /// The same for one host alone, which is asked once.
    pub(crate) fn alone(&self, host: &ApiHost) -> Self {
        Self {
            hosts: Hosts::new(vec![host.clone()]),
            door: Door::new(self.door.token(), self.timing.cool_down),
            lanes: Lanes::default(),
            timing: Timing { reads: 1, ..self.timing.clone() },
            reads: self.reads.clone(),
            writes: self.writes.clone(),
        }
    }

    /// Sends a call and reads its answer; a read more than once if need be.
    pub(crate) async fn send(&self, request: &Request) -> Result<Answer, Error> {
        let call = &request.call;
        let _place = self.place(request).await?;
        // A write is tried with each host at most once, and only while nothing of it was sent.
        let most = self.hosts.count().max(if request.is_read() { self.timing.reads } else { 1 });
        let mut tried = Vec::new();
        let mut last = None;
        loop {
            let pass = self.door.enter().await.map_err(|text| Error::Unauthorized {
                call: call.clone(),
                text,
                was_sent: false,
            })?;
            let now = Instant::now();
            let Some((index, host)) = self.hosts.pick(&tried, now) else {
                return Err(last.unwrap_or_else(|| unreachable(call, self.hosts.reasons(now))));
            };
            let sent_at = Instant::now();
            let attempt = self.attempt(request, &host, &pass).await;
            tried.push(index);
            let next = self.judge(request, (index, &host), &pass, sent_at, attempt);
            drop(pass);
            match next {
                Next::Done(result) => return result,
                Next::Again(error) if tried.len() >= most => return Err(error),
                // A certificate does not become another one by looking again.
                Next::Again(error @ Error::Untrusted { .. })
                    if tried.len() >= self.hosts.count() =>
                {
                    return Err(error);
                }
                Next::Again(error) => {
                    tracing::debug!(call = %call, host = %host, error = &error as &dyn StdError, "again");
                    last = Some(error);
                    if tried.len() >= self.hosts.count() {
                        tokio::time::sleep(self.timing.read_pause).await;
                    }
                }
            }
        }
    }

    /// A place among the calls of the node, for calls that need one.
    async fn place(
        &self,
        request: &Request,
    ) -> Result<Option<tokio::sync::OwnedSemaphorePermit>, Error> {
        if !request.is_protected {
            return Ok(None);
        }
        match self.lanes.enter(request.node.as_ref(), self.limit(request)).await {
            Some(place) => Ok(Some(place)),
            None => Err(Error::Busy { call: request.call.clone(), limit: lanes::LIMIT }),
        }
    }

    /// How long the call may take.
    fn limit(&self, request: &Request) -> Duration {
        if request.file.is_some() {
            self.timing.upload
        } else if request.is_read() {
            self.timing.read
        } else {
            self.timing.write
        }
    }

    /// Sends the call once.
    async fn attempt(&self, request: &Request, host: &ApiHost, pass: &Pass<'_>) -> Attempt {
        let built = match self.build(request, host, pass) {
            Ok(built) => built,
            Err(source) => return Attempt::NotSent { source, distrust: None },
        };
        let client = if request.is_read() { &self.reads } else { &self.writes };
        let reply = match client.execute(built).await {
            Ok(response) => Reply::read(response).await,
            Err(error) => Err(error),
        };
        match reply {
            Ok(reply) => Attempt::Answered(reply),
            Err(error) if error.is_connect() => {
                let distrust = distrust(&error);
                Attempt::NotSent { source: error.without_url().into(), distrust }
            }
            Err(error) => {
                let is_mute = error.is_timeout();
                Attempt::Lost { source: error.without_url().into(), is_mute }
            }
        }
    }

    /// Parameters of GET and DELETE go into the query, where a body is refused. Other bodies have a
    /// known length, as chunks are refused.
    fn build(
        &self,
        request: &Request,
        host: &ApiHost,
        pass: &Pass<'_>,
    ) -> Result<reqwest::Request, Source> {
        let method = match request.call.method {
            crate::Method::Get => reqwest::Method::GET,
            crate::Method::Post => reqwest::Method::POST,
            crate::Method::Put => reqwest::Method::PUT,
            crate::Method::Delete => reqwest::Method::DELETE,
        };
        let in_query = matches!(request.call.method, crate::Method::Get | crate::Method::Delete);
        let form = request.form.encoded();
        let query = match form.expose_secret() {
            form if in_query && !form.is_empty() => format!("?{form}"),
            _ => String::new(),
        };
        let url = format!("{host}/api2/json{}{query}", request.call.path);
        let client = if request.is_read() { &self.reads } else { &self.writes };
        let mut builder = client
            .request(method, url)
            .timeout(self.limit(request))
            .header(header::AUTHORIZATION, pass.token.header()?);
        if let Some(file) = &request.file {
            builder =
                builder.header(header::CONTENT_TYPE, &file.content_type).body(file.body.clone());
        } else if !in_query {
            let form = form.expose_secret().to_owned();
            builder = builder
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                // Said also when it is 0, which is otherwise left out.
                .header(header::CONTENT_LENGTH, form.len())
                .body(form);
        }
        Ok(builder.build()?)
    }

    /// Decides what an attempt means for the host, for the token and for the call.
    fn judge(
        &self,
        request: &Request,
        (index, host): (usize, &ApiHost),
        pass: &Pass<'_>,
        sent_at: Instant,
        attempt: Attempt,
    ) -> Next {
        let call = &request.call;
        let now = Instant::now();
        match attempt {
            Attempt::Answered(reply) => {
                self.hosts.answered(index);
                self.answered(request, host, pass, sent_at, reply)
            }
            Attempt::NotSent { source, distrust } => {
                let Some(reason) = distrust else {
                    self.hosts.failed(index, chain(source.as_ref()), false, now);
                    return Next::Again(Error::Unreachable { call: call.clone(), source });
                };
                // It answers quickly, so it need not rest, and is always told for what it is.
                self.hosts.distrusted(index, reason.clone());
                Next::Again(Error::Untrusted { call: call.clone(), host: host.to_string(), reason })
            }
            Attempt::Lost { source, is_mute } => {
                if is_mute {
                    self.hosts.failed(index, chain(source.as_ref()), true, now);
                }
                if !request.is_read() {
                    return Next::Done(Err(lost(request, host, sent_at, source)));
                }
                Next::Again(Error::NoAnswer { call: call.clone(), source })
            }
        }
    }

    /// Decides what an answer means.
    fn answered(
        &self,
        request: &Request,
        host: &ApiHost,
        pass: &Pass<'_>,
        sent_at: Instant,
        reply: Reply,
    ) -> Next {
        let call = &request.call;
        let status = reply.status;
        if status == StatusCode::UNAUTHORIZED {
            let text = reply.text();
            self.door.refused(pass, text.clone());
            return Next::Done(Err(Error::Unauthorized {
                call: call.clone(),
                text,
                was_sent: true,
            }));
        }
        // Told by something on the way, which has perhaps handed the call on.
        let is_proxy = matches!(status.as_u16(), 502..=504);
        let is_node = matches!(status.as_u16(), 595 | 596 | 599);
        if !is_proxy {
            self.door.accepted(pass);
        }
        if request.is_read() && (is_proxy || is_node) {
            return match reply.judge(call) {
                Ok(answer) => Next::Done(Ok(answer)),
                Err(error) => Next::Again(error),
            };
        }
        // 595 is a connection that was never made: the node has not heard of the call.
        if is_proxy || (is_node && status.as_u16() != 595) {
            let source = LostBehind { status: status.as_u16(), text: reply.text() };
            return Next::Done(Err(lost(request, host, sent_at, source.into())));
        }
        Next::Done(reply.judge(call))
    }
}

fn unreachable(call: &Call, reasons: String) -> Error {
    Error::Unreachable { call: call.clone(), source: reasons.into() }
}

fn lost(request: &Request, host: &ApiHost, at: Instant, source: Source) -> Error {
    Error::OutcomeUnknown { sent: Box::new(request.sent(host.as_str(), at)), source }
}

/// Why the host's certificate is not trusted, if that is what is wrong.
fn distrust(error: &reqwest::Error) -> Option<String> {
    let mut next: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return trust::reason(error);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            // An I/O error gives as its source not what it wraps, but the source of that.
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}
