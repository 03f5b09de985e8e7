//! The cluster at work: its state, its clock, its locks, its tasks, and what goes wrong.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::access::Actor;
use crate::api::Commands;
use crate::clock::Clock;
use crate::config::{Config, NodeConfig, ms};
use crate::fault::{Effect, Faults, Moment};
use crate::images::Images;
use crate::locks::Locks;
use crate::machines::Machines;
use crate::plan;
use crate::task::work::Work;
use crate::task::{INTERRUPTED, Order};
use crate::world::World;

/// The state's file in its folder.
const FILE: &str = "cluster.json";
/// Workers of a node.
const WORKERS: usize = 3;

/// Everything that the API works with.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) locks: Locks,
    pub(crate) faults: Faults,
    pub(crate) machines: Arc<dyn Machines>,
    pub(crate) images: Images,
    pub(crate) commands: Commands,
    /// The processes of each node that do what needs root; a call that blocks keeps one.
    workers: HashMap<String, Arc<Semaphore>>,
    /// Wakes the listeners when nodes or their certificates change.
    pub(crate) changed: watch::Sender<u64>,
    /// Ends everything that was started here.
    pub(crate) end: CancellationToken,
    world: Mutex<World>,
    random: Mutex<StdRng>,
    running: Mutex<HashMap<String, CancellationToken>>,
    file: Option<PathBuf>,
}

impl Cluster {
    /// The cluster as it was left, or a new one.
    pub(crate) fn new(
        config: Config,
        clock: Clock,
        machines: Arc<dyn Machines>,
    ) -> Result<Arc<Self>> {
        let mut random = StdRng::seed_from_u64(config.seed);
        let file = config.folder.as_ref().map(|folder| folder.join(FILE));
        let images = Images::new(config.folder.as_ref().map(|folder| folder.join("images")))?;
        let kept = file.as_ref().filter(|file| file.exists());
        let world = match kept {
            Some(file) => {
                let text =
                    std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
                let mut world: World = serde_json::from_slice(&text)
                    .with_context(|| format!("understand {}", file.display()))?;
                world.tasks.interrupt_all(clock.unix());
                world.release = config.release;
                // What was made before has its identifiers already.
                let moment = clock.unix_s().wrapping_mul(1 << 20);
                random = StdRng::seed_from_u64(config.seed ^ world.made ^ moment);
                world
            }
            None => plan::build(&config, clock.unix_s(), &mut random)?,
        };
        let workers = |node: &NodeConfig| (node.name.clone(), Arc::new(Semaphore::new(WORKERS)));
        let workers = config.nodes.iter().map(workers).collect();
        let cluster = Arc::new(Self {
            config,
            clock,
            locks: Locks::default(),
            faults: Faults::default(),
            machines,
            images,
            commands: Commands::default(),
            workers,
            changed: watch::Sender::new(0),
            end: CancellationToken::new(),
            world: Mutex::new(world),
            random: Mutex::new(random),
            running: Mutex::default(),
            file,
        });
        cluster.save();
        Ok(cluster)
    }

    /// The state as it is now. Nothing may be awaited while it is held.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.take_inventory(self.clock.unix_s());
        world
    }

    /// Waits for a worker of a node; it is free again when this is dropped.
    pub(crate) async fn worker(&self, node: &str) -> Option<OwnedSemaphorePermit> {
        self.workers.get(node)?.clone().acquire_owned().await.ok()
    }

    pub(crate) fn random(&self) -> MutexGuard<'_, StdRng> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes some time, a tenth more or less.
    pub(crate) async fn pause(&self, length_ms: u64) {
        let micros = length_ms.saturating_mul(1000);
        let some = micros / 10;
        let micros = micros - some + self.random().random_range(0..=some * 2);
        tokio::time::sleep(Duration::from_micros(micros)).await;
    }

    /// Writes the state down, if it is kept.
    pub(crate) fn save(&self) {
        let Some(file) = &self.file else { return };
        let written =
            serde_json::to_vec(&*self.world()).map_err(std::io::Error::other).and_then(|text| {
                // Written aside and moved, so that the file is always whole.
                let aside = file.with_extension("next");
                std::fs::write(&aside, text)?;
                std::fs::rename(&aside, file)
            });
        if let Err(error) = written {
            tracing::error!(file = %file.display(), "the state is not written: {error}");
        }
    }

    /// Starts a task and says its name. Nothing is promised by that.
    pub(crate) fn start<F>(
        self: &Arc<Self>,
        order: &Order,
        faults: Vec<Effect>,
        body: impl FnOnce(Work) -> F,
    ) -> String
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let upid = self.world().tasks.begin(order, self.clock.unix());
        let token = self.end.child_token();
        self.running().insert(upid.clone(), token.clone());
        let work = Work::new(self.clone(), order.node.clone(), upid.clone(), faults);
        let body = body(work.clone());
        tokio::spawn(work_off(work, token, body));
        self.save();
        upid
    }

    /// Aborts a task that runs.
    pub(crate) fn abort(&self, upid: &str) {
        if let Some(token) = self.running().get(upid) {
            token.cancel();
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many tasks run.
    pub(crate) fn busy(&self) -> usize {
        self.running().len()
    }

    /// Tells the listeners to look at the nodes again.
    pub(crate) fn announce(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// A VM that was turned on may have gone off by itself.
    pub(crate) fn look_at_machines(&self) {
        let mut world = self.world();
        for (id, vm) in &mut world.vms {
            if vm.run.is_some() && !self.machines.is_running(*id) {
                vm.run = None;
            }
        }
    }

    pub(crate) fn order(actor: &Actor, node: &str, kind: &'static str, id: &str) -> Order {
        Order { node: node.into(), kind, id: id.into(), user: actor.name() }
    }
}

async fn work_off(
    work: Work,
    token: CancellationToken,
    body: impl Future<Output = Result<(), String>> + Send,
) {
    let cluster = work.cluster.clone();
    let whole = async {
        cluster.pause(cluster.config.times.task_start_ms).await;
        for effect in work.faults.iter() {
            if let Effect::TaskSlow { ms: length } = effect {
                tokio::time::sleep(ms(*length)).await;
            }
        }
        if work.faults.contains(&Effect::TaskHangs) {
            std::future::pending::<()>().await;
        }
        work.reach(Moment::Begin)?;
        body.await?;
        work.keep();
        work.reach(Moment::End)
    };
    let outcome = tokio::select! {
        outcome = whole => outcome,
        () = token.cancelled() => Err(INTERRUPTED.to_owned()),
    };
    if cluster.end.is_cancelled() {
        // The nodes lost their power, so to say: nothing is undone and nothing is written.
        return;
    }
    if outcome.is_err() {
        work.undo();
    }
    for number in work.warnings()..work.wanted_warnings() {
        work.warn(&format!("something did not work ({})", number + 1));
    }
    let exit = match outcome {
        Ok(()) if work.warnings() > 0 => format!("WARNINGS: {}", work.warnings()),
        Ok(()) => "OK".into(),
        Err(text) => text,
    };
    cluster.world().tasks.end(&work.upid, &exit, cluster.clock.unix());
    cluster.running().remove(&work.upid);
    cluster.save();
}
