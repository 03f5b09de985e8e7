//! One history: what happens, in an order that a seed decides.

use super::{
    check,
    cluster::{Answer, Cluster, refused},
    control::Step,
    ground::{Arrived, Ground, Killed},
    operator::{self, Emptied},
    process::{Agent, Call, Heard},
    trouble::Trouble,
    user,
    watch::Watch,
};
use crate::{
    backoff::Backoff,
    session::{
        LONGEST_JOB,
        overview::{Outcome, Overview, Record},
        worker::BACKOFF,
    },
};
use domain::{DrainEnd, RunId, SessionId, SessionSpec, TenantId};
use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, resume_unwind},
    pin::Pin,
};
use store::Change;
use tokio::sync::broadcast;

/// A task of Warren's that is under way.
struct Flight {
    task: Pin<Box<dyn Future<Output = Outcome> + Send>>,
    /// The request that it waits for.
    waits: Option<Arrived>,
}

/// What can happen next.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    Look,
    Fly(usize),
    News,
    Cluster(Step),
    Runner(RunId),
    Pass(SignedDuration),
    Create,
    Stop(SessionId),
    /// Somebody begins to empty a node.
    Empty(usize),
    /// What empties it looks again.
    LookAtNode,
    Trouble(Trouble),
    Begin,
    /// A request arrives, or gets lost, whose sender is gone.
    Arrive(usize),
}

pub(super) struct History<'g> {
    pub(super) ground: &'g mut Ground,
    pub(super) rng: StdRng,
    pub(super) tenant: TenantId,
    pub(super) cluster: Cluster,
    pub(super) seen: BTreeMap<SessionId, domain::Session>,
    pub(super) violations: Vec<String>,
    /// One in so many requests, and calls, meets with a fault; nothing when all is well.
    pub(super) faults: Option<u32>,
    pub(super) overview: Option<Overview>,
    flights: Vec<Flight>,
    /// Requests whose sender is gone.
    late: Vec<Arrived>,
    pub(super) watch: Watch,
    changes: broadcast::Receiver<Change>,
    /// Whether the overview has something to look at and has not yet.
    pub(super) is_woken: bool,
    pub(super) next: Timestamp,
    pub(super) created: u32,
    /// What was asked for and not answered.
    pub(super) asked: Option<SessionSpec>,
    /// The node that is being emptied.
    pub(super) emptied: Option<Emptied>,
    /// How each run might have been ended because its node was.
    pub(super) may_end: BTreeMap<RunId, Vec<DrainEnd>>,
    /// What users stopped.
    pub(super) stopped: BTreeSet<SessionId>,
    /// What happened, if anybody wants to know.
    trace: Option<Vec<String>>,
}

/// What came of a history.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) violations: Vec<String>,
    /// What happened, if it was to be told.
    pub(super) trace: Vec<String>,
}

/// Runs one history.
pub(super) async fn run(ground: &mut Ground, seed: u64, is_traced: bool) -> Told {
    let mut history = History::new(ground, seed, is_traced).await;
    Box::pin(history.happen()).await;
    Told { violations: history.violations, trace: history.trace.unwrap_or_default() }
}

impl History<'_> {
    async fn happen(&mut self) {
        let steps = self.rng.random_range(40..160);
        for _ in 0..steps {
            let Some(act) = self.choose() else { break };
            Box::pin(self.make(act)).await;
            if !self.is_sound() {
                return;
            }
        }
        Box::pin(self.converge()).await;
        if self.is_sound() {
            Box::pin(self.stay_quiet()).await;
            check::the_end(self).await;
        }
    }
}

impl<'g> History<'g> {
    async fn new(ground: &'g mut Ground, seed: u64, is_traced: bool) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let now = "2027-01-15T08:00:00Z".parse().expect("a time");
        ground.clock.set(now);
        ground.clock.kill_after(None);
        ground.ids.begin(seed);
        let tenant = user::tenant(ground, seed).await;
        let faults = [None, Some(30), Some(12), Some(5)].choose(&mut rng).copied().flatten();
        let changes = ground.cx.store.changes();
        Self {
            ground,
            rng,
            tenant,
            cluster: Cluster::new(now),
            seen: BTreeMap::new(),
            violations: Vec::new(),
            faults,
            overview: None,
            flights: Vec::new(),
            late: Vec::new(),
            watch: Watch::default(),
            changes,
            is_woken: true,
            next: now,
            created: 0,
            asked: None,
            emptied: None,
            may_end: BTreeMap::new(),
            stopped: BTreeSet::new(),
            trace: is_traced.then(Vec::new),
        }
    }

    fn tell(&mut self, what: impl FnOnce(&Self) -> String) {
        if self.trace.is_some() {
            let line = what(self);
            self.trace.get_or_insert_default().push(line);
        }
    }

    pub(super) fn is_sound(&mut self) -> bool {
        self.violations.append(&mut self.cluster.violations);
        self.violations.is_empty()
    }

    fn choose(&mut self) -> Option<Act> {
        if self.fault() {
            return self.trouble().choose(&mut self.rng).map(|trouble| Act::Trouble(*trouble));
        }
        let mut acts: Vec<(u32, Act)> = self.work();
        let pass = [10, 300, 1000, 3000, 7000].choose(&mut self.rng).copied().unwrap_or(10);
        acts.push((6, Act::Pass(SignedDuration::from_millis(pass))));
        if self.overview.is_some() {
            acts.extend((self.created < 3).then_some((4, Act::Create)));
            let open = self.seen.values().filter(|session| !session.state.is_final());
            acts.extend(open.map(|session| (1, Act::Stop(session.id))));
            if self.emptied.is_none() {
                acts.extend([(1, Act::Empty(0)), (1, Act::Empty(1))]);
            }
        }
        acts.choose_weighted(&mut self.rng, |(weight, _)| *weight).ok().map(|(_, act)| *act)
    }

    /// What is there to be done, without anybody's choice.
    pub(super) fn work(&mut self) -> Vec<(u32, Act)> {
        let mut acts = Vec::new();
        if self.overview.is_none() {
            acts.push((8, Act::Begin));
        }
        acts.extend((0..self.late.len()).map(|late| (4, Act::Arrive(late))));
        acts.extend((0..self.flights.len()).map(|flight| (10, Act::Fly(flight))));
        if self.watch.has_news(&self.cluster) {
            acts.push((8, Act::News));
        }
        let now = self.cluster.now;
        acts.extend(self.cluster.steps().into_iter().map(|step| (8, Act::Cluster(step))));
        let calls = self.cluster.processes.values().filter(|process| process.call(now).is_some());
        acts.extend(calls.map(|process| (8, Act::Runner(process.run))));
        if self.overview.is_some() && self.emptied.is_some_and(|emptied| now >= emptied.next) {
            acts.push((6, Act::LookAtNode));
        }
        if self.overview.is_some() && (self.is_woken || now >= self.next) {
            acts.push((10, Act::Look));
        }
        acts
    }

    pub(super) async fn make(&mut self, act: Act) {
        self.tell(|history| format!("{} {act:?}", history.cluster.now));
        match act {
            Act::Look => self.look().await,
            Act::Fly(flight) => self.fly(flight).await,
            Act::News => {
                if let (Some(overview), Some(news)) =
                    (&mut self.overview, self.watch.next(&self.cluster))
                {
                    overview.take_news(news);
                    self.is_woken = true;
                }
            }
            Act::Cluster(step) => {
                let node = self.rng.random_range(0..2);
                let node = if self.cluster.nodes[node].is_closed { 1 - node } else { node };
                let agent = agent(&mut self.rng);
                self.cluster.make(step, node, agent);
            }
            Act::Runner(run) => self.call(run).await,
            Act::Pass(time) => self.pass(time),
            Act::Create => Box::pin(user::create(self)).await,
            Act::Stop(session) => user::stop(self, session).await,
            Act::Empty(node) => operator::empty(self, node).await,
            Act::LookAtNode => Box::pin(operator::look(self)).await,
            Act::Trouble(trouble) => self.make_trouble(trouble),
            Act::Begin => self.begin().await,
            Act::Arrive(late) => self.arrive(late),
        }
        self.hear_changes().await;
    }

    pub(super) fn pass(&mut self, time: SignedDuration) {
        self.ground.clock.advance(time);
        self.cluster.now = self.ground.clock.peek();
        for process in self.cluster.processes.values_mut() {
            process.tick(self.cluster.now);
        }
    }

    /// A process of Warren begins.
    async fn begin(&mut self) {
        let now = self.cluster.now;
        let unproven = self.ground.cx.store.runs_unproven_tenants(now - LONGEST_JOB).await;
        let is_suspect = unproven.expect("the record answers").contains(&self.tenant);
        let backoff = Backoff { spread: 0., ..BACKOFF };
        self.overview = Some(Overview::new(self.tenant, is_suspect, backoff, now));
        (self.is_woken, self.next) = (true, now);
    }

    /// It ends without a word.
    pub(super) fn kill(&mut self) {
        self.ground.clock.kill_after(None);
        self.overview = None;
        // What was on its way may arrive all the same.
        self.late.extend(self.flights.drain(..).filter_map(|flight| flight.waits));
        self.watch = Watch::default();
    }

    async fn look(&mut self) {
        let Some(mut overview) = self.overview.take() else { return };
        self.is_woken = false;
        let (cx, tenant) = (self.ground.cx.clone(), self.tenant);
        let looked = alive(async {
            let record = Record::read(&cx, tenant).await.expect("the record answers");
            let record = record.expect("nobody deletes the tenant");
            overview.look(&cx, &record).await
        });
        let Ok(look) = looked.await else { return self.kill() };
        self.overview = Some(overview);
        self.next = look.next;
        if look.needs_watch && !self.watch.is_open() {
            self.watch.open(&self.cluster);
        }
        for task in look.tasks {
            self.tell(|_| format!("    {task:?}"));
            let task = Box::pin(task.carry_out(self.ground.cx.clone(), tenant));
            self.flights.push(Flight { task, waits: None });
        }
    }

    /// Lets a task go on until its next request, or its end.
    async fn fly(&mut self, number: usize) {
        let mut flight = self.flights.swap_remove(number);
        if let Some(arrived) = flight.waits.take() {
            let answer = self.answer(&arrived);
            // Whoever asked is still there.
            let _ = arrived.answer.send(answer);
        }
        let arrivals = &mut self.ground.arrivals;
        let goes_on = alive(async {
            tokio::select! {
                biased;
                outcome = &mut flight.task => Ok(outcome),
                arrived = arrivals.recv() => Err(arrived),
            }
        });
        match goes_on.await {
            Err(Killed) => self.kill(),
            Ok(Err(waits)) => {
                flight.waits = waits;
                self.flights.push(flight);
            }
            Ok(Ok(outcome)) => {
                self.tell(|_| format!("    {outcome:?}"));
                if let Some(overview) = &mut self.overview {
                    overview.take_outcome(outcome, self.cluster.now);
                }
                self.is_woken = true;
            }
        }
    }

    fn answer(&mut self, arrived: &Arrived) -> Option<Answer> {
        let fault = self.fault().then(|| self.rng.random_range(0..5));
        let Arrived { method, path, query, .. } = arrived;
        self.tell(|_| format!("    {method} {path} {query} fault {fault:?}"));
        if !arrived.is_host && !self.cluster.is_up {
            return None;
        }
        match fault {
            None => Some(self.cluster.carry_out(arrived)),
            Some(0) => None,
            Some(1) => {
                self.cluster.carry_out(arrived);
                None
            }
            Some(2) => Some(refused(429, "TooManyRequests", "later")),
            Some(3) => Some(refused(409, "Conflict", "somebody else was faster")),
            Some(_) => Some(refused(500, "InternalError", "broken on purpose")),
        }
    }

    fn arrive(&mut self, number: usize) {
        let late = self.late.swap_remove(number);
        // A Secret that comes when all is over is seen by nobody.
        let is_secret = late.path.contains("/secrets");
        if !is_secret && (late.is_host || self.cluster.is_up) && self.rng.random_ratio(1, 2) {
            self.cluster.carry_out(&late);
        }
    }

    fn fault(&mut self) -> bool {
        self.faults.is_some_and(|one_in| self.rng.random_ratio(1, one_in))
    }

    async fn call(&mut self, run: RunId) {
        let now = self.cluster.now;
        let pod = &self.cluster.pods[&run];
        let is_cut = self.cluster.is_lost(pod) || self.overview.is_none();
        let process = &self.cluster.processes[&run];
        let Some(call) = process.call(now) else { return };
        let heard = if is_cut {
            Ok(Heard::Nothing)
        } else {
            Box::pin(alive(user::say(&self.ground.app, process, &call, now))).await
        };
        let Ok(heard) = heard else { return self.kill() };
        self.tell(|_| format!("    {call:?}: {heard:?}"));
        let heard = if self.fault() { Heard::Nothing } else { heard };
        // A runner that hears nothing waits a little.
        let waits = heard == Heard::Nothing && !matches!(call, Call::Heartbeat);
        self.cluster.with_process(run, |process| process.hear(&call, heard, now));
        if waits {
            self.pass(SignedDuration::from_millis(200));
        }
    }

    async fn hear_changes(&mut self) {
        while let Ok(change) = self.changes.try_recv() {
            if let Change::Session { tenant, session } = change
                && tenant == self.tenant
            {
                self.is_woken = true;
                check::session(self, session).await;
            }
        }
    }
}

/// What a process will do.
fn agent(rng: &mut StdRng) -> Agent {
    Agent {
        takes: SignedDuration::from_millis(rng.random_range(0..25_000)),
        lines: rng.random_range(0..12),
        code: [0, 0, 0, 1, 137].choose(rng).copied().unwrap_or(0),
        is_greedy: rng.random_ratio(1, 8),
        is_deaf: rng.random_ratio(1, 3),
        grace: SignedDuration::from_secs(rng.random_range(1..5)),
    }
}

/// Something of Warren's that may be killed on the way.
pub(super) async fn alive<T>(work: impl Future<Output = T>) -> Result<T, Killed> {
    let caught = AssertUnwindSafe(work).catch_unwind().await;
    caught.map_err(|panic: Box<dyn Any + Send>| match panic.downcast::<Killed>() {
        Ok(killed) => *killed,
        Err(panic) => resume_unwind(panic),
    })
}
