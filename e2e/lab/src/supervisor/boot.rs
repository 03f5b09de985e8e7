//! The order of things: what starts beside what, and after what.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};
use rustix::process::Signal;

use super::{Report, Supervisor, report};
use crate::cgroups;
use crate::host::Made;
use crate::kubectl;
use crate::lab;
use crate::network::NODES;
use crate::node;
use crate::part::Part;
use crate::process::Identity;
use crate::proxmox;
use crate::record::Phase;
use crate::warren;

/// One thing of a stage; all things of a stage go on side by side.
type Job<'a> = Box<dyn FnOnce() -> Result<()> + Send + 'a>;

impl Supervisor {
    /// Starts everything.
    pub(super) fn boot(self: &Arc<Self>) -> Result<()> {
        let layout = &self.cx.layout;
        let api = self.listener.local_addr()?;
        lab::write(layout, &self.plan, api)?;
        if self.plan.warren.is_some() {
            warren::prepare(layout, &self.plan, api)?;
        }
        if self.plan.simulator.is_some() {
            proxmox::prepare(layout, &self.plan)?;
        }
        for stage in self.plan.host.stages(layout) {
            stage_of(stage.parts.iter().map(|part| self.starting(part)).collect())?;
            match stage.makes {
                Made::Ground => {}
                Made::ApiServer => {
                    kubectl::await_api_server(&self.cx)?;
                    kubectl::check_policies(&self.cx)?;
                    report(&Report::Step("the API server is ready".into()));
                }
                Made::Nodes => {
                    kubectl::apply_addons(&self.cx, &self.plan)?;
                    self.step("all nodes are ready", || kubectl::await_nodes(&self.cx))?;
                    self.step("DNS is ready", || kubectl::await_dns(&self.cx))?;
                }
            }
        }
        if self.plan.simulator.is_some() {
            self.start(&proxmox::part(layout))?;
        }
        if self.plan.warren.is_some() {
            self.start(&warren::part(layout, api))?;
        }
        Ok(())
    }

    /// Starting a part, with what has to follow at once.
    fn starting<'a>(self: &'a Arc<Self>, part: &'a Part) -> Job<'a> {
        let node = NODES.iter().find(|node| part.name == format!("containerd-{}", node.name));
        Box::new(move || {
            self.start(part)?;
            let Some(node) = node else { return Ok(()) };
            let text = format!("images are on {}", node.name);
            self.step(&text, || node::import(&self.cx, node, &self.plan.images))
        })
    }

    fn step(&self, text: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let start = Instant::now();
        self.cx.cancel.check()?;
        work()?;
        report(&Report::Step(format!("{text} after {:.1} s", start.elapsed().as_secs_f64())));
        Ok(())
    }

    /// Stops everything: first what asks others for work, last what keeps the record.
    pub(super) fn stop_all(&self) {
        self.enter(Phase::Stopping);
        let ask_for_work = |name: &str| {
            let keepers = ["containerd", "kube-apiserver", "kine", "warren"];
            !keepers.iter().any(|keeper| name.starts_with(keeper))
        };
        self.stop_those(|name| name == "warren");
        self.stop_those(|name| name == "proxmox");
        self.stop_those(ask_for_work);
        kill_pods();
        self.stop_those(|name| name.starts_with("containerd"));
        self.stop_those(|name| name == "kube-apiserver");
        self.stop_those(|name| name == "kine");
    }

    fn stop_those(&self, wanted: impl Fn(&str) -> bool) {
        let parts: Vec<Part> =
            self.parts().values().filter(|part| wanted(&part.name)).cloned().collect();
        let stop = |part: &Part| {
            if let Err(error) = self.stop(part, Signal::TERM) {
                eprintln!("stop {}: {error:#}", part.name);
            }
        };
        thread::scope(|scope| {
            for part in &parts {
                scope.spawn(move || stop(part));
            }
        });
    }
}

/// Ends what runs in pods; their volumes and records are about to go, too.
fn kill_pods() {
    for node in &NODES {
        let pods = cgroups::pod_processes(node.name).unwrap_or_default();
        pods.into_iter().filter_map(Identity::of).for_each(|process| process.signal(Signal::KILL));
    }
}

/// Runs jobs side by side and returns the first failure.
fn stage_of(jobs: Vec<Job<'_>>) -> Result<()> {
    thread::scope(|scope| {
        let threads: Vec<_> = jobs.into_iter().map(|job| scope.spawn(job)).collect();
        let results: Vec<Result<()>> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("a start panicked"))))
            .collect();
        results.into_iter().collect()
    })
}
