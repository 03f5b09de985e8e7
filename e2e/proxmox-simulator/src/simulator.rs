//! A cluster that answers: its listeners, and all that can be done with it from Rust.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::act::ActError;
use crate::api::describe;
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::config::{Config, ms};
use crate::fault::Fault;
use crate::http::connection::{redirect, serve};
use crate::machines::Machines;
use crate::machines::imaginary::Imaginary;
use crate::tls::Certificates;

/// The first byte of a TLS connection: a record with a handshake.
const HANDSHAKE: u8 = 0x16;
/// How often a node that came back tries to listen where it did.
const LISTEN_AGAIN: Duration = Duration::from_millis(50);

/// A cluster that answers.
#[derive(Debug)]
pub struct Simulator {
    cluster: Arc<Cluster>,
    certificates: Option<Arc<Certificates>>,
    addresses: BTreeMap<String, SocketAddr>,
    listeners: JoinSet<()>,
}

impl Simulator {
    /// Starts a cluster without TLS and with imaginary machines, for tests in the same process. Where tokio's clock
    /// stands still it starts at a fixed moment.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn in_process(config: Config) -> Result<Self> {
        let times = config.times;
        let machines = Imaginary::new(ms(times.boot_ms), ms(times.shutdown_ms));
        let config = Config { is_plain: true, ..config };
        Self::start(config, Clock::starting_at(1_800_000_000), Arc::new(machines)).await
    }

    /// Starts a cluster: the one that its folder holds, or a new one.
    ///
    /// # Errors
    /// If it cannot listen, or the folder cannot be used.
    pub async fn start(config: Config, clock: Clock, machines: Arc<dyn Machines>) -> Result<Self> {
        let certificates = if config.is_plain {
            None
        } else {
            let folder = config.folder.as_deref();
            Some(Arc::new(Certificates::new(&config.name, folder, clock.unix_s())?))
        };
        let cluster = Cluster::new(config, clock, machines)?;
        resume(&cluster).await;
        let mut simulator =
            Self { cluster, certificates, addresses: BTreeMap::new(), listeners: JoinSet::new() };
        for node in simulator.cluster.config.nodes.clone() {
            let listener = TcpListener::bind(node.listen).await;
            let listener =
                listener.with_context(|| format!("listen on {} for {}", node.listen, node.name))?;
            let address = listener.local_addr()?;
            simulator.addresses.insert(node.name.clone(), address);
            let fingerprint = match &simulator.certificates {
                Some(certificates) => {
                    certificates.prepare(&node.name, address.ip(), clock.unix_s())?
                }
                None => String::new(),
            };
            if let Some(state) = simulator.cluster.world().nodes.get_mut(&node.name) {
                state.address = address.to_string();
                state.fingerprint = fingerprint;
            }
            let cluster = simulator.cluster.clone();
            let certificates = simulator.certificates.clone();
            simulator.listeners.spawn(listen(cluster, certificates, node.name, listener, address));
        }
        simulator.cluster.save();
        Ok(simulator)
    }

    pub(crate) fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Where the API of a node answers, without a path.
    #[must_use]
    pub fn url(&self, node: &str) -> Option<String> {
        let scheme = if self.certificates.is_some() { "https" } else { "http" };
        self.addresses.get(node).map(|address| format!("{scheme}://{address}"))
    }

    /// Where the APIs of all nodes answer.
    #[must_use]
    pub fn addresses(&self) -> &BTreeMap<String, SocketAddr> {
        &self.addresses
    }

    /// The certificate of the cluster's authority.
    #[must_use]
    pub fn authority_pem(&self) -> Option<&str> {
        self.certificates.as_ref().map(|certificates| certificates.authority_pem())
    }

    /// The fingerprint of the certificate that a node shows.
    #[must_use]
    pub fn fingerprint(&self, node: &str) -> Option<String> {
        self.certificates.as_ref()?.fingerprint(node)
    }

    /// A connection to a node that never leaves this process.
    #[must_use]
    pub fn connect(&self, node: &str) -> DuplexStream {
        let (near, far) = tokio::io::duplex(64 * 1024);
        tokio::spawn(serve(far, self.cluster.clone(), node.to_owned()));
        near
    }

    /// Lets something go wrong; the number clears it.
    #[expect(clippy::must_use_candidate, reason = "not every fault is cleared")]
    pub fn inject(&self, fault: Fault) -> u64 {
        self.cluster.faults.add(fault)
    }

    /// Clears a fault, or all.
    pub fn clear(&self, fault: Option<u64>) {
        self.cluster.faults.clear(fault);
    }

    /// The faults that wait.
    #[must_use]
    pub fn faults(&self) -> Vec<(u64, Fault)> {
        self.cluster.faults.list()
    }

    /// Everything that is known of the cluster: VMs, volumes, tasks.
    #[must_use]
    pub fn state(&self) -> Value {
        serde_json::to_value(&*self.cluster.world()).unwrap_or_else(|_| json!({}))
    }

    /// Waits until no task runs.
    pub async fn settle(&self) {
        while self.cluster.busy() > 0 {
            tokio::time::sleep(ms(10)).await;
        }
    }

    /// Ends the cluster as if its power went; what is kept is kept.
    pub async fn stop(mut self) {
        self.end().await;
        self.listeners.shutdown().await;
    }

    /// The same for one that others hold, too: it answers no more.
    pub async fn end(&self) {
        self.cluster.end.cancel();
        self.cluster.machines.end().await;
    }

    /// Makes a node a new certificate.
    pub(crate) fn issue(&self, node: &str, is_expired: bool) -> Result<(), ActError> {
        let address = self.addresses.get(node).ok_or_else(|| ActError::NoNode(node.into()))?;
        let Some(certificates) = &self.certificates else { return Ok(()) };
        let now_s = self.cluster.clock.unix_s();
        let issued = certificates.issue(node, address.ip(), now_s, is_expired);
        let fingerprint = issued.map_err(|error| ActError::Certificate {
            node: node.into(),
            text: format!("{error:#}"),
        })?;
        if let Some(state) = self.cluster.world().nodes.get_mut(node) {
            state.fingerprint = fingerprint;
            state.has_expired_certificate = is_expired;
        }
        Ok(())
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.cluster.end.cancel();
    }
}

/// What ran when the cluster was stopped runs again, where machines can do that.
async fn resume(cluster: &Arc<Cluster>) {
    let running: Vec<_> = {
        let world = cluster.world();
        let on = world.vms.iter().filter(|(_, vm)| vm.run.is_some());
        on.map(|(id, vm)| describe(&world, *id, vm, |n, v| cluster.images.get(n, v))).collect()
    };
    for hardware in running {
        let id = hardware.vm;
        if !cluster.machines.resume(hardware).await
            && let Some(vm) = cluster.world().vms.get_mut(&id)
        {
            vm.run = None;
        }
    }
}

/// Listens for a node while it is there.
async fn listen(
    cluster: Arc<Cluster>,
    certificates: Option<Arc<Certificates>>,
    node: String,
    listener: TcpListener,
    address: SocketAddr,
) {
    let mut changed = cluster.changed.subscribe();
    let mut listener = Some(listener);
    let mut power = cluster.end.child_token();
    loop {
        let is_online = cluster.world().nodes.get(&node).is_some_and(|node| node.is_online);
        if !is_online {
            // Nothing listens, and what was connected hangs up.
            listener = None;
            power.cancel();
            if changed.changed().await.is_err() {
                return;
            }
            continue;
        }
        let Some(open) = &listener else {
            power = cluster.end.child_token();
            listener = TcpListener::bind(address).await.ok();
            tokio::time::sleep(LISTEN_AGAIN).await;
            continue;
        };
        tokio::select! {
            () = cluster.end.cancelled() => return,
            _ = changed.changed() => {}
            accepted = open.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                // Answers are small: none should wait for another.
                let _ = stream.set_nodelay(true);
                let connection =
                    converse(cluster.clone(), certificates.clone(), node.clone(), stream, address);
                tokio::spawn(until_off(power.clone(), connection));
            }
        }
    }
}

async fn until_off(power: CancellationToken, connection: impl Future<Output = ()>) {
    tokio::select! {
        () = power.cancelled() => {}
        () = connection => {}
    }
}

async fn converse(
    cluster: Arc<Cluster>,
    certificates: Option<Arc<Certificates>>,
    node: String,
    stream: TcpStream,
    address: SocketAddr,
) {
    let Some(certificates) = certificates else {
        return serve(stream, cluster, node).await;
    };
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1) if first[0] != HANDSHAKE => return redirect(stream, &address.to_string()).await,
        Ok(1) => {}
        Ok(_) | Err(_) => return,
    }
    let Some(config) = certificates.config(&node) else { return };
    match TlsAcceptor::from(config).accept(stream).await {
        Ok(stream) => serve(stream, cluster, node).await,
        Err(error) => tracing::debug!(node, "no TLS: {error}"),
    }
}
