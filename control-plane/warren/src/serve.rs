//! `warren serve`: puts the parts together, serves until it is told to stop, and drains.

use crate::{
    access::Access,
    bootstrap,
    config::{self, Config},
    machines,
    provisioner::Provisioner,
    system::{SystemClock, SystemIds},
    telemetry,
    tls::Door,
};
use anyhow::{Context as _, Result};
use api::{About, Metrics};
use application::{App, blobs::Blobs};
use axum::{Router, serve::Listener};
use clusters::{HostCluster, Reach, Relays, RunAuthority, TenantClusters};
use domain::{Clock, IdGen};
use execution::RecordedTenants;
use futures::FutureExt as _;
use gateway::Ways;
use jiff::SignedDuration;
use secrecy::ExposeSecret as _;
use std::{fmt, future::Future, net::SocketAddr, path::Path, sync::Arc, time::Duration};
use store::Store;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// How long requests and reconciles that are under way may take after a signal to stop.
const DRAIN: Duration = Duration::from_secs(8);
/// The same for reconciles alone: less, so that they can still say that they were cut off.
const DRAIN_PROVISIONER: Duration = Duration::from_secs(7);
/// Uploads that were begun so long ago and never finished were cut off by a crash.
const ABANDONED: SignedDuration = SignedDuration::from_hours(24);
/// The key under which the run endpoint's authority is kept.
const RUN_AUTHORITY: &str = "run-authority";
/// The key under which the installation's name is kept.
const INSTALLATION: &str = "installation";

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// If a part cannot be started, or one ends by itself.
pub(crate) async fn serve(path: &Path) -> Result<()> {
    let config = Config::load(path)?;
    telemetry::start(&config.log)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids: Arc<dyn IdGen> = Arc::new(SystemIds);
    let store = bootstrap::open_store(&config, &clock, &ids).await?;
    let outcome = run(&config, &store, clock, ids).await;
    let closed = store.close().await;
    outcome.and(closed.context("close the database"))
}

async fn run(
    config: &Config,
    store: &Store,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGen>,
) -> Result<()> {
    let blobs = Blobs::open(&config.blobs.path, Arc::clone(&ids)).context("open the blobs")?;
    let swept = blobs.sweep(clock.now() - ABANDONED).await.context("sweep the blobs")?;
    if swept > 0 {
        tracing::info!(swept, "removed what interrupted uploads had left");
    }
    let authority = run_authority(store, clock.as_ref()).await?;
    let host = HostCluster::connect(config.host_cluster.kubeconfig.as_deref())
        .await
        .context("make a client for the host cluster")?;
    let machines = match &config.proxmox {
        None => None,
        Some(proxmox) => Some(machines::connect(proxmox, installation(store).await?)?),
    };
    let access = Access::new(machines.clone(), store.clone(), Arc::clone(&clock));
    let app = App {
        store: store.clone(),
        blobs,
        clock: Arc::clone(&clock),
        ids: Arc::clone(&ids),
        access: Arc::new(access.clone()),
        makes_nodes: config.proxmox.is_some(),
    };
    let tls = authority
        .server_config(config.run_endpoint.advertise.ip(), Arc::clone(&clock))
        .context("make the run endpoint's certificate")?;

    let stop = CancellationToken::new();
    let api = TcpListener::from_std(
        config::api_listener(config.api.listen).context("listen for the API")?,
    )?;
    let api = Door::new(api, config.api.tls.as_ref())?;
    let metrics = listen(config.metrics.listen, "metrics.listen").await?;
    // In this order: where the endpoint is, the gate has to be.
    let gate = listen(config.run_endpoint.gate_listen, "run_endpoint.gate_listen").await?;
    let run_endpoint = listen(config.run_endpoint.listen, "run_endpoint.listen").await?;
    let addresses = (api.local_addr()?, metrics.local_addr()?);
    let figures = Metrics::new(About {
        version: env!("CARGO_PKG_VERSION"),
        commit: option_env!("WARREN_COMMIT").unwrap_or("unknown"),
    });
    let tenants = tenants(config, &host, store, &clock);
    let router = api::router(app.clone(), &figures, beside(&app, &tenants, &stop), stop.clone());
    let metrics_router = api::metrics_router(app.clone(), &figures);
    let mut parts = JoinSet::new();
    parts.spawn(part("api", http(api, router, stop.clone())));
    parts.spawn(part("record", record(store.clone(), stop.clone())));
    parts.spawn(part("housekeeping", housekeeping(app.clone(), stop.clone()).map(anyhow::Ok)));
    parts.spawn(part("audit", audit(app.clone(), stop.clone()).map(anyhow::Ok)));
    parts.spawn(part("plan-batches", plan_batches(app.clone(), stop.clone()).map(anyhow::Ok)));
    parts.spawn(part("metrics", http(metrics, metrics_router, stop.clone())));
    let listeners = gateway::Listeners { gate, run_endpoint };
    let relays = Relays::default();
    let runs = gateway::serve(app, relays.clone(), listeners, Arc::new(tls), stop.clone());
    parts.spawn(part("run-endpoint", runs.map(anyhow::Ok)));
    bootstrap::first(store, config).await?;
    let provisioner = Provisioner {
        config: config.clone(),
        store: store.clone(),
        clock,
        ids,
        host,
        tenants,
        authority,
        relays,
        machines,
        drain: DRAIN_PROVISIONER,
    };
    parts.spawn(part("provisioner", provisioner.run(access, stop.clone())));
    tracing::info!(api = %addresses.0, metrics = %addresses.1, "serving");

    until_stopped(parts, stop).await
}

/// What is served at the API's port besides: tenants' API servers, and the pages for people.
fn beside(app: &App, tenants: &TenantClusters, stop: &CancellationToken) -> Router {
    let ways = Ways::new(tenants.clone());
    gateway::kubernetes_router(app.clone(), ways, stop.clone())
        .merge(portal::router(app.clone(), stop.clone()))
}

/// The ways to tenants' API servers.
fn tenants(
    config: &Config,
    host: &HostCluster,
    store: &Store,
    clock: &Arc<dyn Clock>,
) -> TenantClusters {
    let reach = match config.host_cluster.reach {
        config::Reach::ClusterIp => Reach::ClusterIp,
        config::Reach::PortForward => Reach::PortForward,
    };
    let source = Arc::new(RecordedTenants(store.clone()));
    TenantClusters::new(host.clone(), reach, source, Arc::clone(clock))
}

/// What a part of the server came to.
type Ended = (&'static str, Result<()>);

/// Serves until a signal or the end of a part, then lets what is under way come to its end.
async fn until_stopped(mut parts: JoinSet<Ended>, stop: CancellationToken) -> Result<()> {
    let early = tokio::select! {
        () = asked_to_stop() => None,
        ended = parts.join_next() => ended,
    };
    tracing::info!("stopping");
    stop.cancel();
    let drained = tokio::time::timeout(DRAIN, async { while parts.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!(
            limit_s = DRAIN.as_secs(),
            "what was still under way is cut off; it is taken up again at the next start"
        );
    }
    match early {
        None => Ok(()),
        Some(Ok((name, Ok(())))) => anyhow::bail!("the part {name} ended by itself"),
        Some(Ok((name, Err(error)))) => Err(error.context(format!("the part {name} failed"))),
        Some(Err(error)) => Err(error).context("a part panicked"),
    }
}

/// The authority that runs verify the run endpoint with; made at the first start.
async fn run_authority(store: &Store, clock: &dyn Clock) -> Result<RunAuthority> {
    let stored = if let Some(stored) = store.setting_secret(RUN_AUTHORITY).await? {
        stored
    } else {
        let made = RunAuthority::generate(clock.now())?.to_bytes()?;
        store.setting_secret_put_if_absent(RUN_AUTHORITY, made.expose_secret()).await?
    };
    RunAuthority::from_bytes(stored.expose_secret()).context("read the run endpoint's authority")
}

/// What this installation marks its machines with; made at the first start, and not secret.
async fn installation(store: &Store) -> Result<String> {
    let stored = if let Some(stored) = store.setting_secret(INSTALLATION).await? {
        stored
    } else {
        let made = hex::encode(&SystemIds.secret()[..8]);
        store.setting_secret_put_if_absent(INSTALLATION, made.as_bytes()).await?
    };
    String::from_utf8(stored.expose_secret().clone()).context("read the installation's name")
}

/// Whoever lost the record to another process must not go on.
async fn record(store: Store, stop: CancellationToken) -> Result<()> {
    match stop.run_until_cancelled(store.taken_over()).await {
        None => Ok(()),
        Some(holder) => anyhow::bail!("the record was taken over by {holder}"),
    }
}

async fn housekeeping(app: App, stop: CancellationToken) {
    stop.run_until_cancelled(application::housekeeping::run(&app)).await;
}

async fn audit(app: App, stop: CancellationToken) {
    stop.run_until_cancelled(Box::pin(application::audit::run(&app))).await;
}

async fn plan_batches(app: App, stop: CancellationToken) {
    stop.run_until_cancelled(application::plan_batch::run(&app)).await;
}

async fn listen(address: SocketAddr, key: &str) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("configuration key {key} = {address}: listen"))
}

async fn http<L>(listener: L, router: Router, stop: CancellationToken) -> Result<()>
where
    L: Listener<Addr: fmt::Debug>,
{
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
        .context("serve")
}

async fn part<E: Into<anyhow::Error>>(
    name: &'static str,
    serve: impl Future<Output = Result<(), E>>,
) -> Ended {
    (name, serve.await.map_err(Into::into))
}

async fn asked_to_stop() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // Without handlers the signals end the process by themselves.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
