//! The watch on a tenant's Jobs, which may be late, mute, doubled, out of order, or begin anew.

use super::cluster::{Cluster, Event};
use crate::session::jobs::{News, state_of};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use std::collections::VecDeque;

enum Item {
    Begin,
    Complete,
    Event(Event),
}

#[derive(Default)]
pub(super) struct Watch {
    is_open: bool,
    /// How many events it has passed on.
    cursor: usize,
    /// What comes before the next event.
    queue: VecDeque<Item>,
    pub(super) mute_until: Option<Timestamp>,
}

impl Watch {
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Lists, and tells what happens from now on.
    pub(super) fn open(&mut self, cluster: &Cluster) {
        let named = cluster.jobs.values().map(|job| Item::Event((job.run, Some(job.object()))));
        let begin = std::iter::once(Item::Begin);
        self.queue = begin.chain(named).chain(std::iter::once(Item::Complete)).collect();
        (self.is_open, self.cursor) = (true, cluster.events.len());
    }

    /// Tells again what it told before.
    pub(super) fn repeat(&mut self, cluster: &Cluster, which: usize) {
        if let Some(event) = cluster.events[..self.cursor].iter().nth_back(which) {
            self.queue.push_back(Item::Event(event.clone()));
        }
    }

    /// Tells of two Jobs in the other order.
    pub(super) fn swap(&mut self, cluster: &Cluster) {
        if let Some([first, second]) = cluster.events.get(self.cursor..self.cursor + 2)
            && first.0 != second.0
        {
            self.queue.extend([second, first].map(|event| Item::Event(event.clone())));
            self.cursor += 2;
        }
    }

    pub(super) fn has_news(&self, cluster: &Cluster) -> bool {
        let is_mute = self.mute_until.is_some_and(|until| cluster.now < until);
        let is_more = !self.queue.is_empty() || self.cursor < cluster.events.len();
        self.is_open && cluster.is_up && !is_mute && is_more
    }

    pub(super) fn next(&mut self, cluster: &Cluster) -> Option<News> {
        let item = self.queue.pop_front().or_else(|| {
            let event = cluster.events.get(self.cursor)?.clone();
            self.cursor += 1;
            Some(Item::Event(event))
        })?;
        Some(match item {
            Item::Begin => News::Begin,
            Item::Complete => News::Complete,
            Item::Event((run, None)) => News::Gone(run),
            Item::Event((run, Some(object))) => {
                let job: Job = serde_json::from_value(object).expect("a Job");
                News::There(run, state_of(&job, cluster.now))
            }
        })
    }
}
