use crate::{Context, controller, host_policies, session, watch};
use std::time::Duration;
use tokio::{
    sync::{mpsc, watch as ready},
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
    let (is_ready, is_host_ready) = ready::channel(false);

    let mut watches = watch::tenants(&cx.host.client(), &wake, &cancel);
    tasks.spawn(async move { while watches.join_next().await.is_some() {} });
    tasks.spawn(host_policies::run(cx.clone(), is_ready, cancel.clone()));
    tasks.spawn(controller::run(cx.clone(), wakes, is_host_ready, cancel.clone()));
    tasks.spawn(session::run(cx.clone(), wake, cancel.clone()));
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
