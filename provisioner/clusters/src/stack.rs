use crate::passage::PassingBody;
use http::{Request, Response, Uri};
use hyper::{
    body::Incoming,
    rt::{Read, Write},
};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{
        self, Client,
        connect::{Connection, HttpConnector},
    },
    rt::{TokioExecutor, TokioTimer},
};
use jiff::Timestamp;
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use std::time::Duration;
use tower::{BoxError, Service, ServiceBuilder, timeout::TimeoutLayer};

/// The longest wait for a TCP connection.
const CONNECT: Duration = Duration::from_secs(5);
/// The longest wait for the head of an answer, connecting and TLS included. A watch's head comes at
/// once, so it is bounded too; its body is not.
const ANSWER: Duration = Duration::from_secs(20);
/// How often a silent connection is probed, so that a watch notices a dead peer.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_mins(4);
/// How many unused connections are kept per API server.
const IDLE_CONNECTIONS: usize = 16;

/// What opens connections to API servers.
pub(crate) trait Connector:
    Service<
        Uri,
        Response: Connection + Read + Write + Send + Unpin + 'static,
        Future: Send + 'static,
        Error: Into<BoxError>,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl<C> Connector for C where
    C: Service<
            Uri,
            Response: Connection + Read + Write + Send + Unpin + 'static,
            Future: Send + 'static,
            Error: Into<BoxError>,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

/// A connector for addresses that are reached directly.
pub(crate) fn direct() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_keepalive(Some(KEEP_ALIVE));
    connector.set_keepalive_interval(Some(KEEP_ALIVE));
    connector.set_keepalive_retries(Some(3));
    connector
}

/// A client with time limits and without retries: who calls decides what a failure means.
pub(crate) fn client<C: Connector>(
    config: &kube::Config,
    connector: C,
    valid_until: Option<Timestamp>,
) -> Result<kube::Client, kube::Error> {
    let service = ServiceBuilder::new()
        .layer(TimeoutLayer::new(ANSWER))
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(pool::<_, Body>(config, connector)?);
    Ok(ClientBuilder::new(service, "default").with_valid_until(valid_until).build())
}

/// A client that sends what it is given, to a path of the API server, and waits for as long as that takes.
pub(crate) fn passing<C: Connector>(
    config: &kube::Config,
    connector: C,
) -> Result<
    impl Service<
        Request<PassingBody>,
        Response = Response<Incoming>,
        Error = legacy::Error,
        Future: Send + 'static,
    > + Clone
    + Send
    + Sync
    + use<C>,
    kube::Error,
> {
    let pool = pool(config, connector)?;
    Ok(ServiceBuilder::new().layer(config.base_uri_layer()).service(pool))
}

/// Connections to one API server.
fn pool<C, B>(
    config: &kube::Config,
    connector: C,
) -> Result<Client<HttpsConnector<C>, B>, kube::Error>
where
    C: Connector,
    B: http_body::Body<Data: Send> + Send,
{
    let https = config.rustls_https_connector_with_connector(connector)?;
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .build(https))
}
