//! Decides when which tenant is looked at: by signal, by watch and by timer, one task for one tenant.

use crate::{
    Context,
    backoff::{Backoff, SPREAD, jittered},
    hint::{Hint, Hints},
    host_state::HostState,
    places::Places,
    tenant::{self, Memory, Next, ReconcileError},
    watch::{Target, Wake},
};
use domain::{Generation, TenantId};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use store::Change;
use tokio::{
    sync::{broadcast, mpsc, watch},
    task::{Id, JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Looks that are under way at the same time.
const AT_ONCE: usize = 16;
/// Changes that come close together are looked at together.
const GATHER: Duration = Duration::from_millis(500);
/// The same while a tenant is on its way.
const GATHER_WHILE_STARTING: Duration = Duration::from_millis(20);
/// When everything is looked at although nothing has happened.
const FULL_LOOK: Duration = Duration::from_mins(10);
/// After a failure.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(500), longest: Duration::from_mins(1), spread: SPREAD };

/// One tenant's turn.
#[derive(Default)]
struct Slot {
    hints: Hints,
    /// Absent while a look is under way.
    memory: Option<Box<Memory>>,
    due: Option<Instant>,
    failures: u32,
    /// The newest generation that a signal told of.
    generation: Option<Generation>,
    is_settled: bool,
    /// When everything is looked at although no watch told anything.
    full_at: Option<Instant>,
}

struct Ended {
    tenant: TenantId,
    memory: Box<Memory>,
    hints: Hints,
    result: Result<Next, ReconcileError>,
}

/// The tenant controller.
pub(crate) struct Controller {
    cx: Context,
    /// Nothing is made on a host whose policies do not hold yet.
    host: HostState,
    places: Arc<Places>,
    slots: HashMap<TenantId, Slot>,
    due: BTreeSet<(Instant, TenantId)>,
    clusters: HashMap<String, TenantId>,
    looks: JoinSet<Ended>,
    /// Whom each look that is under way is at.
    tasks: HashMap<Id, TenantId>,
}

/// Runs until cancelled; then lets the looks that are under way come to their end.
pub(crate) async fn run(
    cx: Context,
    mut wakes: mpsc::UnboundedReceiver<Wake>,
    mut host: watch::Receiver<HostState>,
    cancel: CancellationToken,
) {
    let mut changes = cx.store.changes();
    let mut controller = Controller::new(cx);
    if cancel.run_until_cancelled(controller.learn_all()).await.is_none() {
        return;
    }
    loop {
        let next = controller.start_due();
        tokio::select! {
            () = cancel.cancelled() => break,
            wake = wakes.recv() => match wake {
                Some(wake) => controller.wake(wake),
                None => break,
            },
            change = changes.recv() => match change {
                Ok(Change::Tenant(tenant)) => controller.changed(tenant).await,
                // Nodes that are ready, or gone, are counted anew.
                Ok(Change::Node { tenant, .. }) => controller.add(tenant, Hint::Status),
                Ok(
                    Change::Operation(_)
                    | Change::Session { .. }
                    | Change::Log(_)
                    | Change::Orphan(_)
                    | Change::PlanBatch(_)
                    | Change::Token(_)
                    | Change::Account(_),
                ) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => controller.learn_all().await,
                Err(broadcast::error::RecvError::Closed) => break,
            },
            Some(ended) = controller.looks.join_next_with_id() => controller.joined(ended),
            Ok(()) = host.changed() => {
                let state = host.borrow_and_update().clone();
                controller.host_is(state);
            }
            () = sleep_until(next) => {}
        }
    }
    controller.drain().await;
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

impl Controller {
    fn new(cx: Context) -> Self {
        let places = Arc::new(Places::new(cx.tenants_at_once));
        Self {
            cx,
            host: HostState::Asking,
            places,
            slots: HashMap::new(),
            due: BTreeSet::new(),
            clusters: HashMap::new(),
            looks: JoinSet::new(),
            tasks: HashMap::new(),
        }
    }

    /// Looks at every tenant that exists.
    async fn learn_all(&mut self) {
        let tenants = loop {
            match self.cx.store.tenant_unsettled().await {
                Ok(tenants) => break tenants,
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the tenants could not be listed"
                ),
            }
            tokio::time::sleep(BACKOFF.after(1)).await;
        };
        for tenant in tenants {
            self.learn(tenant).await;
            self.add(tenant, Hint::Everything);
        }
    }

    async fn learn(&mut self, tenant: TenantId) {
        if let Ok(Some(record)) = self.cx.store.tenant_get(tenant).await {
            self.clusters.insert(record.cluster.to_string(), tenant);
        }
    }

    /// Somebody changed the record. Its own reports are none of this controller's business: only what
    /// is wanted is, and that has a generation.
    async fn changed(&mut self, tenant: TenantId) {
        let record = match self.cx.store.tenant_get(tenant).await {
            Ok(Some(record)) => record,
            // Whoever has removed it has told already.
            Ok(None) => return,
            Err(_) => return self.add(tenant, Hint::Record),
        };
        let known = self.slots.get(&tenant).and_then(|slot| slot.generation);
        if known == Some(record.generation) {
            return;
        }
        self.clusters.insert(record.cluster.to_string(), tenant);
        self.add(tenant, Hint::Record);
        if let Some(slot) = self.slots.get_mut(&tenant) {
            slot.generation = Some(record.generation);
        }
    }

    fn wake(&mut self, wake: Wake) {
        match wake.target {
            Target::Tenant(tenant) => self.add(tenant, wake.hint),
            Target::All => {
                let all: Vec<TenantId> = self.slots.keys().copied().collect();
                for tenant in all {
                    self.add(tenant, wake.hint.clone());
                }
            }
            // What the record does not know is left alone.
            Target::Cluster(cluster) => {
                if let Some(tenant) = self.clusters.get(&cluster).copied() {
                    self.add(tenant, wake.hint);
                }
            }
        }
    }

    /// Everybody learns what there is to say about the host.
    fn host_is(&mut self, state: HostState) {
        self.host = state;
        let all: Vec<TenantId> = self.slots.keys().copied().collect();
        for tenant in all {
            // What failed meanwhile need not fail now.
            if let Some(slot) = self.slots.get_mut(&tenant) {
                slot.failures = 0;
            }
            self.add(tenant, Hint::Everything);
        }
    }

    fn add(&mut self, tenant: TenantId, hint: Hint) {
        let slot = self
            .slots
            .entry(tenant)
            .or_insert_with(|| Slot { memory: Some(Box::default()), ..Slot::default() });
        let is_record = hint == Hint::Record;
        slot.hints.add(hint);
        let Some(memory) = &slot.memory else { return };
        slot.hints.forget_seen(&memory.seen);
        if slot.hints.is_empty() {
            return;
        }
        let gather = if slot.is_settled { GATHER } else { GATHER_WHILE_STARTING };
        // After a failure only a person's wish shortens the wait.
        let gather = match (is_record, slot.failures) {
            (true, _) => Duration::ZERO,
            (false, 0) => gather,
            (false, _) => BACKOFF.longest,
        };
        self.schedule(tenant, Instant::now() + gather);
    }

    /// Brings a tenant's turn forward to `at`.
    fn schedule(&mut self, tenant: TenantId, at: Instant) {
        let Some(slot) = self.slots.get_mut(&tenant) else { return };
        if slot.due.is_some_and(|due| due <= at) {
            return;
        }
        if let Some(due) = slot.due.replace(at) {
            self.due.remove(&(due, tenant));
        }
        self.due.insert((at, tenant));
    }

    /// Starts the looks whose time has come. Gives the time of the next one.
    fn start_due(&mut self) -> Option<Instant> {
        if self.host == HostState::Asking {
            return None;
        }
        let now = Instant::now();
        while let Some((at, tenant)) = self.due.first().copied() {
            if at > now {
                return Some(at);
            }
            if self.looks.len() >= AT_ONCE {
                // The end of any look comes back here.
                return None;
            }
            self.due.pop_first();
            self.start(tenant);
        }
        None
    }

    fn start(&mut self, tenant: TenantId) {
        let Some(slot) = self.slots.get_mut(&tenant) else { return };
        slot.due = None;
        let Some(mut memory) = slot.memory.take() else { return };
        let mut hints = std::mem::take(&mut slot.hints);
        hints.is_everything |= slot.full_at.is_some_and(|at| at <= Instant::now());
        let (cx, places) = (self.cx.clone(), Arc::clone(&self.places));
        let host = self.host.clone();
        let look = self.looks.spawn(async move {
            let result = match host {
                HostState::Blocked(obstacle) => {
                    let look = tenant::reconcile_blocked(&cx, tenant, &mut memory, &obstacle);
                    Box::pin(look).await
                }
                HostState::Asking | HostState::Ready => {
                    let look = tenant::reconcile(&cx, &places, tenant, &mut memory, &hints);
                    Box::pin(look).await
                }
            };
            Ended { tenant, memory, hints, result }
        });
        self.tasks.insert(look.id(), tenant);
    }

    fn joined(&mut self, ended: Result<(Id, Ended), JoinError>) {
        match ended {
            Ok((id, ended)) => {
                self.tasks.remove(&id);
                self.ended(ended);
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a look at a tenant broke off; it begins anew"
                );
                let Some(tenant) = self.tasks.remove(&error.id()) else { return };
                if let Some(slot) = self.slots.get_mut(&tenant) {
                    slot.memory = Some(Box::default());
                    slot.failures = slot.failures.saturating_add(1);
                    slot.hints.add(Hint::Everything);
                    let wait = BACKOFF.after(slot.failures);
                    self.schedule(tenant, Instant::now() + wait);
                }
            }
        }
    }

    fn ended(&mut self, ended: Ended) {
        let Ended { tenant, memory, hints, result } = ended;
        let Some(slot) = self.slots.get_mut(&tenant) else { return };
        let frees_place = memory.is_place_free();
        slot.hints.forget_seen(&memory.seen);
        slot.memory = Some(memory);
        slot.is_settled = matches!(result, Ok(Next::Settled));
        // What a person wished meanwhile is looked at at once, whatever came of this look.
        let is_wish = slot.hints.is_record;
        let news = if slot.hints.is_empty() { Duration::MAX } else { GATHER_WHILE_STARTING };
        let wait = match result {
            Ok(Next::Gone) => {
                self.slots.remove(&tenant);
                self.clusters.retain(|_, known| *known != tenant);
                self.free_place(tenant);
                return;
            }
            Ok(next) => {
                slot.failures = 0;
                match next {
                    Next::After(wait) => wait.min(news),
                    Next::Settled => {
                        let now = Instant::now();
                        if hints.is_everything {
                            slot.full_at = None;
                        }
                        let full_at =
                            *slot.full_at.get_or_insert_with(|| now + jittered(FULL_LOOK));
                        full_at.saturating_duration_since(now).min(news.max(GATHER))
                    }
                    Next::Turn | Next::Gone => jittered(FULL_LOOK).min(news),
                }
            }
            Err(error) => {
                // What was to be looked at was not.
                slot.hints.merge(hints);
                slot.failures = slot.failures.saturating_add(1);
                let wait = BACKOFF.after_answer(slot.failures, error.retry_after());
                log_failure(tenant, slot.failures, wait, &error);
                wait
            }
        };
        if frees_place {
            self.free_place(tenant);
        }
        let wait = if is_wish { Duration::ZERO } else { wait };
        self.schedule(tenant, Instant::now() + wait);
    }

    fn free_place(&mut self, tenant: TenantId) {
        for waiting in self.places.leave(tenant) {
            self.add(waiting, Hint::Record);
        }
    }

    /// Whoever stops the controllers says how long this may take.
    async fn drain(mut self) {
        while self.looks.join_next().await.is_some() {}
    }
}

fn log_failure(tenant: TenantId, failures: u32, wait: Duration, error: &ReconcileError) {
    // The first is normal while others write too; what stays is for a person to see.
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    let error = error as &dyn std::error::Error;
    if failures == 1 {
        tracing::debug!(tenant.id = %tenant, wait_ms, error, "looked in vain");
    } else {
        tracing::warn!(tenant.id = %tenant, failures, wait_ms, error, "looked in vain");
    }
}
