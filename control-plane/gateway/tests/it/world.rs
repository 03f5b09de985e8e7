//! A Warren of a test's own: a record on SQLite, a folder of objects, and the run endpoint over
//! TLS on a port of the loopback.

use application::{
    App,
    access::{AccessError, Check, Explanation, TenantAccess},
    blobs::{BlobPath, Blobs, Limits},
    log::{LogLine, segment},
};
use async_trait::async_trait;
use clusters::Relays;
use domain::{
    Action, Actor, Authorized, Bytes, Capacity, Clock, Digest, Exclusivity, IdGen, Input,
    InputSource, LocalVolume, NodeName, PlanName, Resources, Role, Run, RunId, Scope, Session,
    SessionId, SessionSpec, SessionState, Subscription, Survey, TenantId, TenantName, TokenId,
    authorize, sample,
};
use futures::stream;
use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use store::{SecretKey, Store, StoreOptions};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Long enough for a busy machine; nothing waits for it to pass.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

#[derive(Debug)]
struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

#[derive(Debug)]
struct Ids(AtomicU64);

impl IdGen for Ids {
    fn uuid(&self) -> Uuid {
        Uuid::from_u128(self.0.fetch_add(1, Ordering::Relaxed).into())
    }

    fn secret(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).expect("the system has random bytes");
        bytes
    }
}

/// There is no cluster here.
#[derive(Debug)]
struct Nowhere;

#[async_trait]
impl TenantAccess for Nowhere {
    async fn explain(&self, _: TenantId) -> Result<Explanation, AccessError> {
        Err(AccessError::NotReady { reason: "there is no cluster".to_owned() })
    }

    async fn kubeconfig(
        &self,
        _: TenantId,
        _: &domain::Acting,
    ) -> Result<SecretString, AccessError> {
        Err(AccessError::NotReady { reason: "there is no cluster".to_owned() })
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

pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) address: SocketAddr,
    /// The certificate that runners verify the endpoint with, as PEM.
    pub(crate) authority: String,
    pub(crate) folder: TempDir,
    pub(crate) tenant: TenantId,
    operator: Actor,
    pub(crate) tls: Arc<ServerConfig>,
    pub(crate) relays: Relays,
    server: Option<(JoinHandle<()>, CancellationToken)>,
}

/// A run as the provisioner gets it.
pub(crate) struct NewRun {
    pub(crate) id: RunId,
    pub(crate) session: SessionId,
    pub(crate) token: String,
}

impl World {
    pub(crate) async fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (clock, ids): (Arc<dyn Clock>, Arc<dyn IdGen>) =
            (Arc::new(WallClock), Arc::new(Ids(AtomicU64::new(1))));
        let options = StoreOptions {
            url: format!("sqlite://{}", folder.path().join("warren.db").display()),
            secret_key: SecretKey::from_bytes([7; 32]),
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
        };
        let store = Store::open(options).await.expect("the database can be opened");
        let blobs = Blobs::open(&folder.path().join("blobs"), Arc::clone(&ids));
        let blobs = blobs.expect("the folder can be used");
        let app = App { store, blobs, clock, ids, access: Arc::new(Nowhere), makes_nodes: false };
        let token = TokenId::new(Uuid::nil());
        let request_id = "test".to_owned();
        let operator = Actor::of_token(token, Role::Operator, None, request_id);
        let name = TenantName::parse("/name", "acme").expect("a good name");
        let proof = authorize(&operator, Scope::Platform).expect("an operator may");
        let created = app.store.tenant_create(&proof, name, PlanName::Enterprise, 0, None).await;
        let tenant = created.expect("the name is free").value.0.id;
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let (authority, tls) = certify(address.ip());
        let mut world = Self {
            app,
            address,
            authority,
            folder,
            tenant,
            operator,
            tls,
            relays: Relays::default(),
            server: None,
        };
        world.serve().await;
        world
    }

    /// Starts the run endpoint, on the same port as before.
    pub(crate) async fn serve(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the port is free");
        self.address = listener.local_addr().expect("a bound listener");
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(gateway::serve_run_endpoint(
            self.app.clone(),
            self.relays.clone(),
            listener,
            Arc::clone(&self.tls),
            shutdown.clone(),
        ));
        self.server = Some((server, shutdown));
    }

    /// Stops the run endpoint: connections are refused.
    pub(crate) async fn go_away(&mut self) {
        let (server, shutdown) = self.server.take().expect("the endpoint is up");
        shutdown.cancel();
        timeout(DEADLINE, server).await.expect("it ends in time").expect("it does not panic");
    }

    pub(crate) fn proof<A: Action>(&self) -> Authorized<A> {
        authorize(&self.operator, Scope::tenant(self.tenant)).expect("an operator may")
    }

    /// A session with a run whose Job would be made next.
    pub(crate) async fn run(&self, inputs: Vec<Input>) -> NewRun {
        self.run_of(Self::spec(inputs)).await
    }

    pub(crate) fn spec(inputs: Vec<Input>) -> SessionSpec {
        SessionSpec {
            inputs,
            resources: Resources { memory: Bytes::mebi(64), ..Resources::default() },
            ..sample::spec()
        }
    }

    pub(crate) async fn run_of(&self, spec: SessionSpec) -> NewRun {
        let store = &self.app.store;
        let created = store.session_create(&self.proof(), self.tenant, spec, None).await;
        let session = created.expect("a session can be made").value;
        let run = store.run_create(session.id, session.revision).await.expect("it is queued");
        let token = run.token.expose_secret().to_owned();
        NewRun { id: run.run.id, session: session.id, token }
    }

    /// Uploads an input.
    pub(crate) async fn blob(&self, bytes: &'static [u8]) -> Digest {
        let digest = sha256(bytes);
        let path = BlobPath::input(self.tenant, &digest);
        let stream = stream::iter([Ok::<_, std::io::Error>(bytes.into())]);
        let limits = Limits { bytes: 64 << 20, digest: &digest };
        self.app.blobs.write(&path, stream, limits).await.expect("the bytes are kept");
        let size = bytes.len() as u64;
        self.app.store.blob_put(self.tenant, &digest, size).await.expect("it is recorded");
        digest
    }

    /// Where the bytes of an uploaded input are.
    pub(crate) fn blob_file(&self, digest: &Digest) -> std::path::PathBuf {
        let path = BlobPath::input(self.tenant, digest).to_string();
        self.folder.path().join("blobs").join(path)
    }

    pub(crate) async fn session(&self, run: &NewRun) -> Session {
        let session = self.app.store.session_get(run.session).await.expect("the record answers");
        session.expect("it was made")
    }

    pub(crate) async fn record(&self, run: &NewRun) -> Run {
        let run = self.app.store.run_get(run.id).await.expect("the record answers");
        run.expect("it was made")
    }

    /// State and reason of the session.
    pub(crate) async fn outcome(&self, run: &NewRun) -> (SessionState, String) {
        let session = self.session(run).await;
        (session.state, session.cause.map(|cause| cause.reason).unwrap_or_default())
    }

    /// All kept lines of a run, which must be numbered from 1 without gap or repetition.
    pub(crate) async fn log(&self, run: &NewRun) -> Vec<LogLine> {
        let segments = self.app.store.log_segments(run.id, 1).await.expect("the record answers");
        let mut lines: Vec<LogLine> = Vec::new();
        for segment in segments {
            let bytes = self.app.blobs.get(&BlobPath::stored(&segment.path)).await;
            let bytes = bytes.expect("it can be read").expect("what the index names is there");
            assert_eq!(sha256(&bytes), segment.digest);
            lines.extend(segment::lines(&segment.path, &bytes).expect("lines of a log"));
        }
        for (line, number) in lines.iter().zip(1..) {
            assert_eq!(line.number, number);
        }
        lines
    }

    /// The texts of all kept lines.
    pub(crate) async fn texts(&self, run: &NewRun) -> Vec<String> {
        self.log(run).await.into_iter().map(|line| line.text).collect()
    }
}

/// An authority, and a server configuration with a certificate of it.
fn certify(address: IpAddr) -> (String, Arc<ServerConfig>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
    let params = CertificateParams::new([address.to_string()]).expect("an address is a good name");
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    let tls = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .expect("key and certificate fit");
    (authority.pem(), Arc::new(tls))
}

pub(crate) fn inline(name: &str, text: &str) -> Input {
    Input { name: name.to_owned(), source: InputSource::Inline(text.to_owned()) }
}

pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    Digest::of_sha256(Sha256::digest(bytes).into())
}
