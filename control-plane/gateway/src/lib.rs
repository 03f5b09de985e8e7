//! What passes between tenants' clusters and Warren: the reports of runs, volumes on their way from node to node, and what
//! people ask of their own API servers.
//!
//! [`kubernetes_router`] lets requests of `kubectl` pass. [`serve_run_endpoint`] answers runners; [`serve_gate`] is the
//! address that a runner must not be able to reach before it starts an agent; [`serve`] does both.

mod caller;
mod connections;
mod copies;
mod endpoint;
mod gate;
mod kubernetes;
mod places;
mod problem;

pub use connections::serve_run_endpoint;
pub use gate::serve_gate;
pub use kubernetes::{Ways, kubernetes_router};

use application::App;
use clusters::Relays;
use rustls::ServerConfig;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The two addresses that pods know. The gate is bound first.
#[derive(Debug)]
pub struct Listeners {
    /// What must be out of a pod's reach.
    pub gate: TcpListener,
    /// Where runs report.
    pub run_endpoint: TcpListener,
}

/// Answers runners at both addresses until `shutdown`.
///
/// Whoever reaches the run endpoint and not the gate takes its network policies to be in force. So
/// the gate is there before the endpoint and outlives the last connection to it.
pub async fn serve(
    app: App,
    relays: Relays,
    listeners: Listeners,
    tls: Arc<ServerConfig>,
    shutdown: CancellationToken,
) {
    let Listeners { gate, run_endpoint } = listeners;
    let shut = CancellationToken::new();
    let endpoint = async {
        serve_run_endpoint(app, relays, run_endpoint, tls, shutdown).await;
        shut.cancel();
    };
    tokio::join!(endpoint, serve_gate(gate, shut.clone()));
}
