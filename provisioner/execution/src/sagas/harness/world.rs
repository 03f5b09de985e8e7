//! What one history happens in: a simulated cluster of Proxmox VE with machines of other people, a host cluster in
//! memory, a record, and processes of Warren that come and go.

use super::{
    inventory::Inventory,
    it::{
        fake::{Fake, Objects},
        grants::{SECRET, TOKEN},
    },
    kubelet::Kubelets,
    site::{ELSEWHERE, Site, Storage},
    tenant::Incidents,
    time::{QuickClock, timelessly},
    volumes::{Disks, settle},
};
use crate::{Context, Machines, RecordedTenants, Settings};
use clusters::{Authority, HostCluster, Relays, RunAuthority, TenantClusters};
use domain::{
    Action, Actor, Authorized, Clock, CreateTenant, IdGen, Node, NodeId, Operation, OperationState,
    PlanName, Role, Scope, Tenant, TenantId, TenantName, TokenId, authorize,
};
use jiff::Timestamp;
use planning::{object::CLUSTER_LABEL, sample::settings};
use proxmox_client::{
    ApiToken, Client, CloneOptions, Settings as ClientSettings, Trust, VmId, VmName,
};
use proxmox_simulator::{Clock as SimulatorClock, Simulator};
use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};
use store::{SecretKey, Store, StoreOptions};
use tempfile::TempDir;
use tokio::task::JoinSet;
use uuid::Uuid;

/// The number that the node's machine gets: the one before it and the one after it are other people's.
pub(super) const NUMBER: u32 = 5001;

pub(super) struct World {
    pub(super) simulator: Simulator,
    pub(super) kubelets: Arc<Kubelets>,
    pub(super) host: Fake,
    /// The tenant's own API server.
    pub(super) inside: Fake,
    pub(super) store: Store,
    pub(super) tenant: Tenant,
    /// What is other people's.
    others: Mutex<Inventory>,
    /// What must not have happened to the tenant.
    pub(super) incidents: Incidents,
    /// What goes on by itself, until nobody looks at the world any more.
    pub(super) life: Mutex<JoinSet<()>>,
    /// Whether somebody took the node's machine away.
    pub(super) is_robbed: AtomicBool,
    /// What is on the disks of its nodes.
    pub(super) disks: Disks,
    /// The ways of bytes between pods, of the process that runs.
    pub(super) relays: Relays,
    site: Site,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGen>,
    _folder: TempDir,
}

/// Identifiers in order and secrets that a seed decides.
#[derive(Debug)]
struct SeededIds(Mutex<(u128, StdRng)>);

impl IdGen for SeededIds {
    fn uuid(&self) -> Uuid {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += 1;
        Uuid::from_u128(state.0)
    }

    fn secret(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.fill_bytes(&mut bytes);
        bytes
    }
}

/// A record in which there are two tenants, one of them with a node of its own, as a file: every history begins with a
/// copy of it.
#[derive(Debug, Clone)]
pub(super) struct Beginning {
    record: Arc<Vec<u8>>,
    tenants: Arc<BTreeMap<PlanName, TenantId>>,
}

impl Beginning {
    pub(super) async fn new() -> Self {
        // Another test may have been quicker.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = folder();
        let store = open(folder.path(), Arc::new(QuickClock::new()), ids(u64::MAX)).await;
        let proof = proof::<CreateTenant>(Scope::Platform);
        let mut tenants = BTreeMap::new();
        for (name, plan, nodes) in
            [("acme", PlanName::DedicatedS, 1), ("initech", PlanName::Pro, 0)]
        {
            let name = TenantName::parse("/name", name).expect("a name");
            let made = store.tenant_create(&proof, name, plan, nodes, None).await;
            let (tenant, operation) = made.expect("a new tenant").value;
            // Nothing is being done about the tenant itself.
            let over = Operation {
                state: OperationState::Succeeded,
                finished_at: Some(operation.created_at),
                ..operation
            };
            store.operation_progress(&over).await.expect("it is open");
            let keys = Authority::generate(Timestamp::now()).and_then(|keys| keys.to_bytes());
            let keys = keys.expect("an authority");
            let put = store.tenant_keys_put_if_absent(tenant.id, keys.expose_secret()).await;
            put.expect("writable");
            tenants.insert(plan, tenant.id);
        }
        store.close().await.expect("nobody else uses it");
        let record = std::fs::read(record(folder.path())).expect("it is there");
        Self { record: Arc::new(record), tenants: Arc::new(tenants) }
    }
}

/// An operator's.
pub(super) fn proof<A: Action>(scope: Scope) -> Authorized<A> {
    let actor = Actor::of_token(TokenId::new(Uuid::nil()), Role::Operator, None, "test".to_owned());
    authorize(&actor, scope).expect("operators may")
}

/// Where nothing waits for a disk, if there is such a place.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}

fn record(folder: &Path) -> std::path::PathBuf {
    folder.join("warren.db")
}

fn ids(seed: u64) -> Arc<dyn IdGen> {
    let state = (u128::from(seed) << 64, StdRng::seed_from_u64(seed));
    Arc::new(SeededIds(Mutex::new(state)))
}

async fn open(folder: &Path, clock: Arc<dyn Clock>, ids: Arc<dyn IdGen>) -> Store {
    let options = StoreOptions {
        url: format!("sqlite://{}", record(folder).display()),
        secret_key: SecretKey::from_bytes([1; 32]),
        clock,
        ids,
    };
    timelessly(Box::pin(Store::open(options))).await.expect("a record")
}

impl World {
    /// With a tenant that has plan `plan`, of which nothing is there but its namespace.
    pub(super) async fn of(beginning: &Beginning, plan: PlanName, seed: u64) -> Self {
        Self::at(Site::default(), beginning, plan, seed).await
    }

    /// One in which Warren's token may do more than it has to.
    pub(super) async fn with_rights(
        beginning: &Beginning,
        plan: PlanName,
        seed: u64,
        more: &[(&'static str, &'static str)],
    ) -> Self {
        Self::at(Site { more: more.to_vec(), ..Site::default() }, beginning, plan, seed).await
    }

    /// On another cluster of Proxmox VE.
    pub(super) async fn at(site: Site, beginning: &Beginning, plan: PlanName, seed: u64) -> Self {
        let folder = folder();
        std::fs::write(record(folder.path()), &*beginning.record).expect("the folder is ours");
        let (clock, ids): (Arc<dyn Clock>, _) = (Arc::new(QuickClock::new()), ids(seed));
        let store = open(folder.path(), Arc::clone(&clock), Arc::clone(&ids)).await;
        let tenant = store.tenant_get(beginning.tenants[&plan]).await.expect("readable");
        let tenant = tenant.expect("it is there from the beginning");
        let disks = Disks::default();
        let on_disks = disks.clone();
        let host = Fake::new(move |objects| settle(objects, &on_disks)).with_warrens_rights();
        host.objects(|objects| furnish(objects, &tenant));
        let kubelets = Kubelets::new(host.clone(), Arc::clone(&clock));
        let machines = Arc::clone(&kubelets);
        let simulator =
            Simulator::start(site.cluster(seed), SimulatorClock::system(), machines).await;
        let simulator = simulator.expect("it listens");
        let (others, life, incidents) = (Mutex::default(), Mutex::default(), Incidents::default());
        // Its pods are called as on the host, so whoever lets go of one there lets go of the other.
        let inside = host.clone();
        let world = Self {
            simulator,
            kubelets,
            host,
            inside,
            store,
            tenant,
            others,
            incidents,
            life,
            is_robbed: AtomicBool::new(false),
            disks,
            relays: Relays::default(),
            site,
            clock,
            ids,
            _folder: folder,
        };
        world.move_in(NUMBER + 1).await;
        *world.others() = Inventory::of(&world.simulator);
        world
    }

    /// Somebody else makes a machine with this number, and it runs.
    pub(super) async fn move_in(&self, number: u32) {
        let name = VmName::new("stranger").expect("a name");
        let client = self.root();
        let place = client.node(&ELSEWHERE.0.parse().expect("a name"));
        let template = place.vm(VmId::new(ELSEWHERE.1).expect("a number"));
        let stranger = VmId::new(number).expect("a number");
        let patience = Duration::from_hours(1);
        let named = CloneOptions::new().name(&name);
        let options = if self.site.storage == Storage::Thick { named.full(None) } else { named };
        let cloned = template.clone_to(stranger, &options).await;
        cloned.expect("it may").finish(patience).await.expect("there is room");
        let started = place.vm(stranger).start().await.expect("it may");
        started.finish(patience).await.expect("nothing keeps it");
    }

    /// Starts a machine as its node does when it has come up again.
    pub(super) async fn start_up(&self, number: u32) {
        let state = self.simulator.state();
        let vm = &state["vms"][number.to_string()];
        if vm["config"]["onboot"] != "1" || !vm["run"].is_null() {
            return;
        }
        let place = vm["node"].as_str().expect("it is somewhere").parse().expect("a name");
        let vm = self.root().node(&place).vm(VmId::new(number).expect("a number"));
        // Somebody else may be quicker.
        if let Ok(started) = vm.start().await {
            let _ = started.finish(Duration::from_mins(1)).await;
        }
    }

    /// Somebody else's way to Proxmox VE, who may do everything.
    pub(super) fn root(&self) -> Client {
        self.client("root@pam!test")
    }

    fn client(&self, token: &str) -> Client {
        let hosts = self
            .simulator
            .addresses()
            .values()
            .map(|address| format!("https://{address}").parse().expect("an address"));
        let authority = self.simulator.authority_pem().expect("it has TLS");
        let trust = Trust::Authority(authority.as_bytes().to_vec());
        let token = ApiToken::new(token, SECRET).expect("a token");
        Client::new(ClientSettings::new(hosts.collect(), trust, token)).expect("a client")
    }

    /// The same with an API server of the tenant's own, and an incident for each thing that must not happen there.
    pub(super) async fn with_tenant(beginning: &Beginning, plan: PlanName, seed: u64) -> Self {
        let world = Self::of(beginning, plan, seed).await;
        Self { inside: Fake::new(|_| {}), ..world }
    }

    /// What a process of Warren has that has just been started.
    pub(super) fn process(&self) -> Context {
        let host = HostCluster::from_client(self.host.client());
        let (sees, inside) = (self.host.clone(), self.inside.clone());
        let (name, namespace) =
            (format!("{}-0", self.tenant.cluster), self.tenant.cluster.host_namespace());
        let set = self.tenant.cluster.to_string();
        let tenants = TenantClusters::from_clients(
            host.clone(),
            Arc::new(RecordedTenants(self.store.clone())),
            Arc::clone(&self.clock),
            // Its API server answers while its pod is there, if it has one.
            move |_| {
                let has_pod = |objects: &mut Objects| {
                    objects.get("statefulsets", &namespace, &set).is_none()
                        || objects.get("pods", &namespace, &name).is_some()
                };
                sees.objects(has_pod).then(|| inside.client())
            },
        );
        Context {
            host,
            tenants,
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
            settings: Settings::new(settings()),
            run_authority: RunAuthority::generate(self.clock.now()).expect("an authority"),
            relays: self.relays.clone(),
            sweep_every: Duration::from_mins(10),
            tenants_at_once: 1,
            machines: Some(Machines::new(self.client(TOKEN), self.site.settings())),
        }
    }

    pub(super) fn others(&self) -> MutexGuard<'_, Inventory> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn tenant(&self) -> Tenant {
        self.store.tenant_get(self.tenant.id).await.expect("readable").expect("it is there")
    }

    pub(super) async fn node(&self, id: NodeId) -> Node {
        self.store.node_get(id).await.expect("readable").expect("it is never forgotten")
    }
}

/// What is in a host cluster before anything is done.
fn furnish(objects: &mut Objects, tenant: &Tenant) {
    objects.put("v1", "namespaces", json!({ "metadata": { "name": "kube-system" } }));
    let name = tenant.cluster.host_namespace();
    let labels = json!({ CLUSTER_LABEL: tenant.cluster.as_str() });
    let metadata = json!({ "name": name, "labels": labels });
    objects.put("v1", "namespaces", json!({ "metadata": metadata }));
    let authority = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
    let metadata = json!({ "name": "kube-root-ca.crt", "namespace": "kube-system" });
    let authority = json!({ "metadata": metadata, "data": { "ca.crt": authority } });
    objects.put("v1", "configmaps", authority);
}

/// Puts a pod on a node, as the tenant's syncer and the scheduler would.
pub(super) fn put_pod(objects: &mut Objects, namespace: &str, name: &str, node: &str) {
    let metadata = json!({ "name": name, "namespace": namespace });
    let spec: Value = json!({ "nodeName": node });
    objects.put("v1", "pods", json!({ "metadata": metadata, "spec": spec }));
}
