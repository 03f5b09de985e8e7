//! A host cluster with the controllers that matter here, a tenant's cluster, a record, and Warren.

use crate::fake::{Fake, Objects};
use clusters::{HostCluster, Relays, RunAuthority, TenantClusters};
use domain::{
    Action, Actor, Authorized, Clock, CreateSession, CreateTenant, DeleteTenant, IdGen, OnDrain,
    Operation, PlanName, ProjectName, Resources, RetryPolicy, Role, Scope, Session, SessionSpec,
    SessionState, StopSession, Tenant, TenantId, TenantName, TokenId, authorize,
};
use execution::{Context, Controllers, RecordedTenants, Settings};
use jiff::Timestamp;
use planning::sample::settings;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use store::{SecretKey, StopMode, Store, StoreOptions};
use tempfile::TempDir;
use uuid::Uuid;

/// The longest that anything here may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The real time, and as much more as a test says.
#[derive(Debug, Default)]
pub(crate) struct TestClock(Mutex<jiff::SignedDuration>);

impl TestClock {
    pub(crate) fn advance(&self, by: jiff::SignedDuration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::now() + *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ids in order.
#[derive(Debug, Default)]
struct TestIds(AtomicU64);

impl IdGen for TestIds {
    fn uuid(&self) -> Uuid {
        Uuid::from_u128((0x0192_u128 << 112) | u128::from(self.0.fetch_add(1, Ordering::Relaxed)))
    }

    fn secret(&self) -> [u8; 32] {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        // The first twelve bytes become a name; spread the number over them.
        for (index, byte) in bytes[..12].iter_mut().enumerate() {
            *byte = u8::try_from((number >> (index * 4)) & 31).expect("five bits");
        }
        bytes
    }
}

pub(crate) struct World {
    pub(crate) host: Fake,
    pub(crate) inside: Fake,
    pub(crate) store: Store,
    pub(crate) cx: Context,
    pub(crate) clock: Arc<TestClock>,
    actor: Actor,
    _folder: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        // Another test may have been quicker.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(TestClock::default());
        let ids: Arc<dyn IdGen> = Arc::new(TestIds::default());
        let store = Store::open(StoreOptions {
            url: format!("sqlite://{}", folder.path().join("warren.db").display()),
            secret_key: SecretKey::from_bytes([1; 32]),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ids: Arc::clone(&ids),
        })
        .await
        .expect("an empty record");
        let host = Fake::new(host_controllers).with_warrens_rights();
        let inside = Fake::new(|_| {});
        inside.objects(|objects| {
            objects.put("v1", "namespaces", json!({ "metadata": { "name": "default" } }));
        });
        let cluster = HostCluster::from_client(host.client());
        let clock_for_all = Arc::clone(&clock) as Arc<dyn Clock>;
        let (sees, leads) = (host.clone(), inside.clone());
        let tenants = TenantClusters::from_clients(
            cluster.clone(),
            Arc::new(RecordedTenants(store.clone())),
            Arc::clone(&clock_for_all),
            // The tenant's API server answers while its pod is there.
            move |_| {
                let is_up = sees.objects(|objects| {
                    objects
                        .list("pods")
                        .iter()
                        .any(|pod| pod["metadata"]["labels"]["app"] == "vcluster")
                });
                is_up.then(|| leads.client())
            },
        );
        let run_authority = RunAuthority::generate(clock.now()).expect("an authority");
        let cx = Context {
            host: cluster,
            tenants,
            store: store.clone(),
            clock: clock_for_all,
            ids,
            settings: Settings::new(settings()),
            run_authority,
            relays: Relays::default(),
            sweep_every: Duration::from_mins(10),
            tenants_at_once: 1,
            machines: None,
        };
        let actor =
            Actor::of_token(TokenId::new(Uuid::nil()), Role::Operator, None, "test".to_owned());
        Self { host, inside, store, cx, clock, actor, _folder: folder }
    }

    pub(crate) fn start(&self) -> Controllers {
        execution::start(&self.cx, PATIENCE)
    }

    pub(crate) async fn create(&self, name: &str) -> Tenant {
        let proof: Authorized<CreateTenant> =
            authorize(&self.actor, Scope::Platform).expect("operators may");
        let name = TenantName::parse("/name", name).expect("a name");
        let made = self.store.tenant_create(&proof, name, PlanName::Starter, 0, None).await;
        made.expect("a new tenant").value.0
    }

    /// An operator's.
    pub(crate) fn proof<A: Action>(&self, scope: Scope) -> Authorized<A> {
        authorize(&self.actor, scope).expect("operators may")
    }

    /// Makes a tenant and waits until it is ready.
    pub(crate) async fn ready(&self, name: &str) -> Tenant {
        let tenant = self.create(name).await;
        self.until("the tenant is ready", async |world| world.is_ready(tenant.id).await).await;
        self.tenant(tenant.id).await.expect("it is there")
    }

    pub(crate) async fn delete(&self, tenant: TenantId, is_force_clean: bool) -> Operation {
        let proof: Authorized<DeleteTenant> =
            authorize(&self.actor, Scope::tenant(tenant)).expect("operators may");
        self.store.tenant_delete(&proof, tenant, is_force_clean).await.expect("a deletion")
    }

    pub(crate) async fn tenant(&self, tenant: TenantId) -> Option<Tenant> {
        self.store.tenant_get(tenant).await.expect("the record answers")
    }

    pub(crate) async fn is_ready(&self, tenant: TenantId) -> bool {
        let tenant = self.tenant(tenant).await;
        tenant.is_some_and(|tenant| tenant.conditions.is_true(domain::ConditionKind::Ready))
    }

    pub(crate) async fn is_gone(&self, tenant: TenantId) -> bool {
        self.tenant(tenant).await.is_none()
    }

    pub(crate) async fn session(&self, tenant: TenantId) -> Session {
        self.session_in_project(tenant, ProjectName::standard().as_str()).await
    }

    pub(crate) async fn session_in_project(&self, tenant: TenantId, project: &str) -> Session {
        let project = ProjectName::parse("/project", project).expect("a name");
        self.session_of(tenant, SessionSpec { project, ..spec() }).await
    }

    pub(crate) async fn session_with_retry(&self, tenant: TenantId, retry: RetryPolicy) -> Session {
        self.session_of(tenant, SessionSpec { retry, ..spec() }).await
    }

    async fn session_of(&self, tenant: TenantId, spec: SessionSpec) -> Session {
        let proof: Authorized<CreateSession> =
            authorize(&self.actor, Scope::tenant(tenant)).expect("operators may");
        let made = self.store.session_create(&proof, tenant, spec, None).await;
        made.expect("a new session").value
    }

    pub(crate) async fn stop_session(&self, session: &Session) {
        let proof: Authorized<StopSession> =
            authorize(&self.actor, Scope::tenant(session.tenant)).expect("operators may");
        self.store.session_stop(&proof, session.id, StopMode::Proven).await.expect("a stop");
    }

    pub(crate) async fn session_now(&self, session: &Session) -> Session {
        self.store.session_get(session.id).await.expect("the record answers").expect("it is there")
    }

    /// Waits until a session is in a state, and gives it.
    pub(crate) async fn session_in(&self, session: &Session, state: SessionState) -> Session {
        let what = format!("the session is {state}");
        self.until(&what, async |world| world.session_now(session).await.state == state).await;
        self.session_now(session).await
    }

    /// The names of the Jobs in the tenant.
    pub(crate) fn jobs(&self) -> Vec<String> {
        let name = |job: &Value| job["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.inside.objects(|objects| objects.list("jobs").iter().map(name).collect())
    }

    /// Ends a Job as the Job controller would.
    pub(crate) fn end_job(&self, name: &str, kind: &str, reason: &str) {
        let condition = json!({ "type": kind, "status": "True", "reason": reason, "message": "m" });
        self.inside.objects(|objects| {
            objects.change("jobs", "agents", name, |job| {
                job["status"] = json!({ "conditions": [condition] });
            });
        });
    }

    /// Waits until something is so. Looks after every change of the record and of the clusters.
    pub(crate) async fn until(&self, what: &str, is_so: impl AsyncFn(&Self) -> bool) {
        let (mut host, mut inside) = (self.host.changes(), self.inside.changes());
        let mut record = self.store.changes();
        let wait = async {
            loop {
                host.mark_unchanged();
                inside.mark_unchanged();
                if is_so(self).await {
                    return;
                }
                tokio::select! {
                    changed = host.changed() => changed.expect("the fake is there"),
                    changed = inside.changed() => changed.expect("the fake is there"),
                    // Lagging behind is news too.
                    _ = record.recv() => {}
                }
            }
        };
        let is_in_time = tokio::time::timeout(PATIENCE, wait).await.is_ok();
        let last: Vec<_> = self.host.made().into_iter().rev().take(20).collect();
        assert!(is_in_time, "waited in vain until {what}; last asked of the host: {last:#?}");
        assert_eq!(self.host.denied(), [""; 0], "Warren's role lacks what it needs");
    }
}

fn spec() -> SessionSpec {
    SessionSpec {
        project: ProjectName::standard(),
        image: "lab.local/agent:1".to_owned(),
        command: vec!["/agent".to_owned()],
        args: Vec::new(),
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        inputs: Vec::new(),
        resources: Resources::default(),
        run_as_user: SessionSpec::STANDARD_USER,
        timeout_seconds: 600,
        grace_period_seconds: 1,
        labels: BTreeMap::new(),
        retry: RetryPolicy::none(),
        on_drain: OnDrain::Wait,
        result_schema: None,
    }
}

/// Stateful sets get a pod, a claim and a volume; a control plane's pod gets a DNS server; what the
/// Service owns goes with it; volumes go with their claims.
fn host_controllers(objects: &mut Objects) {
    for set in objects.list("statefulsets") {
        let (namespace, cluster) = (text(&set, "namespace"), text(&set, "name"));
        let claim = format!("data-{cluster}-0");
        if objects.get("persistentvolumeclaims", &namespace, &claim).is_none()
            && is_alive(objects, &namespace)
        {
            let volume = format!("pvc-{cluster}");
            let metadata = json!({ "name": claim, "namespace": namespace });
            let claim = json!({ "metadata": metadata, "spec": { "volumeName": volume } });
            objects.put("v1", "persistentvolumeclaims", claim);
            let claimed = json!({ "claimRef": { "namespace": namespace } });
            let volume = json!({ "metadata": { "name": volume }, "spec": claimed });
            objects.put("v1", "persistentvolumes", volume);
        }
        let pod = format!("{cluster}-0");
        if objects.get("pods", &namespace, &pod).is_none() && is_alive(objects, &namespace) {
            let labels = json!({ "app": "vcluster", "release": cluster });
            put_pod(objects, &namespace, &pod, &labels);
        }
    }
    for pod in objects.list("pods") {
        let (namespace, name) = (text(&pod, "namespace"), text(&pod, "name"));
        let is_control_plane = pod["metadata"]["labels"]["app"] == "vcluster";
        let cluster = name.trim_end_matches("-0").to_owned();
        if is_control_plane && objects.get("statefulsets", &namespace, &cluster).is_none() {
            objects.remove("pods", &namespace, &name);
            continue;
        }
        let service = format!("kube-dns-x-kube-system-x-{cluster}");
        // It goes with the Service that owns it; without that it would be made and removed for ever.
        let has_owner = objects.get("services", &namespace, &cluster).is_some();
        let is_there = objects.get("services", &namespace, &service).is_some();
        if is_control_plane && has_owner && !is_there {
            let labels =
                json!({ "k8s-app": "vcluster-kube-dns", "vcluster.loft.sh/managed-by": cluster });
            let metadata = json!({ "name": service, "namespace": namespace, "labels": labels });
            objects.put("v1", "services", json!({ "metadata": metadata }));
            put_pod(objects, &namespace, &format!("coredns-x-{cluster}"), &labels);
        }
    }
    for service in objects.list("services") {
        let (namespace, name) = (text(&service, "namespace"), text(&service, "name"));
        let owner = service["metadata"]["labels"]["vcluster.loft.sh/managed-by"].as_str();
        if owner.is_some_and(|owner| objects.get("services", &namespace, owner).is_none()) {
            objects.remove("services", &namespace, &name);
        }
    }
    for volume in objects.list("persistentvolumes") {
        let namespace =
            volume["spec"]["claimRef"]["namespace"].as_str().unwrap_or_default().to_owned();
        let name = text(&volume, "name");
        let is_claimed = objects
            .list("persistentvolumeclaims")
            .iter()
            .any(|claim| claim["spec"]["volumeName"] == name.as_str());
        if !is_claimed && !namespace.is_empty() {
            objects.remove("persistentvolumes", "", &name);
        }
    }
}

fn put_pod(objects: &mut Objects, namespace: &str, name: &str, labels: &Value) {
    let ready = json!({ "conditions": [{ "type": "Ready", "status": "True" }] });
    let metadata = json!({ "name": name, "namespace": namespace, "labels": labels });
    objects.put("v1", "pods", json!({ "metadata": metadata, "status": ready }));
}

fn is_alive(objects: &Objects, namespace: &str) -> bool {
    objects
        .get("namespaces", "", namespace)
        .is_some_and(|namespace| namespace["metadata"]["deletionTimestamp"].is_null())
}

fn text(object: &Value, name: &str) -> String {
    object["metadata"][name].as_str().unwrap_or_default().to_owned()
}
