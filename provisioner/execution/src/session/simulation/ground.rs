//! What all histories of one thread stand on: a record and an object store, a clock that stands still, and
//! a gate at which every request of Warren's waits until the history lets it go on.

use super::cluster::Answer;
use crate::{Context, RecordedTenants, Settings};
use application::{
    App,
    access::{AccessError, Check, Explanation, TenantAccess},
    blobs::Blobs,
};
use async_trait::async_trait;
use clusters::{HostCluster, Relays, RunAuthority, TenantClusters};
use domain::{
    Capacity, Clock, Exclusivity, IdGen, LocalVolume, NodeName, PlanName, Subscription, Survey,
    TenantId,
};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use kube::client::Body;
use planning::sample::settings;
use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};
use secrecy::SecretString;
use serde_json::Value;
use std::{
    io,
    panic::resume_unwind,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use store::{SecretKey, Store, StoreOptions};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// What a process panics with that is killed on purpose.
pub(super) struct Killed;

/// A time that moves only when a history says so.
#[derive(Debug)]
pub(super) struct SimulatedClock(Mutex<Instant>);

#[derive(Debug)]
struct Instant {
    now: Timestamp,
    /// After how many more readings whoever reads it is killed: before a write, mostly.
    left: Option<u32>,
}

/// Identifiers in order and secrets that a seed decides.
#[derive(Debug)]
pub(super) struct SimulatedIds(Mutex<(u64, u64, StdRng)>);

/// A request that waits.
pub(super) struct Arrived {
    pub(super) is_host: bool,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) body: Value,
    /// Nothing breaks the connection.
    pub(super) answer: oneshot::Sender<Option<Answer>>,
}

pub(super) struct Ground {
    pub(super) cx: Context,
    pub(super) app: App,
    pub(super) clock: Arc<SimulatedClock>,
    pub(super) ids: Arc<SimulatedIds>,
    pub(super) arrivals: mpsc::UnboundedReceiver<Arrived>,
    _folder: TempDir,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimulatedClock {
    pub(super) fn set(&self, now: Timestamp) {
        lock(&self.0).now = now;
    }

    pub(super) fn advance(&self, by: SignedDuration) {
        lock(&self.0).now += by;
    }

    /// The time, for whoever is not part of Warren.
    pub(super) fn peek(&self) -> Timestamp {
        lock(&self.0).now
    }

    /// Kills whoever reads it for the n-th time from now; nothing spares everybody.
    pub(super) fn kill_after(&self, readings: Option<u32>) {
        lock(&self.0).left = readings;
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        let mut instant = lock(&self.0);
        match &mut instant.left {
            Some(0) => {
                instant.left = None;
                drop(instant);
                resume_unwind(Box::new(Killed));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        instant.now
    }
}

impl SimulatedIds {
    /// From now on what this seed decides.
    pub(super) fn begin(&self, seed: u64) {
        *lock(&self.0) = (seed, 0, StdRng::seed_from_u64(seed ^ 0x1d5));
    }
}

impl IdGen for SimulatedIds {
    fn uuid(&self) -> Uuid {
        let mut state = lock(&self.0);
        state.1 += 1;
        Uuid::from_u128((u128::from(state.0) << 64) | u128::from(state.1))
    }

    fn secret(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        lock(&self.0).2.fill_bytes(&mut bytes);
        bytes
    }
}

impl Ground {
    pub(super) async fn new() -> Self {
        // Another test may have been quicker.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        // Where nothing waits for a disk, if there is such a place.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = folder.expect("a folder");
        let now = "2027-01-15T08:00:00Z".parse().expect("a time");
        let clock = Arc::new(SimulatedClock(Mutex::new(Instant { now, left: None })));
        let ids = Arc::new(SimulatedIds(Mutex::new((0, 0, StdRng::seed_from_u64(0)))));
        let (for_all, ids_for_all): (Arc<dyn Clock>, Arc<dyn IdGen>) =
            (Arc::clone(&clock) as _, Arc::clone(&ids) as _);
        let store = Store::open(StoreOptions {
            url: format!("sqlite://{}", folder.path().join("warren.db").display()),
            secret_key: SecretKey::from_bytes([1; 32]),
            clock: Arc::clone(&for_all),
            ids: Arc::clone(&ids_for_all),
        })
        .await
        .expect("an empty record");
        let (arrive, arrivals) = mpsc::unbounded_channel();
        let host = HostCluster::from_client(client(true, arrive.clone()));
        let inside = client(false, arrive);
        let tenants = TenantClusters::from_clients(
            host.clone(),
            Arc::new(RecordedTenants(store.clone())),
            Arc::clone(&for_all),
            move |_| Some(inside.clone()),
        );
        let blobs = Blobs::open(&folder.path().join("blobs"), Arc::clone(&ids_for_all));
        let app = App {
            store: store.clone(),
            blobs: blobs.expect("a folder of blobs"),
            clock: Arc::clone(&for_all),
            ids: Arc::clone(&ids_for_all),
            access: Arc::new(NoAccess),
            makes_nodes: false,
        };
        let cx = Context {
            host,
            tenants,
            store,
            clock: for_all,
            ids: ids_for_all,
            settings: Settings::new(settings()),
            run_authority: RunAuthority::generate(now).expect("an authority"),
            relays: Relays::default(),
            sweep_every: std::time::Duration::from_mins(10),
            tenants_at_once: 1,
            machines: None,
        };
        Self { cx, app, clock, ids, arrivals, _folder: folder }
    }
}

/// A client whose requests arrive at the gate.
fn client(is_host: bool, arrive: mpsc::UnboundedSender<Arrived>) -> kube::Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let arrive = arrive.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            let (answer, answered) = oneshot::channel();
            let arrived = Arrived {
                is_host,
                method: parts.method,
                path: parts.uri.path().to_owned(),
                query: parts.uri.query().unwrap_or_default().to_owned(),
                body: serde_json::from_slice(&body).unwrap_or_default(),
                answer,
            };
            let broken = || io::Error::new(io::ErrorKind::ConnectionReset, "broken on purpose");
            arrive.send(arrived).map_err(|_| broken())?;
            let answer = answered.await.ok().flatten().ok_or_else(broken)?;
            let body = Full::new(Bytes::from(answer.body.to_string()));
            let response = Response::builder().status(answer.status).body(body);
            response.map_err(io::Error::other)
        }
    });
    kube::Client::new(service, "default")
}

/// Nobody asks for these here.
#[derive(Debug)]
struct NoAccess;

#[async_trait]
impl TenantAccess for NoAccess {
    async fn explain(&self, _: TenantId) -> Result<Explanation, AccessError> {
        Err(AccessError::NotReady { reason: "there is none here".to_owned() })
    }

    async fn kubeconfig(
        &self,
        _: TenantId,
        _: &domain::Acting,
    ) -> Result<SecretString, AccessError> {
        Err(AccessError::NotReady { reason: "there is none here".to_owned() })
    }

    async fn exclusivity(&self, _: TenantId) -> Result<Option<Exclusivity>, AccessError> {
        Ok(None)
    }

    async fn survey(&self, _: TenantId, _: Subscription) -> Result<Survey, AccessError> {
        Ok(Survey::default())
    }

    async fn volumes_on(&self, _: TenantId, _: &NodeName) -> Result<Vec<LocalVolume>, AccessError> {
        Ok(Vec::new())
    }

    async fn capacity(&self, _: PlanName) -> Result<Capacity, AccessError> {
        Ok(Capacity::default())
    }

    async fn host_check(&self) -> Vec<Check> {
        Vec::new()
    }

    async fn proxmox_check(&self) -> Vec<Check> {
        Vec::new()
    }
}
