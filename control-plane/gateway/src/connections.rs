use crate::{
    endpoint::router,
    places::{Place, Places},
};
use application::App;
use axum::Router;
use clusters::Relays;
use hyper::{
    Request,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The most connections at one time; further ones wait to be accepted. A runner has up to three.
const CONNECTIONS: usize = 4096;
/// From a connection to the end of its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// From one request to the end of the next one's headers; longer than runners are silent.
const HEADERS: Duration = Duration::from_secs(30);
/// After this time a connection takes no further request: a runner makes a new one.
const LIFE: Duration = Duration::from_mins(10);
/// What the last request of a connection may take.
const LAST_REQUEST: Duration = Duration::from_mins(30);
/// What requests may still take when the process wants to end.
const SHUTDOWN: Duration = Duration::from_secs(5);
/// After a failure to accept, e.g. for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);
const MAX_HEADERS: usize = 32;
const MAX_HEAD_BYTES: usize = 16 << 10;

/// Answers runners, and pods that copy volumes, until `shutdown`; from then on nobody gets a new connection. Lets requests in
/// progress end, and returns.
pub async fn serve_run_endpoint(
    app: App,
    relays: Relays,
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    shutdown: CancellationToken,
) {
    let (acceptor, router) = (TlsAcceptor::from(tls), router(app, relays));
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    let (tasks, places) = (TaskTracker::new(), Places::default());
    shutdown
        .run_until_cancelled(async {
            loop {
                // It is never closed; if it were, there would be nothing to wait for.
                let permit = Arc::clone(&free).acquire_owned().await.ok();
                match listener.accept().await {
                    Ok((connection, peer)) => {
                        let Some(place) = places.enter(peer.ip()) else {
                            tracing::debug!(%peer, "too many connections without a token");
                            continue;
                        };
                        let (acceptor, router) = (acceptor.clone(), router.clone());
                        let shutdown = shutdown.clone();
                        tasks.spawn(async move {
                            let served = serve(connection, place, acceptor, router, shutdown);
                            if let Err(error) = served.await {
                                // Runners look whether the port can be reached, and go away.
                                tracing::debug!(%peer, error, "a connection of a runner ended");
                            }
                            drop(permit);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "accept a connection of a runner");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        })
        .await;
    // What waits in its queue is reset: a runner must not take this server for the next one.
    drop(listener);
    tasks.close();
    if timeout(SHUTDOWN, tasks.wait()).await.is_err() {
        tracing::warn!(count = tasks.len(), "connections of runners are cut off");
    }
}

async fn serve(
    connection: TcpStream,
    place: Place,
    acceptor: TlsAcceptor,
    router: Router,
    shutdown: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    connection.set_nodelay(true)?;
    let handshake = timeout(HANDSHAKE, acceptor.accept(connection));
    let Some(connection) = shutdown.run_until_cancelled(handshake).await else { return Ok(()) };
    let connection = connection??;
    let service = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<_>| {
        request.extensions_mut().insert(place.clone());
        service.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(connection), service);
    let mut connection = pin!(connection);
    tokio::select! {
        outcome = connection.as_mut() => return Ok(outcome?),
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(LIFE) => {}
    }
    connection.as_mut().graceful_shutdown();
    Ok(timeout(LAST_REQUEST, connection).await??)
}
