//! A server that answers as it is told to and keeps what it was asked.
//!
//! It has the habits of the real one: it refuses chunks and bodies where none belong, says what is wrong in the
//! reason phrase, and closes the connection after every error.

use crate::certificate::Identity;
use anyhow::{Context as _, Result, bail};
use proxmox_client::{ApiHost, ApiToken, Client, Fingerprint, Pins, Settings, Timing, Trust};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

pub(crate) const SECRET: &str = "11111111-2222-3333-4444-555555555555";
pub(crate) const TOKEN: &str = "warren@pve!control";

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) method: String,
    /// Below `/api2/json`, as it was sent.
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// Which connection it came on.
    pub(crate) connection: usize,
    /// What kind of value it was answered with.
    pub(crate) answered: &'static str,
}

/// What the server does about a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Answers well, with this as `data`.
    Data(Value),
    /// Answers well, with this whole body.
    Whole(Value),
    /// Answers with an error: status, reason phrase, body.
    Error(u16, &'static str, Value),
    /// Closes the connection without a word.
    Close,
    /// Closes it in the middle of an answer.
    Cut,
    /// Answers with something that is not JSON.
    Noise,
    /// Says nothing, for ever.
    Mute,
    /// Answers later.
    After(Duration, Box<Reply>),
}

type Handler = dyn Fn(&Recorded) -> Reply + Send + Sync;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) fingerprint: Fingerprint,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    handler: Box<Handler>,
    requests: Mutex<Vec<Recorded>>,
    connections: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Recorded {
    /// The body or the query as keys and values.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        let body = String::from_utf8_lossy(&self.body);
        let text = if self.body.is_empty() { self.query.as_str() } else { &body };
        let decode = |text: &str| {
            percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
        };
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        };
        text.split('&').filter(|text| !text.is_empty()).map(pair).collect()
    }
}

impl Reply {
    pub(crate) fn error(status: u16, reason: &'static str) -> Self {
        Self::Error(status, reason, json!({ "data": null }))
    }

    /// The kind of value that it holds.
    fn kind(&self) -> &'static str {
        let (Self::Data(data) | Self::Whole(data)) = self else { return "nothing" };
        let data = if matches!(self, Self::Whole(_)) { &data["data"] } else { data };
        match data {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "list",
            Value::Object(_) => "object",
        }
    }

    fn text(&self) -> Option<String> {
        let answer = |status: &str, extra: &str, body: &str| {
            format!(
                "HTTP/1.1 {status}\r\nDate: Sun, 22 Nov 2026 12:40:01 GMT\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n{extra}\r\n{body}",
                body.len()
            )
        };
        match self {
            Self::Data(data) => Some(answer("200 OK", "", &json!({ "data": data }).to_string())),
            Self::Whole(body) => Some(answer("200 OK", "", &body.to_string())),
            Self::Error(status, reason, body) => {
                let body = if body.is_null() { String::new() } else { body.to_string() };
                Some(answer(&format!("{status} {reason}"), "Connection: close\r\n", &body))
            }
            Self::Noise => Some(answer("200 OK", "", "<html>")),
            Self::Cut => {
                Some("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"data\":".to_owned())
            }
            Self::Close | Self::Mute | Self::After(..) => None,
        }
    }
}

impl Server {
    pub(crate) async fn start(
        handler: impl Fn(&Recorded) -> Reply + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::start_as(&Identity::alone()?, handler).await
    }

    /// With a certificate of its own.
    pub(crate) async fn start_as(
        identity: &Identity,
        handler: impl Fn(&Recorded) -> Reply + Send + Sync + 'static,
    ) -> Result<Self> {
        let acceptor = TlsAcceptor::from(identity.configuration()?);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            handler: Box::new(handler),
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
        });
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, state) = (acceptor.clone(), shared.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let connection = state.connections.fetch_add(1, Ordering::Relaxed);
                        let _ = serve(stream, connection, &state).await;
                    }
                });
            }
        });
        Ok(Self { address, fingerprint: identity.fingerprint(), state, task })
    }

    pub(crate) fn host(&self) -> Result<ApiHost> {
        Ok(format!("https://{}", self.address).parse()?)
    }

    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.state.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The requests as `METHOD path`.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.requests()
            .iter()
            .map(|request| format!("{} {}", request.method, request.path))
            .collect()
    }

    pub(crate) fn most_at_once(&self) -> usize {
        self.state.most_at_once.load(Ordering::Relaxed)
    }

    /// A client that trusts only this server.
    pub(crate) fn client(&self) -> Result<Client> {
        client(&[self], quick())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Time limits for tests.
pub(crate) fn quick() -> Timing {
    Timing {
        connect: Duration::from_secs(5),
        read: Duration::from_secs(5),
        write: Duration::from_secs(5),
        read_pause: Duration::from_millis(5),
        first_look: Duration::from_millis(5),
        slowest_look: Duration::from_millis(20),
        ..Timing::default()
    }
}

pub(crate) fn token() -> Result<ApiToken> {
    Ok(ApiToken::new(TOKEN, SECRET.to_owned())?)
}

/// A client that trusts only these servers.
pub(crate) fn client(servers: &[&Server], timing: Timing) -> Result<Client> {
    let hosts = servers.iter().map(|server| server.host()).collect::<Result<Vec<_>>>()?;
    let pins = Pins::new(servers.iter().map(|server| server.fingerprint));
    Ok(Client::new(Settings { hosts, trust: Trust::Pinned(pins), token: token()?, timing })?)
}

/// The address of a port that nothing listens on.
pub(crate) async fn nobody() -> Result<ApiHost> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    Ok(format!("https://{}", listener.local_addr()?).parse()?)
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    connection: usize,
    state: &State,
) -> Result<()> {
    let mut buffer = Vec::new();
    loop {
        let mut request = read(&mut stream, &mut buffer, connection).await?;
        let at_once = state.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        state.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        let mut reply = refusal(&request).unwrap_or_else(|| (state.handler)(&request));
        request.answered = reply.kind();
        state.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        while let Reply::After(delay, then) = reply {
            tokio::time::sleep(delay).await;
            reply = *then;
        }
        if matches!(reply, Reply::Mute) {
            std::future::pending::<()>().await;
        }
        state.at_once.fetch_sub(1, Ordering::SeqCst);
        let Some(text) = reply.text() else { return Ok(()) };
        stream.write_all(text.as_bytes()).await?;
        stream.flush().await?;
        if matches!(reply, Reply::Error(..) | Reply::Cut) {
            let _ = stream.shutdown().await;
            return Ok(());
        }
    }
}

/// What the real server refuses before it looks at the path.
fn refusal(request: &Recorded) -> Option<Reply> {
    if request.headers.contains_key("transfer-encoding") {
        return Some(Reply::error(501, "chunked transfer encoding not supported"));
    }
    let has_body = !request.body.is_empty();
    if has_body && matches!(request.method.as_str(), "GET" | "DELETE") {
        return Some(Reply::error(501, "Unexpected content for method"));
    }
    let expected = format!("PVEAPIToken={TOKEN}={SECRET}");
    let sent = request.headers.get("authorization").map(String::as_str);
    (sent != Some(&expected) && !sent.is_some_and(|sent| sent.contains("!other=")))
        .then(|| Reply::error(401, "No ticket"))
}

async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    connection: usize,
) -> Result<Recorded> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        more(stream, buffer).await?;
    };
    let head = String::from_utf8(buffer[..end].to_vec())?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next().context("a request line")?.split(' ');
    let (method, target) = (words.next().context("a method")?, words.next().context("a target")?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = path.strip_prefix("/api2/json").context("below /api2/json")?;
    let header = |line: &str| {
        let (key, value) = line.split_once(':')?;
        Some((key.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers: BTreeMap<String, String> = lines.filter_map(header).collect();
    let length = headers.get("content-length").map_or(Ok(0), |text| text.parse::<usize>())?;
    while buffer.len() < end + 4 + length {
        more(stream, buffer).await?;
    }
    let rest = buffer.split_off(end + 4 + length);
    let body = buffer[end + 4..].to_vec();
    *buffer = rest;
    Ok(Recorded {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body,
        connection,
        answered: "nothing",
    })
}

async fn more<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut Vec<u8>) -> Result<()> {
    let mut chunk = [0; 4096];
    let count = stream.read(&mut chunk).await?;
    if count == 0 {
        bail!("the client has closed the connection");
    }
    buffer.extend_from_slice(&chunk[..count]);
    Ok(())
}
