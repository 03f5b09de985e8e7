//! What happens by itself: the Job controller, the syncer between the tenant and the host, the kubelets, the
//! garbage collector. Each step on its own, so that a history can put others in between.

use super::{
    cluster::{Cluster, Phase, Pod, Status},
    process::{Agent, Process},
};
use domain::RunId;
use jiff::{SignedDuration, Timestamp};

/// How long a finished Job stays.
const KEPT: SignedDuration = SignedDuration::from_mins(5);
/// After what silence a node's pods are to go.
const EVICTED: SignedDuration = SignedDuration::from_secs(340);

/// One step of one controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The Job controller makes the pod.
    MakePod(RunId),
    /// The Job controller deletes the pod of a Job that is going or past its deadline.
    DeletePod(RunId),
    /// The Job controller sees how the pod ended.
    FinishJob(RunId),
    /// The garbage collector removes a Job whose pods are gone, or whose time is up.
    RemoveJob(RunId),
    /// The syncer makes the pod on the host, which the scheduler binds.
    Sync(RunId),
    /// The syncer deletes on the host what is going or gone in the tenant.
    SyncDeletion(RunId),
    /// The syncer deletes in the tenant what is gone on the host.
    SyncAbsence(RunId),
    /// The kubelet starts the pod's process.
    Start(RunId),
    /// The kubelet reports that it has ended.
    Report(RunId),
    /// The kubelet begins to end it.
    Terminate(RunId),
    /// The kubelet kills it.
    Kill(RunId),
    /// The kubelet lets go of the pod.
    Release(RunId),
    /// The host's controller deletes what is on a node that is lost for long.
    Evict(RunId),
}

impl Cluster {
    /// Everything that could happen next.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.is_up {
            for run in self.jobs.keys() {
                steps.extend(self.job_step(*run));
            }
        }
        for (run, pod) in &self.pods {
            if self.is_up {
                steps.extend(Self::syncer_step(*run, pod));
            }
            if self.is_lost(pod) {
                let lost = pod.node.and_then(|node| self.nodes[node].lost);
                let is_late = lost.is_some_and(|lost| self.now >= lost + EVICTED);
                let evict = is_late && pod.is_on_host && pod.killed_at.is_none();
                steps.extend(evict.then_some(Step::Evict(*run)));
            } else {
                steps.extend(self.kubelet_step(*run, pod));
            }
        }
        steps
    }

    fn job_step(&self, run: RunId) -> Option<Step> {
        let job = &self.jobs[&run];
        let pod = self.pods.get(&run).filter(|pod| pod.is_inside);
        if job.going.is_some() {
            return match pod {
                None => Some(Step::RemoveJob(run)),
                Some(pod) => pod.going_inside.is_none().then_some(Step::DeletePod(run)),
            };
        }
        if let Some(finished) = job.finished {
            return (self.now >= finished + KEPT).then_some(Step::RemoveJob(run));
        }
        if !job.has_pod {
            return Some(Step::MakePod(run));
        }
        let is_past = job.is_past_deadline || self.now >= job.created + job.deadline;
        match pod {
            None => Some(Step::FinishJob(run)),
            Some(pod) if matches!(pod.phase, Phase::Ended { .. }) => Some(Step::FinishJob(run)),
            Some(pod) => (is_past && pod.going_inside.is_none()).then_some(Step::DeletePod(run)),
        }
    }

    fn syncer_step(run: RunId, pod: &Pod) -> Option<Step> {
        let is_gone = pod.going_inside.is_some() || !pod.is_inside;
        if pod.is_on_host {
            return (is_gone && pod.killed_at.is_none()).then_some(Step::SyncDeletion(run));
        }
        // It never was there, or is no more.
        if pod.node.is_none() && !is_gone {
            return Some(Step::Sync(run));
        }
        pod.is_inside.then_some(Step::SyncAbsence(run))
    }

    fn kubelet_step(&self, run: RunId, pod: &Pod) -> Option<Step> {
        if !pod.is_on_host {
            return None;
        }
        let Some(process) = self.processes.get(&run) else {
            return if pod.killed_at.is_some() {
                Some(Step::Release(run))
            } else {
                // It waits for its Secret.
                self.secrets.contains_key(&run).then_some(Step::Start(run))
            };
        };
        if process.is_over() {
            return match (pod.phase, pod.killed_at) {
                (Phase::Running | Phase::Pending, _) => Some(Step::Report(run)),
                (Phase::Ended { .. }, Some(_)) => Some(Step::Release(run)),
                (Phase::Ended { .. }, None) => None,
            };
        }
        match pod.killed_at {
            Some(time) if self.now >= time => Some(Step::Kill(run)),
            Some(_) if !process.is_told_to_end() => Some(Step::Terminate(run)),
            Some(_) | None => None,
        }
    }

    /// When something will happen by itself that does not yet.
    pub(super) fn next(&self) -> Option<Timestamp> {
        let jobs = self.jobs.values().map(|job| match job.finished {
            Some(finished) => finished + KEPT,
            None => job.created + job.deadline,
        });
        let pods = self.pods.values().filter_map(|pod| pod.killed_at);
        let processes = self.processes.values().filter_map(|process| process.next(self.now));
        jobs.chain(pods).chain(processes).filter(|time| *time > self.now).min()
    }

    /// Makes one step; `agent` is what a process that starts now will do.
    pub(super) fn make(&mut self, step: Step, node: usize, agent: Agent) {
        let now = self.now;
        match step {
            Step::MakePod(run) => {
                let Some(job) = self.jobs.get_mut(&run) else { return };
                job.has_pod = true;
                let pod = Pod {
                    run,
                    created: now,
                    node: None,
                    phase: Phase::Pending,
                    grace: job.grace,
                    is_inside: true,
                    is_on_host: false,
                    going_inside: None,
                    killed_at: None,
                };
                self.pods.insert(run, pod);
            }
            Step::DeletePod(run) => {
                if let Some(job) = self.jobs.get_mut(&run) {
                    job.is_past_deadline |= now >= job.created + job.deadline;
                }
                self.with(run, |pod| pod.going_inside = Some(now));
            }
            Step::FinishJob(run) => self.see_end(run),
            Step::RemoveJob(run) => self.remove_job(run),
            Step::Sync(run) => self.with(run, |pod| {
                pod.is_on_host = true;
                pod.node = Some(node);
            }),
            Step::SyncDeletion(run) | Step::Evict(run) => {
                self.with(run, |pod| pod.kill_by(now + pod.grace));
            }
            Step::SyncAbsence(run) => self.with(run, |pod| pod.is_inside = false),
            Step::Start(run) => self.start(run, agent),
            Step::Report(run) => {
                let code = self.processes.get(&run).and_then(Process::code).unwrap_or(137);
                self.with(run, |pod| pod.phase = Phase::Ended { code, is_evicted: false });
            }
            Step::Terminate(run) => self.with_process(run, |process| process.terminate(now)),
            Step::Kill(run) => self.with_process(run, Process::kill),
            Step::Release(run) => self.with(run, |pod| pod.is_on_host = false),
        }
    }

    fn see_end(&mut self, run: RunId) {
        let Some(job) = self.jobs.get(&run) else { return };
        let phase = self.pods.get(&run).filter(|pod| pod.is_inside).map(|pod| pod.phase);
        let status = match phase {
            Some(Phase::Ended { code: 0, is_evicted: false }) => Status::Complete,
            _ if job.is_past_deadline => Status::Failed("DeadlineExceeded"),
            _ => Status::Failed("BackoffLimitExceeded"),
        };
        self.finish_job(run, status);
    }

    fn start(&mut self, run: RunId, agent: Agent) {
        let Some(session) = self.jobs.get(&run).map(super::cluster::Job::session) else { return };
        let token = self.secrets.get(&run).map(|(token, _)| token.clone()).unwrap_or_default();
        let alive = self.processes.iter().find(|(other, process)| {
            let is_reached = self.pods.get(other).is_none_or(|pod| !self.is_lost(pod));
            process.session == session && !process.is_over() && is_reached
        });
        if let Some((other, _)) = alive {
            self.violations.push(format!("run {run} started while run {other} still ran"));
        }
        self.processes.insert(run, Process::new(run, session, &token, agent, self.now));
        self.with(run, |pod| pod.phase = Phase::Running);
    }

    /// A node is short of something: its kubelet ends a pod.
    pub(super) fn evict(&mut self, run: RunId) {
        self.with_process(run, Process::kill);
        self.with(run, |pod| pod.phase = Phase::Ended { code: 137, is_evicted: true });
    }

    fn with(&mut self, run: RunId, change: impl FnOnce(&mut Pod)) {
        if let Some(pod) = self.pods.get_mut(&run) {
            change(pod);
        }
    }

    pub(super) fn with_process(&mut self, run: RunId, change: impl FnOnce(&mut Process)) {
        if let Some(process) = self.processes.get_mut(&run) {
            change(process);
        }
    }
}
