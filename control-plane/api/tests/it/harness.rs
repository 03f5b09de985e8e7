//! The whole API on a database and a folder of its own, with a clock that a test sets.

use api::{About, Metrics, metrics_router, router};
use application::{
    App,
    access::{AccessError, ChangeAction, Check, Explanation, PlannedChange, TenantAccess},
    blobs::{BlobPath, Blobs},
    housekeeping::Housekeeping,
    log::{LinePart, LogLine, LogStream},
};
use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode},
};
use bytes::Bytes;
use domain::{
    Acting, Capacity, Clock, ConditionKind, ConditionStatus, Conditions, Digest, Exclusivity,
    IdGen, LocalVolume, NodeName, PlanName, Role, RunId, Session, SessionId, SessionState,
    Subscription, Survey, TenantId,
};
use http_body_util::BodyExt as _;
use jiff::{Timestamp, ToSpan as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
use store::{LogGrowth, LogSegment, SecretKey, Store, StoreOptions, TenantReport};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use uuid::Uuid;

pub(crate) struct TestApp {
    pub(crate) app: App,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) world: Arc<World>,
    /// An operator's token.
    pub(crate) operator: String,
    router: Router,
    metrics: Router,
    folder: tempfile::TempDir,
}

/// A tenant, and a token of its owner.
pub(crate) struct TestTenant {
    pub(crate) id: TenantId,
    pub(crate) path: String,
    pub(crate) owner: String,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Debug)]
pub(crate) struct TestClock(Mutex<Timestamp>);

#[derive(Debug)]
struct CountedIds(AtomicU64);

/// What the host cluster would be.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) mood: Mutex<Mood>,
    /// What of every tenant would move.
    pub(crate) survey: Mutex<Survey>,
    /// How much room there is.
    pub(crate) capacity: Mutex<Capacity>,
    /// Whether nobody can say that.
    pub(crate) is_mute: AtomicBool,
    /// How often somebody wanted to know.
    pub(crate) looks_for_room: AtomicU64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Well,
    NotReady,
    Away,
    Panicking,
}

/// A look of the housekeeping that is cut off at its `cut`th pause, if it has so many.
pub(crate) async fn look_cut_off(server: &TestApp, cut: usize) {
    let mut housekeeping = Housekeeping::default();
    let patience = async {
        for _ in 0..=cut {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = patience => {}
        looked = housekeeping.look(&server.app) => looked.expect("everything can be removed"),
    }
}

impl TestApp {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let start = "2026-11-21T10:00:00Z".parse().expect("a timestamp");
        let clock = Arc::new(TestClock(Mutex::new(start)));
        let ids = Arc::new(CountedIds(AtomicU64::new(1)));
        let store = Store::open(StoreOptions {
            url: format!("sqlite://{}", folder.path().join("warren.db").display()),
            secret_key: SecretKey::from_bytes([7; 32]),
            clock: clock.clone(),
            ids: ids.clone(),
        });
        let store = store.await.expect("an empty database can be opened");
        let operator = store.token_create(None, Role::Operator, None, "bootstrap").await;
        let operator = operator.expect("the first token").secret.expose_secret().to_owned();
        let blobs = Blobs::open(&folder.path().join("blobs"), ids.clone()).expect("a folder");
        let world = Arc::new(World::default());
        let app = App {
            store,
            blobs,
            clock: clock.clone(),
            ids,
            access: world.clone(),
            makes_nodes: true,
        };
        let metrics = Metrics::new(About { version: "0.0.0-test", commit: "" });
        let shutdown = CancellationToken::new();
        Self {
            router: router(app.clone(), &metrics, Router::new(), shutdown.clone()),
            metrics: metrics_router(app.clone(), &metrics),
            app,
            clock,
            shutdown,
            world,
            operator,
            folder,
        }
    }

    /// Sends a request as an operator.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(&self.operator, Method::GET, path, None).await
    }

    /// Posts JSON as an operator.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(&self.operator, Method::POST, path, Some(body)).await
    }

    pub(crate) async fn send(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let request = request(token, method, path);
        self.call(match body {
            Some(value) => request
                .header("content-type", "application/json")
                .body(Body::from(value.to_string())),
            None => request.body(Body::empty()),
        })
        .await
    }

    /// Sends any request and reads the whole answer.
    pub(crate) async fn call(&self, request: axum::http::Result<Request<Body>>) -> Answer {
        let answer = self.open(request).await;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.expect("the answer is whole").to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Sends any request and reads only the head of the answer.
    pub(crate) async fn open(
        &self,
        request: axum::http::Result<Request<Body>>,
    ) -> axum::response::Response {
        let request = request.expect("a request");
        self.router.clone().oneshot(request).await.expect("the router answers everything")
    }

    pub(crate) async fn metrics(&self) -> String {
        let request = Request::get("/metrics").body(Body::empty()).expect("a request");
        let answer = self.metrics.clone().oneshot(request).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        let body = answer.into_body().collect().await.expect("the answer is whole").to_bytes();
        String::from_utf8(body.to_vec()).expect("text")
    }

    /// Every file below the folder of blobs.
    pub(crate) fn files(&self) -> Vec<String> {
        fn walk(folder: &std::path::Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    walk(&path, found);
                } else {
                    found.push(path.display().to_string());
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.folder.path().join("blobs"), &mut found);
        found
    }

    pub(crate) async fn tenant(&self, name: &str) -> TestTenant {
        let body = json!({ "name": name, "plan": "starter" });
        let created = self.post("/api/v1/tenants", body).await;
        assert_eq!(created.status, StatusCode::CREATED, "{}", created.text());
        let id = created.json()["id"].as_str().expect("an id").parse().expect("a tenant's id");
        let path = format!("/api/v1/tenants/{id}");
        let owner = self.token(&path, "owner").await;
        TestTenant { id, path, owner }
    }

    pub(crate) async fn token(&self, tenant: &str, role: &str) -> String {
        let body = json!({ "name": "test", "role": role });
        let created = self.post(&format!("{tenant}/tokens"), body).await;
        assert_eq!(created.status, StatusCode::CREATED, "{}", created.text());
        created.json()["token"].as_str().expect("a token").to_owned()
    }

    /// What the provisioner does when a tenant is usable.
    pub(crate) async fn make_ready(&self, tenant: &TestTenant) {
        let known = self.app.store.tenant_get(tenant.id).await.expect("a record").expect("there");
        let mut conditions = Conditions::default();
        for kind in ConditionKind::ALL {
            let now = self.clock.now();
            conditions.set(kind, ConditionStatus::True, "Done", "all is well", now);
        }
        let report = TenantReport {
            observed_generation: known.generation,
            conditions,
            usage: None,
            steps: None,
            is_operation_running: false,
        };
        self.app.store.tenant_report(tenant.id, report).await.expect("reported");
    }

    pub(crate) async fn session(&self, tenant: &TestTenant) -> SessionId {
        let body = json!({ "image": "agent:1", "command": ["/agent"] });
        let created = self.post(&format!("{}/sessions", tenant.path), body).await;
        assert_eq!(created.status, StatusCode::CREATED, "{}", created.text());
        created.json()["id"].as_str().expect("an id").parse().expect("a session's id")
    }

    /// What the provisioner and the runner do until the agent's process runs.
    pub(crate) async fn run(&self, session: SessionId) -> RunId {
        let revision = self.record(session).await.revision;
        let new = self.app.store.run_create(session, revision).await.expect("it was queued");
        self.app.store.run_started(new.run.id).await.expect("noted");
        self.advance(session, SessionState::Running).await;
        new.run.id
    }

    pub(crate) async fn advance(&self, session: SessionId, next: SessionState) {
        let revision = self.record(session).await.revision;
        self.app.store.session_move(session, revision, next, None).await.expect("allowed");
    }

    async fn record(&self, session: SessionId) -> Session {
        self.app.store.session_get(session).await.expect("a record").expect("there")
    }

    /// Appends lines as the run endpoint does: `o` and `e` say where each was written to.
    pub(crate) async fn log(&self, run: RunId, first: u64, streams: &str) {
        let lines = (first..).zip(streams.chars());
        let lines: Vec<_> = lines
            .map(|(number, stream)| (stream, LinePart::Whole, format!("line {number}")))
            .collect();
        self.log_lines(run, first, &lines).await;
    }

    /// Appends lines, or pieces of lines, with their texts.
    pub(crate) async fn log_lines(
        &self,
        run: RunId,
        first: u64,
        lines: &[(char, LinePart, impl AsRef<str>)],
    ) {
        let mut bytes = Vec::new();
        for (number, (stream, part, text)) in (first..).zip(lines) {
            let stream = if *stream == 'e' { LogStream::Err } else { LogStream::Out };
            let (text, part) = (text.as_ref().to_owned(), *part);
            let line = LogLine { number, at: self.clock.now(), stream, text, part };
            serde_json::to_writer(&mut bytes, &line).expect("JSON");
            bytes.push(b'\n');
        }
        let path = BlobPath::log_segment(run, first, ".ndjson");
        let digest = digest(&bytes);
        let (lines, size) = (lines.len() as u64, bytes.len() as u64);
        self.app.blobs.put(&path, bytes.into()).await.expect("written");
        let path = path.to_string();
        let segment = LogSegment { first, lines, bytes: size, path, digest };
        self.app.store.log_append(run, segment, LogGrowth::default()).await.expect("contiguous");
    }
}

pub(crate) fn request(token: &str, method: Method, path: &str) -> axum::http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {token}"))
        .header("x-request-id", "test")
}

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Digest::of_sha256(Sha256::digest(bytes).into())
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no header {name}"));
        value.to_str().expect("text")
    }

    /// The code of a problem, with the status that it came with.
    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        let body = self.json();
        assert_eq!(body["status"], self.status.as_u16());
        (self.status.as_u16(), body["code"].as_str().expect("a code").to_owned())
    }
}

impl TestClock {
    pub(crate) fn forward(&self, minutes: i64) {
        let mut now = self.0.lock().expect("no test panics with the clock");
        *now += minutes.minutes();
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("no test panics with the clock")
    }
}

impl IdGen for CountedIds {
    fn uuid(&self) -> Uuid {
        // Version 7 and the variant of RFC 9562; later ones sort after earlier ones.
        let count = u128::from(self.0.fetch_add(1, Ordering::Relaxed));
        Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0000 | count)
    }

    fn secret(&self) -> [u8; 32] {
        Sha256::digest(self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes()).into()
    }
}

impl World {
    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().expect("no test panics with the mood") = mood;
    }

    fn mood(&self) -> Mood {
        *self.mood.lock().expect("no test panics with the mood")
    }
}

#[async_trait]
impl TenantAccess for World {
    async fn explain(&self, _: TenantId) -> Result<Explanation, AccessError> {
        match self.mood() {
            Mood::Panicking => panic!("a secret of the inside"),
            Mood::Away => Err(AccessError::Unreachable("10.0.0.1 refused".into())),
            Mood::NotReady => Err(AccessError::Internal("no such table".into())),
            Mood::Well => Ok(Explanation {
                observed_at: Timestamp::UNIX_EPOCH,
                changes: vec![PlannedChange {
                    action: ChangeAction::Create,
                    kind: "Namespace".to_owned(),
                    namespace: None,
                    name: "warren-w".to_owned(),
                    reason: "it is missing".to_owned(),
                }],
                waiting_for: vec!["the namespace".to_owned()],
            }),
        }
    }

    async fn kubeconfig(&self, _: TenantId, actor: &Acting) -> Result<SecretString, AccessError> {
        match self.mood() {
            Mood::NotReady => {
                Err(AccessError::NotReady { reason: "It has no keys yet.".to_owned() })
            }
            Mood::Well | Mood::Away | Mood::Panicking => {
                Ok(format!("user: {}\n", actor.role.as_str()).into())
            }
        }
    }

    async fn exclusivity(&self, _: TenantId) -> Result<Option<Exclusivity>, AccessError> {
        Ok(None)
    }

    async fn survey(&self, _: TenantId, _: Subscription) -> Result<Survey, AccessError> {
        if self.mood() == Mood::Away {
            return Err(AccessError::Unreachable("10.0.0.1 refused".into()));
        }
        Ok(self.survey.lock().expect("no test panics with it").clone())
    }

    async fn volumes_on(
        &self,
        tenant: TenantId,
        _: &NodeName,
    ) -> Result<Vec<LocalVolume>, AccessError> {
        let plan = Subscription { plan: PlanName::Pro, nodes: 0 };
        let found = self.survey(tenant, plan).await?;
        let local = |claim: &String| LocalVolume {
            claim: claim.clone(),
            obstacle: found.uncopied.get(claim).cloned(),
        };
        Ok(found.volumes.iter().map(local).collect())
    }

    async fn capacity(&self, _: PlanName) -> Result<Capacity, AccessError> {
        self.looks_for_room.fetch_add(1, Ordering::Relaxed);
        if self.is_mute.load(Ordering::Relaxed) {
            return Err(AccessError::Unreachable("10.0.0.2 refused".into()));
        }
        Ok(self.capacity.lock().expect("no test panics with it").clone())
    }

    async fn host_check(&self) -> Vec<Check> {
        vec![Check {
            name: "host-cluster".to_owned(),
            is_ok: self.mood() == Mood::Well,
            detail: "looked at".to_owned(),
            way_out: String::new(),
        }]
    }

    async fn proxmox_check(&self) -> Vec<Check> {
        vec![Check {
            name: "privileges".to_owned(),
            is_ok: self.mood() == Mood::Well,
            detail: "looked at".to_owned(),
            way_out: String::new(),
        }]
    }
}
