//! The portal on a database and a folder of its own, with a clock that stands still.

use application::{
    App,
    access::{AccessError, Check, Explanation, TenantAccess},
    blobs::Blobs,
    organisation::{self, InviteRequest, NewOrganisation, OrganisationRef},
    tenant::NewTenant,
};
use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use domain::{
    Acting, Actor, Bound, Capacity, Clock, ConditionKind, ConditionStatus, Conditions, Email,
    Exclusivity, IdGen, LocalVolume, NodeName, Operation, OperationId, PlanName, Resource, Role,
    Step, Subscription, Survey, Tenant, TenantId, Unit,
};
use http_body_util::BodyExt as _;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};
use store::{Joining, NewInvite, SecretKey, Store, StoreOptions, TenantReport};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use uuid::Uuid;

const DAY: SignedDuration = SignedDuration::from_hours(24);

pub(crate) struct TestPortal {
    pub(crate) app: App,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) stop: CancellationToken,
    /// The cookie of an operator who is signed in.
    pub(crate) operator: String,
    pub(crate) router: Router,
    _folder: tempfile::TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

#[derive(Debug)]
pub(crate) struct TestClock(Mutex<Timestamp>);

#[derive(Debug)]
struct CountedIds(AtomicU64);

/// A host that answers everything.
#[derive(Debug)]
struct World;

impl TestPortal {
    pub(crate) async fn new() -> Self {
        let start = "2026-11-21T10:00:00Z".parse().expect("a timestamp");
        Self::at(start).await
    }

    pub(crate) async fn at(start: Timestamp) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = Arc::new(TestClock(Mutex::new(start)));
        let ids = Arc::new(CountedIds(AtomicU64::new(1)));
        let store = Store::open(StoreOptions {
            url: format!("sqlite://{}", folder.path().join("warren.db").display()),
            secret_key: SecretKey::from_bytes([7; 32]),
            clock: clock.clone(),
            ids: ids.clone(),
        });
        let store = store.await.expect("an empty database can be opened");
        let invite = store.invite_create(None, Role::Operator, "", DAY).await.expect("made");
        let operator = follow(&store, invite, "oscar@example.com").await;
        let blobs = Blobs::open(&folder.path().join("blobs"), ids.clone()).expect("a folder");
        let (access, makes_nodes) = (Arc::new(World), true);
        let app = App { store, blobs, clock: clock.clone(), ids, access, makes_nodes };
        let stop = CancellationToken::new();
        let router = portal::router(app.clone(), stop.clone());
        Self { app, clock, stop, operator, router, _folder: folder }
    }

    /// Looks at a page as an operator.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_as(&self.operator, path).await
    }

    pub(crate) async fn get_as(&self, token: &str, path: &str) -> Answer {
        let request = request(token, Method::GET, path).body(Body::empty());
        self.send(request.expect("a request")).await
    }

    /// Sends a form of the portal's own as an operator.
    pub(crate) async fn post(&self, path: &str, form: &str) -> Answer {
        self.post_as(&self.operator, path, form).await
    }

    pub(crate) async fn post_as(&self, token: &str, path: &str, form: &str) -> Answer {
        let request = request(token, Method::POST, path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin")
            .body(Body::from(form.to_owned()));
        self.send(request.expect("a request")).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let answer = self.router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.expect("the answer is whole").to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    /// The operator.
    pub(crate) async fn actor(&self) -> Actor {
        let person = self.app.store.signed_in(&self.operator, "test".to_owned()).await;
        person.expect("the record answers").expect("they are signed in").actor
    }

    /// A tenant of an organisation of the same name.
    pub(crate) async fn tenant(&self, name: &str, plan: &str, nodes: Option<u32>) -> Tenant {
        let actor = self.actor().await;
        let new = NewOrganisation { name: name.to_owned(), max_tenants: None };
        let organisation = organisation::create(&self.app, &actor, new.into()).await;
        let organisation = organisation.expect("made").name.to_string();
        let new = NewTenant {
            name: name.to_owned(),
            organisation: Some(organisation),
            plan: plan.to_owned(),
            nodes,
        };
        let made = application::tenant::create(&self.app, &actor, new.into(), None).await;
        made.expect("made").value.tenant
    }

    /// The cookie of somebody with a role in the tenant's organisation.
    pub(crate) async fn member(&self, tenant: &Tenant, role: &str) -> String {
        let place = OrganisationRef::Id(tenant.organisation.expect("it has one"));
        let request = InviteRequest { role: role.to_owned(), note: String::new() };
        let invite =
            organisation::invite(&self.app, &self.actor().await, Some(&place), request.into())
                .await;
        let email = format!("{}@example.com", self.app.ids.uuid().as_simple());
        follow(&self.app.store, invite.expect("made"), &email).await
    }

    /// Whether an API token is somebody's.
    pub(crate) async fn is_token(&self, secret: &str) -> bool {
        let actor = application::token::actor(&self.app, secret, "test".to_owned()).await;
        actor.expect("the record answers").is_some()
    }

    /// The operation that makes the tenant usable.
    pub(crate) async fn operation(&self, tenant: TenantId) -> Operation {
        let open = self.app.store.operation_open(tenant).await.expect("a record");
        open.expect("an operation is open")
    }

    /// What the provisioner reports of a tenant on its way.
    pub(crate) async fn report(
        &self,
        tenant: TenantId,
        conditions: Conditions,
        steps: Option<(OperationId, Vec<Step>)>,
    ) {
        let known = self.app.store.tenant_get(tenant).await.expect("a record").expect("there");
        let report = TenantReport {
            observed_generation: known.generation,
            conditions,
            usage: None,
            is_operation_running: steps.is_some(),
            steps,
        };
        self.app.store.tenant_report(tenant, report).await.expect("reported");
    }

    /// What the provisioner reports when a tenant is usable.
    pub(crate) async fn make_ready(&self, tenant: TenantId) {
        let mut conditions = Conditions::default();
        for kind in ConditionKind::ALL {
            let now = self.clock.now();
            conditions.set(kind, ConditionStatus::True, "Done", "all is well", now);
        }
        self.report(tenant, conditions, None).await;
    }
}

/// Makes an account with an invite, and signs it in: its cookie. The password is none.
async fn follow(store: &Store, invite: NewInvite, email: &str) -> String {
    let email = Email::parse("/email", email).expect("an address");
    let password = SecretString::from("none");
    let joining = Joining::New { email, name: "Somebody".to_owned(), password };
    let account = store.invite_accept(&invite.secret, &joining, "test").await.expect("joined");
    let signed_in = store.sign_in_create(&account, "a test", DAY, "test").await;
    signed_in.expect("signed in").secret.expose_secret().to_owned()
}

pub(crate) fn request(token: &str, method: Method, path: &str) -> axum::http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::COOKIE, format!("theme=dark; __Host-warren={token}"))
        .header("x-request-id", "req_test")
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).expect("the header");
        value.to_str().expect("text")
    }

    #[track_caller]
    pub(crate) fn shows(&self, text: &str) {
        assert!(self.text.contains(text), "{text:?} is not in {} {}", self.status, self.text);
    }

    #[track_caller]
    pub(crate) fn hides(&self, text: &str) {
        assert!(!self.text.contains(text), "{text:?} is in {}", self.text);
    }
}

impl TestClock {
    pub(crate) fn set(&self, now: Timestamp) {
        *self.0.lock().expect("no test panics with the clock") = now;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("no test panics with the clock")
    }
}

impl IdGen for CountedIds {
    fn uuid(&self) -> Uuid {
        let count = u128::from(self.0.fetch_add(1, Ordering::Relaxed));
        Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0000 | count)
    }

    fn secret(&self) -> [u8; 32] {
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        secret
    }
}

#[async_trait]
impl TenantAccess for World {
    async fn explain(&self, _: TenantId) -> Result<Explanation, AccessError> {
        Err(AccessError::Internal("nobody asks".into()))
    }

    async fn kubeconfig(&self, _: TenantId, _: &Acting) -> Result<SecretString, AccessError> {
        Ok("kind: Config\n".to_owned().into())
    }

    async fn exclusivity(&self, _: TenantId) -> Result<Option<Exclusivity>, AccessError> {
        Ok(None)
    }

    async fn survey(&self, _: TenantId, _: Subscription) -> Result<Survey, AccessError> {
        Err(AccessError::Internal("nobody asks".into()))
    }

    async fn volumes_on(&self, _: TenantId, _: &NodeName) -> Result<Vec<LocalVolume>, AccessError> {
        Ok(Vec::new())
    }

    async fn capacity(&self, _: PlanName) -> Result<Capacity, AccessError> {
        let bound = |resource, free, detail: &str| Bound {
            resource,
            unit: Unit::Machines,
            needed: 0,
            free: Some(free),
            at_most: Some(free),
            detail: detail.to_owned(),
            hint: "add memory".to_owned(),
        };
        let memory = "room for 3 machines: 48 GiB of 128 GiB memory free on pve1 and pve2";
        let addresses = "2 of 16 addresses free";
        let bounds =
            vec![bound(Resource::Memory, 3, memory), bound(Resource::Addresses, 2, addresses)];
        Ok(Capacity { bounds })
    }

    async fn host_check(&self) -> Vec<Check> {
        Vec::new()
    }

    async fn proxmox_check(&self) -> Vec<Check> {
        Vec::new()
    }
}
