//! The provisioner inside the server: makes things once the host cluster has answered, asks until it
//! does, and tells tenants meanwhile what is in the way.

use crate::{access::Access, config::Config, host};
use anyhow::Result;
use clusters::{HostCluster, Relays, RunAuthority, TenantClusters};
use domain::{Clock, IdGen};
use execution::{Backoff, Context, Machines, Obstacle, Settings};
use std::{sync::Arc, time::Duration};
use store::Store;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the provisioner is made of.
#[derive(Debug)]
pub(crate) struct Provisioner {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdGen>,
    pub(crate) host: HostCluster,
    pub(crate) tenants: TenantClusters,
    pub(crate) authority: RunAuthority,
    /// The way of bytes between pods that copy volumes.
    pub(crate) relays: Relays,
    /// Where nodes for tenants are made.
    pub(crate) machines: Option<Machines>,
    /// How long what is under way may take at the end.
    pub(crate) drain: Duration,
}

impl Provisioner {
    /// Runs the controllers until `stop`. A host that is away delays them; people can go on making
    /// tenants and sessions meanwhile, they are worked on later.
    ///
    /// # Errors
    /// If the configuration does not fit this machine.
    pub(crate) async fn run(self, access: Access, stop: CancellationToken) -> Result<()> {
        // Nothing is rendered as long as nobody knows where the host's API servers and nodes are.
        let cx = self.context()?;
        let (tell, obstacle) = watch::channel(None);
        let waiting = execution::start_without_host(&cx, obstacle, self.drain);
        let found = stop.run_until_cancelled(self.find_addresses(&cx.settings, &tell)).await;
        waiting.stop().await;
        if found.is_none() {
            return Ok(());
        }
        access.open(cx.clone());
        let controllers = execution::start(&cx, self.drain);
        stop.cancelled().await;
        controllers.stop().await;
        Ok(())
    }

    /// Asks the host until it answers.
    async fn find_addresses(&self, settings: &Settings, tell: &watch::Sender<Option<Obstacle>>) {
        let mut failures = 0_u32;
        loop {
            let Err(obstacle) = settings.find_addresses(&self.host).await else { return };
            failures = failures.saturating_add(1);
            let pause = Backoff::HOST.after(failures);
            tracing::warn!(
                error = obstacle.message,
                server = self.host.server(),
                retry_ms = pause.as_millis(),
                "the host cluster does not answer; nothing is provisioned until it does"
            );
            tell.send_if_modified(|known| {
                let is_news = known.as_ref() != Some(&obstacle);
                *known = Some(obstacle);
                is_news
            });
            tokio::time::sleep(pause).await;
        }
    }

    fn context(&self) -> Result<Context> {
        Ok(Context {
            tenants: self.tenants.clone(),
            host: self.host.clone(),
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
            settings: Settings::new(host::settings(&self.config)?),
            run_authority: self.authority.clone(),
            relays: self.relays.clone(),
            tenants_at_once: usize::try_from(self.config.provisioner.tenants_at_once)?,
            sweep_every: self.config.provisioner.sweep_every(),
            machines: self.machines.clone(),
        })
    }
}
