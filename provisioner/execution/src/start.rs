use crate::{
    Context, Obstacle, addresses, controller, host_policies, host_state::HostState, machines,
    sagas, session, watch,
};
use std::time::Duration;
use tokio::{
    sync::{mpsc, watch as state},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// The running controllers. Dropping them ends them at once; what they were doing is taken up again at
/// the next start.
#[derive(Debug)]
pub struct Controllers {
    cancel: CancellationToken,
    drain: Duration,
    tasks: JoinSet<()>,
}

/// Starts all controllers. What is under way when they are stopped may take `drain`. Needs a Tokio
/// runtime.
#[must_use]
pub fn start(cx: &Context, drain: Duration) -> Controllers {
    let cancel = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let (wake, wakes) = mpsc::unbounded_channel();
    let (tell, host) = state::channel(HostState::Asking);

    let mut watches = watch::tenants(&cx.host.client(), &wake, &cancel);
    tasks.spawn(async move { while watches.join_next().await.is_some() {} });
    tasks.spawn(addresses::run(cx.clone(), wake.clone(), cancel.clone()));
    tasks.spawn(host_policies::run(cx.clone(), tell, cancel.clone()));
    tasks.spawn(controller::run(cx.clone(), wakes, host, cancel.clone()));
    tasks.spawn(session::run(cx.clone(), wake.clone(), cancel.clone()));
    tasks.spawn(sagas::run(cx.clone(), cancel.clone()));
    tasks.spawn(machines::sweep(cx.clone(), cancel.clone()));
    if cx.machines.is_some() {
        tasks.spawn(machines::watch_exclusivity(cx.clone(), wake, cancel.clone()));
        tasks.spawn(machines::care(cx.clone(), cancel.clone()));
    }
    Controllers { cancel, drain, tasks }
}

/// Starts what can be done while nobody knows the host: tenants are told about the obstacle, those on
/// their way out go as far as they can, nothing is rendered. To be dropped when the host has answered.
#[must_use]
pub fn start_without_host(
    cx: &Context,
    mut obstacle: state::Receiver<Option<Obstacle>>,
    drain: Duration,
) -> Controllers {
    let cancel = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let (wake, wakes) = mpsc::unbounded_channel();
    let (tell, host) = state::channel(HostState::Asking);
    let told = cancel.clone();
    tasks.spawn(async move {
        // Nobody watches the host; the way for wake-ups stays open.
        let _wake = wake;
        let pass_on = async {
            while obstacle.changed().await.is_ok() {
                if let Some(obstacle) = obstacle.borrow_and_update().clone() {
                    tell.send_replace(HostState::Blocked(obstacle));
                }
            }
            std::future::pending::<()>().await;
        };
        told.run_until_cancelled(pass_on).await;
    });
    tasks.spawn(controller::run(cx.clone(), wakes, host, cancel.clone()));
    Controllers { cancel, drain, tasks }
}

impl Controllers {
    /// Lets what is under way come to its end, as long as it may take.
    pub async fn stop(mut self) {
        self.cancel.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(self.drain, ended).await.is_err() {
            tracing::warn!(
                limit_ms = self.drain.as_millis(),
                "controllers were cut off; their work is taken up again at the next start"
            );
        }
    }
}
