//! A cluster, behind one or more API hosts.

use crate::{
    ApiHost, ApiToken, Error, HostHealth, Invalid, Node, NodeName, Pins, Task, Trust, Upid,
    Version,
    request::Request,
    transport::{Answer, Transport},
    trust::TrustError,
};
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// A client of one cluster. Cheap to copy; copies share connections, limits and what is known about hosts.
///
/// Dropping the future of a write does not take the write back: what was sent may still happen.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    transport: Transport,
    timing: Timing,
    pins: Option<Pins>,
    version: Mutex<Option<(Version, Instant)>>,
}

/// What a client is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The API hosts of one cluster, the one to begin with first. At least one.
    pub hosts: Vec<ApiHost>,
    /// Which server certificates are trusted.
    pub trust: Trust,
    /// The token that calls carry.
    pub token: ApiToken,
    /// Time limits.
    pub timing: Timing,
}

/// Time limits and how often a read is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// For a connection with its TLS handshake.
    pub connect: Duration,
    /// For the answer to a read; a node takes up to 30 s to say that another one is silent.
    pub read: Duration,
    /// For the answer to a write; changing a configuration makes new disks before it answers.
    pub write: Duration,
    /// For an upload with its answer.
    pub upload: Duration,
    /// How often a read is tried, if there are not more hosts than that.
    pub reads: usize,
    /// The pause before a read is tried again where it was tried before.
    pub read_pause: Duration,
    /// How long calls are refused here after the token was refused.
    pub cool_down: Duration,
    /// The pause between two looks at a task; at first.
    pub first_look: Duration,
    /// And at most.
    pub slowest_look: Duration,
}

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// No host was given.
    #[error("a cluster needs at least one API host")]
    NoHost,
    /// The certificates cannot be used.
    #[error("which certificates to trust")]
    Trust(#[source] TrustError),
    /// The HTTP client could not be made.
    #[error("make an HTTP client")]
    Client(#[source] reqwest::Error),
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(35),
            write: Duration::from_secs(90),
            upload: Duration::from_mins(10),
            reads: 3,
            read_pause: Duration::from_millis(300),
            cool_down: Duration::from_mins(1),
            first_look: Duration::from_millis(200),
            slowest_look: Duration::from_secs(2),
        }
    }
}

impl Settings {
    /// Settings with the usual time limits.
    #[must_use]
    pub fn new(hosts: Vec<ApiHost>, trust: Trust, token: ApiToken) -> Self {
        Self { hosts, trust, token, timing: Timing::default() }
    }
}

/// How long the version is believed; a node is not upgraded more often.
const VERSION_KNOWN: Duration = Duration::from_mins(10);

/// What an API host says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting {
    /// Its release.
    pub version: Version,
    /// Its clock in seconds of Unix time, if it tells it.
    pub time: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct VersionAnswer {
    version: String,
}

impl Client {
    /// Makes a client. Sends nothing.
    ///
    /// # Errors
    /// If there is no host, or the certificates cannot be used.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let timing = settings.timing.clone();
        let pins = match &settings.trust {
            Trust::Pinned(pins) => Some(pins.clone()),
            Trust::System | Trust::Authority(_) | Trust::AnyCertificateEvenAnAttackers => None,
        };
        let transport = Transport::new(settings)?;
        let inner = Inner { transport, timing, pins, version: Mutex::new(None) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// A client of the same cluster that asks this host alone, and only once: what it says is true of that host,
    /// however the others are.
    #[must_use]
    pub fn alone(&self, host: &ApiHost) -> Self {
        let Inner { transport, timing, pins, version: _ } = &*self.inner;
        let inner = Inner {
            transport: transport.alone(host),
            timing: timing.clone(),
            pins: pins.clone(),
            version: Mutex::new(None),
        };
        Self { inner: Arc::new(inner) }
    }

    /// From now on calls carry this token, and it is tried at once.
    pub fn replace_token(&self, token: ApiToken) {
        self.inner.transport.door.replace(token);
    }

    /// The full name of the token in use, as tasks name who began them.
    #[must_use]
    pub fn token_id(&self) -> String {
        self.inner.transport.door.token_id()
    }

    /// What is known about every API host. Sends nothing.
    #[must_use]
    pub fn hosts(&self) -> Vec<HostHealth> {
        self.inner.transport.hosts.health(Instant::now())
    }

    /// One node of the cluster. Sends nothing, so the node need not exist.
    #[must_use]
    pub fn node(&self, name: &NodeName) -> Node {
        Node::new(self.clone(), name.clone())
    }

    /// A task that is known by its identifier, e.g. from a record. Sends nothing.
    pub fn task(&self, upid: Upid) -> Task {
        Task::new(self.clone(), upid)
    }

    /// The release of the API host: `GET /version`. Asked anew after ten minutes.
    ///
    /// While a cluster is upgraded its nodes may differ.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn version(&self) -> Result<Version, Error> {
        let known = *self.inner.version.lock().unwrap_or_else(PoisonError::into_inner);
        match known {
            Some((version, since)) if since.elapsed() < VERSION_KNOWN => Ok(version),
            _ => self.ask_version().await,
        }
    }

    async fn ask_version(&self) -> Result<Version, Error> {
        let version = self.greet().await?.version;
        let known = Some((version, Instant::now()));
        *self.inner.version.lock().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(version)
    }

    /// What an API host says of itself, asked anew: `GET /version`.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn greet(&self) -> Result<Greeting, Error> {
        let request = Request::get("/version".to_owned());
        let answer = self.answer(&request).await?;
        let time = answer.time();
        let call = request.call;
        let version = answer.read::<VersionAnswer>(&call)?.version.parse();
        let version =
            version.map_err(|source: Invalid| Error::Unreadable { call, source: source.into() })?;
        Ok(Greeting { version, time })
    }

    /// Refuses what the release does not have.
    pub(crate) async fn require(&self, what: &'static str, needs: Version) -> Result<(), Error> {
        let found = self.version().await?;
        if found >= needs { Ok(()) } else { Err(Error::TooOld { what, needs, found }) }
    }

    pub(crate) fn pins(&self) -> Option<&Pins> {
        self.inner.pins.as_ref()
    }

    pub(crate) fn timing(&self) -> &Timing {
        &self.inner.timing
    }

    pub(crate) async fn answer(&self, request: &Request) -> Result<Answer, Error> {
        self.inner.transport.send(request).await
    }

    /// Sends a call whose answer is a `T`.
    pub(crate) async fn fetch<T: DeserializeOwned>(&self, request: Request) -> Result<T, Error> {
        self.answer(&request).await?.read(&request.call)
    }

    /// Sends a call whose answer says no more than that it was done.
    pub(crate) async fn done(&self, request: Request) -> Result<(), Error> {
        self.answer(&request).await.map(|_| ())
    }

    /// Sends a call that begins a task.
    pub(crate) async fn begin(&self, request: Request) -> Result<Task, Error> {
        let upid: Upid = self.fetch(request).await?;
        Ok(self.task(upid))
    }

    /// Sends a call that begins a task or is done already.
    pub(crate) async fn begin_or_do(&self, request: Request) -> Result<Begun, Error> {
        let upid: Option<Upid> = self.fetch(request).await?;
        Ok(upid.map_or(Begun::Done, |upid| Begun::Task(self.task(upid))))
    }
}

/// What has become of a call that some releases do at once and others in a task.
#[derive(Debug)]
#[must_use = "a task may have begun"]
pub enum Begun {
    /// It is done.
    Done,
    /// A task does it.
    Task(Task),
}

impl Begun {
    /// Waits for the task, if there is one; gives the number of its warnings.
    ///
    /// # Errors
    /// As [`Task::finish`].
    pub async fn finish(self, deadline: Duration) -> Result<u32, Error> {
        match self {
            Self::Done => Ok(0),
            Self::Task(task) => task.finish(deadline).await,
        }
    }
}
