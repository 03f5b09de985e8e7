//! The provisioner inside the server: starts once the host cluster has answered, and asks until it does.

use crate::{
    access::Access,
    config::{self, Config},
    host,
};
use anyhow::Result;
use clusters::{HostCluster, RunAuthority, TenantClusters};
use domain::{Clock, IdGen};
use execution::{Context, RecordedTenants};
use std::{sync::Arc, time::Duration};
use store::Store;
use tokio_util::sync::CancellationToken;

/// The first pause after the host did not answer; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// What the provisioner is made of.
#[derive(Debug)]
pub(crate) struct Provisioner {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdGen>,
    pub(crate) host: HostCluster,
    pub(crate) authority: RunAuthority,
    /// How long what is under way may take at the end.
    pub(crate) drain: Duration,
}

impl Provisioner {
    /// Runs the controllers until `stop`. A host that is away delays them; people can go on making
    /// tenants and sessions meanwhile, they are worked on later.
    ///
    /// # Errors
    /// If a number in the configuration does not fit this machine.
    pub(crate) async fn run(self, access: Access, stop: CancellationToken) -> Result<()> {
        let Some(cx) = stop.run_until_cancelled(self.context()).await.transpose()? else {
            return Ok(());
        };
        access.open(cx.clone());
        let controllers = execution::start(&cx, self.drain);
        stop.cancelled().await;
        controllers.stop().await;
        Ok(())
    }

    async fn context(&self) -> Result<Context> {
        let mut pause = FIRST_PAUSE;
        let settings = loop {
            match host::settings(&self.config, &self.host).await {
                Ok(settings) => break settings,
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        server = self.host.server(),
                        retry_ms = pause.as_millis(),
                        "the host cluster does not answer; nothing is provisioned until it does"
                    );
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        };
        let reach = match self.config.host_cluster.reach {
            config::Reach::ClusterIp => clusters::Reach::ClusterIp,
            config::Reach::PortForward => clusters::Reach::PortForward,
        };
        let source = Arc::new(RecordedTenants(self.store.clone()));
        Ok(Context {
            tenants: TenantClusters::new(self.host.clone(), reach, source, Arc::clone(&self.clock)),
            host: self.host.clone(),
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
            settings: Arc::new(settings),
            run_authority: self.authority.clone(),
            tenants_at_once: usize::try_from(self.config.provisioner.tenants_at_once)?,
        })
    }
}
