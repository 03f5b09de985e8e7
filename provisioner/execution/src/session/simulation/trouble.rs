//! What goes wrong by itself, besides requests.

use super::{history::History, process::Process};
use domain::RunId;
use jiff::SignedDuration;
use rand::{Rng as _, seq::IndexedRandom as _};

#[derive(Debug, Clone, Copy)]
pub(super) enum Trouble {
    /// Warren is killed at once.
    Kill,
    /// Warren is killed when it has read the clock so often: before a write, mostly.
    KillAfter(u32),
    Relist,
    Repeat(usize),
    Swap,
    Mute(SignedDuration),
    /// The tenant's API server goes, or comes back.
    Tenant,
    /// A machine goes, or comes back.
    Node(usize),
    KillProcess(RunId),
    Evict(RunId),
    DeleteJob(RunId),
}

impl History<'_> {
    /// What could go wrong now.
    pub(super) fn trouble(&mut self) -> Vec<Trouble> {
        let rng = &mut self.rng;
        let mut trouble = vec![
            Trouble::Kill,
            Trouble::KillAfter(rng.random_range(0..6)),
            Trouble::Relist,
            Trouble::Repeat(rng.random_range(0..4)),
            Trouble::Swap,
            Trouble::Mute(SignedDuration::from_secs(rng.random_range(1..290))),
            Trouble::Tenant,
            Trouble::Node(rng.random_range(0..2)),
        ];
        let alive = self.cluster.processes.values().filter(|process| !process.is_over());
        let alive: Vec<RunId> = alive.map(|process| process.run).collect();
        if let Some(run) = alive.choose(rng) {
            trouble.extend([Trouble::KillProcess(*run), Trouble::Evict(*run)]);
        }
        let jobs: Vec<RunId> = self.cluster.jobs.keys().copied().collect();
        trouble.extend(jobs.choose(rng).map(|run| Trouble::DeleteJob(*run)));
        trouble
    }

    pub(super) fn make_trouble(&mut self, trouble: Trouble) {
        let now = self.cluster.now;
        match trouble {
            Trouble::Kill => self.kill(),
            Trouble::KillAfter(readings) => self.ground.clock.kill_after(Some(readings)),
            Trouble::Relist if self.watch.is_open() => self.watch.open(&self.cluster),
            Trouble::Relist => {}
            Trouble::Repeat(which) => self.watch.repeat(&self.cluster, which),
            Trouble::Swap => self.watch.swap(&self.cluster),
            Trouble::Mute(time) => self.watch.mute_until = Some(now + time),
            Trouble::Tenant => self.cluster.is_up = !self.cluster.is_up,
            Trouble::Node(node) => self.cluster.turn_node(node),
            Trouble::KillProcess(run) => {
                self.cluster.with_process(run, Process::kill);
            }
            Trouble::Evict(run) => self.cluster.evict(run),
            Trouble::DeleteJob(run) => {
                self.cluster.delete_job(run, true);
            }
        }
    }
}
