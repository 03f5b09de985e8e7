//! Many nodes asked for at once, by several tenants: a storage takes few clones at the same time and refuses the others,
//! which is Warren's matter and nobody else's. The sagas' own loop drives all of it, as in the product.

use super::{
    it::grants::TOKEN,
    node::put_password,
    site::{Site, Storage},
    time::measured,
    world::{Beginning, NUMBER, World, proof},
};
use crate::sagas;
use domain::{
    CreateTenant, Operation, OperationId, OperationState, PlanName, Scope, Tenant, TenantName,
};
use proxmox_client::{CloneOptions, ConfigChange, VmId};
use proxmox_simulator::{Effect, Lock, Times};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use store::Change;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// How exactly time is told: a thousandth of what is measured.
const BEAT: Duration = Duration::from_millis(4);
/// Between two looks whether all is over.
const LOOK: Duration = Duration::from_millis(500);
/// How many tenants ask, and for how many nodes each.
const TENANTS: u32 = 5;
const EACH: u32 = 6;
const ALL: usize = 30;
/// What makespan over bound may be at most.
const GOAL: f64 = 1.2;

/// Three nodes of Proxmox VE, with room for all.
fn site(storage: Storage) -> Site {
    Site {
        storage,
        places: vec![("pve1", 9001), ("pve2", 9002), ("pve3", 9003)],
        numbers: TENANTS * EACH + 5,
        addresses: TENANTS * EACH + 3,
        memory_gib: 256,
        clones_at_once: 3,
        ..Site::default()
    }
}

/// A clone as the simulator saw it, in milliseconds.
#[derive(Debug)]
struct Copied {
    /// The node of Proxmox VE.
    place: String,
    begun: u64,
    ended: u64,
    exit: String,
}

impl Copied {
    fn seconds(&self) -> f64 {
        Duration::from_millis(self.ended - self.begun).as_secs_f64()
    }

    fn was_refused(&self) -> bool {
        self.exit.contains("got timeout") || self.exit.contains("got lock request timeout")
    }
}

/// What came of a storm.
#[derive(Debug)]
struct Storm {
    operations: Vec<Operation>,
    copies: Vec<Copied>,
    /// How many machines each node of Proxmox VE has of Warren's.
    places: BTreeMap<String, usize>,
    /// Everything that somebody who watched has read.
    messages: BTreeSet<String>,
}

impl Storm {
    /// From when the first was asked for until the last was ready, in seconds.
    fn makespan(&self) -> f64 {
        let begun = self.operations.iter().map(|one| one.created_at).min();
        let ended = self.operations.iter().filter_map(|one| one.finished_at).max();
        let whole = begun.zip(ended).map(|(begun, ended)| ended.duration_since(begun));
        whole.expect("all are over").as_secs_f64()
    }

    /// The copies on each storage.
    fn by_storage(&self, site: &Site) -> Vec<Vec<&Copied>> {
        let mut storages: BTreeMap<&str, Vec<&Copied>> = BTreeMap::new();
        for copy in &self.copies {
            let owner = if site.storage == Storage::Shared { "" } else { &copy.place };
            storages.entry(owner).or_default().push(copy);
        }
        storages.into_values().collect()
    }
}

/// How long these copies took, one after another, in seconds.
fn copying(copies: &[&Copied]) -> f64 {
    copies.iter().map(|copy| copy.seconds()).sum()
}

/// How many of these the simulator had at work at the same time, at most.
fn most_at_once(copies: &[&Copied]) -> usize {
    let at = |moment| copies.iter().filter(|c| c.begun <= moment && moment < c.ended).count();
    copies.iter().map(|copy| at(copy.begun)).max().unwrap_or(0)
}

/// Asks for all nodes of those tenants at once and waits until nothing is done any more.
async fn storm(world: &World, tenants: &[Tenant]) -> Storm {
    let process = world.process();
    let (cancel, messages) = (CancellationToken::new(), Arc::new(Mutex::new(BTreeSet::new())));
    let mut around = JoinSet::new();
    around.spawn(sagas::run(process, cancel.clone()));
    around.spawn(listen(world.store.clone(), Arc::clone(&messages)));
    let mut begun = Vec::new();
    for tenant in tenants {
        let shape = tenant.plan.node_shape().expect("a plan with nodes");
        for _ in 0..tenant.nodes {
            let made = world.store.node_attach(tenant.id, shape).await.expect("writable");
            let (node, operation) = made.expect("it pays for one more");
            // To hash it takes real time, of which this time has none.
            put_password(&world.host, &node);
            begun.push(operation.id);
        }
    }
    while !world.store.operation_sagas().await.expect("readable").is_empty() {
        sleep(LOOK).await;
    }
    cancel.cancel();
    around.shutdown().await;
    let mut operations = Vec::new();
    for id in begun {
        let found: Option<Operation> = world.store.operation_get(id).await.expect("readable");
        operations.push(found.expect("it is never forgotten"));
    }
    let messages = messages.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Storm { operations, messages, copies: copies(world), places: places(world) }
}

/// Reads all that is said about operations, as somebody would who watches them.
async fn listen(store: store::Store, messages: Arc<Mutex<BTreeSet<String>>>) {
    let mut changes = store.changes();
    loop {
        let id: OperationId = match changes.recv().await {
            Ok(Change::Operation(id)) => id,
            Ok(_) => continue,
            Err(error) => panic!("it is quick enough to hear everything: {error}"),
        };
        let Ok(Some(operation)) = store.operation_get(id).await else { continue };
        let steps = operation.steps.into_iter().map(|step| step.message);
        let problem =
            operation.problem.map(|problem| format!("{}: {}", problem.code, problem.detail));
        messages.lock().unwrap_or_else(PoisonError::into_inner).extend(steps.chain(problem));
    }
}

fn copies(world: &World) -> Vec<Copied> {
    let state = world.simulator.state();
    let tasks = state["tasks"]["list"].as_array().cloned().unwrap_or_default();
    let is_copy = |task: &&Value| task["kind"] == "qmclone" && task["user"] == TOKEN;
    let number = |value: &Value| value.as_u64().expect("it is over");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let copy = |task: &Value| Copied {
        place: text(&task["node"]),
        begun: number(&task["start_ms"]),
        ended: number(&task["end_ms"]),
        exit: text(&task["exit"]),
    };
    tasks.iter().filter(is_copy).map(copy).collect()
}

fn places(world: &World) -> BTreeMap<String, usize> {
    let (own, _) = world.others().compare(&world.simulator);
    let mut places = BTreeMap::new();
    for vm in own.vms.values() {
        *places.entry(vm["node"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    places
}

/// Tenants that pay for nodes and have none.
async fn tenants(world: &World, count: u32, nodes: u32) -> Vec<Tenant> {
    let proof = proof::<CreateTenant>(Scope::Platform);
    let mut tenants = Vec::new();
    for number in 0..count {
        let name = TenantName::parse("/name", &format!("many-{number}")).expect("a name");
        let made = world.store.tenant_create(&proof, name, PlanName::DedicatedS, nodes, None).await;
        let (tenant, operation) = made.expect("a new tenant").value;
        let over = Operation {
            state: OperationState::Succeeded,
            finished_at: Some(operation.created_at),
            ..operation
        };
        world.store.operation_progress(&over).await.expect("it is open");
        tenants.push(tenant);
    }
    tenants
}

/// The storm of one size on a new world.
async fn of(site: &Site, count: u32, nodes: u32, faults: u32) -> Storm {
    let world = World::at(site.clone(), &Beginning::new().await, PlanName::DedicatedS, 1).await;
    let tenants = tenants(&world, count, nodes).await;
    if faults > 0 {
        let refused = Effect::LockTimeout { lock: Lock::Storage };
        world.simulator.inject(refused.times(faults, "POST", "/nodes/*/qemu/*/clone"));
    }
    let storm = storm(&world, &tenants).await;
    assert_eq!(world.others().compare(&world.simulator).1, Vec::<String>::new());
    storm
}

/// How long a storm took, beside the shortest time that it could have taken.
struct Figures {
    makespan: f64,
    bound: f64,
    by_hand: f64,
    refused: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { makespan, bound, by_hand, refused } = self;
        let figures = json!({
            "makespan": makespan, "bound": bound, "byHand": by_hand, "refusedLocks": refused,
        });
        write!(f, "clone-storm: {figures}")
    }
}

/// The bound: what the copies on the busiest storage took by themselves, as the simulator saw it, divided by how many there
/// may be at the same time, and for the last of them what a node takes that is made alone, without its copy.
async fn figures(site: &Site, storm: &Storm) -> Figures {
    let at_once = f64::from(u32::try_from(site.clones_at_once).expect("a few"));
    let copies = storm.by_storage(site).iter().map(|copies| copying(copies)).fold(0.0, f64::max);
    let alone = of(site, 1, 1, 0).await;
    let rest = alone.makespan() - copying(&alone.copies.iter().collect::<Vec<_>>());
    Figures {
        makespan: storm.makespan(),
        bound: copies / at_once + rest,
        by_hand: by_hand(site).await.as_secs_f64(),
        refused: storm.copies.iter().filter(|copy| copy.was_refused()).count(),
    }
}

/// How long somebody takes who makes as many machines with the bare client, one after the other, and does not wait until
/// they have joined anything.
async fn by_hand(site: &Site) -> Duration {
    let patience = Duration::from_hours(1);
    let world = World::at(site.clone(), &Beginning::new().await, PlanName::DedicatedS, 1).await;
    let client = world.root();
    let change = ConfigChange::new().cores(4).and_then(|change| change.memory(16 << 10));
    let change = change.expect("a size");
    let began = Instant::now();
    for (number, (place, template)) in (NUMBER + 2..).zip(site.places.iter().cycle()).take(ALL) {
        let place = client.node(&place.parse().expect("a name"));
        let id = VmId::new(number).expect("a number");
        let template = place.vm(VmId::new(*template).expect("a number"));
        let copied = template.clone_to(id, &CloneOptions::new()).await.expect("it may");
        copied.finish(patience).await.expect("there is room");
        let vm = place.vm(id);
        vm.change(&change).await.expect("it may");
        let grown = vm.grow_to("scsi0".parse().expect("a slot"), 200).await.expect("it may");
        grown.finish(patience).await.expect("there is room");
        let started = vm.start().await.expect("it may");
        started.finish(patience).await.expect("nothing keeps it");
    }
    began.elapsed()
}

fn check(storm: &Storm, site: &Site) {
    assert_eq!(storm.operations.len(), ALL);
    for operation in &storm.operations {
        assert_eq!(operation.state, OperationState::Succeeded, "{:?}", operation.problem);
    }
    let of_locks = |message: &&String| message.contains("lock") || message.contains("timeout");
    let told: Vec<&String> = storm.messages.iter().filter(of_locks).collect();
    assert_eq!(told, Vec::<&String>::new(), "locks are Warren's matter");
    for copies in storm.by_storage(site) {
        let most = most_at_once(&copies);
        assert_eq!(most, site.clones_at_once, "no more at once than there may be, and no fewer");
    }
    let each = ALL / site.places.len();
    let counts: Vec<usize> = storm.places.values().copied().collect();
    assert_eq!(counts, vec![each; site.places.len()], "they are spread: {:?}", storm.places);
}

/// Asks for thirty nodes and holds them against the goal.
fn thirty_nodes(site: &Site) {
    measured(BEAT, async {
        let storm = of(site, TENANTS, EACH, 0).await;
        let figures = figures(site, &storm).await;
        check(&storm, site);
        assert!(storm.copies.iter().all(|copy| copy.exit == "OK"), "{:?}", storm.copies);
        eprintln!("{figures}");
        assert!(figures.makespan <= GOAL * figures.bound, "{figures}");
    });
}

#[test]
fn thirty_nodes_asked_for_at_once_are_ready_as_soon_as_their_storages_let_them() {
    thirty_nodes(&site(Storage::Thin));
}

#[test]
fn thirty_nodes_asked_for_at_once_take_turns_where_one_storage_has_all_disks() {
    thirty_nodes(&site(Storage::Shared));
}

#[test]
fn a_storage_that_refuses_some_of_many_copies_delays_them_and_nobody_hears_of_its_locks() {
    const REFUSED: u32 = 7;
    measured(BEAT, async {
        let site = site(Storage::Shared);
        let storm = of(&site, TENANTS, EACH, REFUSED).await;
        check(&storm, &site);
        let refused = storm.copies.iter().filter(|copy| copy.was_refused()).count();
        assert_eq!(
            refused,
            usize::try_from(REFUSED).expect("a few"),
            "each was met, and tried again: {:?}",
            storm.copies
        );
    });
}

/// Almost half an hour of copies for each of three turns: whoever waits for its turn that long is not late.
#[test]
fn nobody_is_late_because_it_had_to_wait_for_its_turn() {
    measured(Duration::from_secs(1), async {
        let times = Times { linked_clone_ms: 150_000, ..Times::default() };
        let site = Site { times, ..site(Storage::Shared) };
        let storm = of(&site, TENANTS, EACH, 0).await;
        let figures = figures(&site, &storm).await;
        check(&storm, &site);
        assert!(figures.makespan <= GOAL * figures.bound, "{figures}");
    });
}
