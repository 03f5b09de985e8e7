//! The time after the last fault: everything comes to its end, and then nobody writes any more.

use super::{cluster::Phase, history::History};
use crate::session::overview::Overview;
use jiff::SignedDuration;

/// Within what time everything is over, when nothing fails any more.
const CONVERGES: SignedDuration = SignedDuration::from_mins(40);

impl History<'_> {
    /// Nothing fails any more: everything has to come to its end.
    pub(super) async fn converge(&mut self) {
        self.faults = None;
        self.ground.clock.kill_after(None);
        self.cluster.is_up = true;
        for node in &mut self.cluster.nodes {
            node.lost = None;
        }
        self.watch.mute_until = None;
        if self.watch.is_open() {
            self.watch.open(&self.cluster);
        }
        let until = self.cluster.now + CONVERGES;
        while self.is_sound() && !self.is_settled() {
            Box::pin(self.work_off()).await;
            if self.is_settled() {
                break;
            }
            if self.cluster.now >= until {
                let open: Vec<_> = self.seen.values().filter(|s| !s.state.is_final()).collect();
                self.violations.push(format!("not everything has ended: {open:?}"));
                return;
            }
            self.pass_to_next();
        }
    }

    /// Does all that can be done now.
    async fn work_off(&mut self) {
        for _ in 0..2000 {
            let Some((_, act)) = self.work().first().copied() else { return };
            Box::pin(self.make(act)).await;
        }
        self.violations.push("there is always something to do".to_owned());
    }

    fn pass_to_next(&mut self) {
        let now = self.cluster.now;
        let next = self.cluster.next().map_or(self.next, |next| next.min(self.next));
        let next = self.emptied.map_or(next, |emptied| emptied.next.min(next));
        self.pass(next.duration_since(now).max(SignedDuration::from_millis(10)));
    }

    fn is_settled(&self) -> bool {
        let is_done = self.overview.as_ref().is_some_and(Overview::is_done);
        let mut pods = self.cluster.pods.values();
        // One that has just begun knows of nothing that is left.
        is_done
            && !self.is_woken
            && self.emptied.is_none()
            && self.seen.values().all(|session| session.state.is_final())
            && pods.all(|pod| matches!(pod.phase, Phase::Ended { .. }) || !pod.is_on_host)
    }

    /// When all is over, nobody writes any more.
    pub(super) async fn stay_quiet(&mut self) {
        Box::pin(self.work_off()).await;
        let (writes, seen) = (self.cluster.writes, self.seen.clone());
        let until = self.cluster.now + SignedDuration::from_mins(12);
        while self.cluster.now < until && self.is_sound() {
            self.pass_to_next();
            Box::pin(self.work_off()).await;
        }
        if self.cluster.writes != writes || self.seen != seen {
            let count = self.cluster.writes - writes;
            self.violations.push(format!("{count} writes although all was over"));
        }
    }
}
