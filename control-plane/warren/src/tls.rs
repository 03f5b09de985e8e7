//! The API's port: with TLS if there is a certificate, and without where that is allowed.

use crate::config::{self, Plaintext};
use anyhow::{Context as _, Result};
use axum::serve::Listener;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;

/// How long somebody who connects may take until it is known who serves him.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How many may be at that at the same time.
const HANDSHAKES: usize = 512;
/// How many wait to be served after it.
const QUEUE: usize = 64;
/// The first byte of a TLS handshake (RFC 8446, section 5.1: `ContentType` `handshake`).
const TLS: u8 = 22;
/// What somebody is told who speaks no TLS where he has to.
const SPEAK_TLS: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 40\r\n\
    Connection: close\r\n\r\nThis port speaks HTTPS: use https://...\n";

/// A connection, without TLS and with it.
type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Where connections come in.
#[derive(Debug)]
pub(crate) struct Door {
    address: SocketAddr,
    /// Those that can be served.
    ready: mpsc::Receiver<(Stream, SocketAddr)>,
    /// Accepts; ends with this.
    _accepting: JoinSet<()>,
}

/// How connections are received.
#[derive(Clone)]
struct Porter {
    acceptor: Option<TlsAcceptor>,
    serves_plaintext: bool,
}

impl Door {
    /// Opens it; the certificate is read now.
    ///
    /// # Errors
    /// If the certificate or its key cannot be used.
    pub(crate) fn new(listener: TcpListener, tls: Option<&config::Tls>) -> Result<Self> {
        let porter = Porter {
            acceptor: tls.map(acceptor).transpose()?,
            serves_plaintext: tls.is_none_or(|tls| tls.plaintext == Plaintext::Served),
        };
        let (address, (tell, ready)) = (listener.local_addr()?, mpsc::channel(QUEUE));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, porter, tell));
        Ok(Self { address, ready, _accepting: accepting })
    }
}

fn acceptor(tls: &config::Tls) -> Result<TlsAcceptor> {
    let config::Tls { certificate_file, key_file, plaintext: _ } = tls;
    let certificates = CertificateDer::pem_file_iter(certificate_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("read api.tls.certificate_file {}", certificate_file.display()))?;
    let key = PrivateKeyDer::from_pem_file(key_file)
        .with_context(|| format!("read api.tls.key_file {}", key_file.display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .context("use api.tls.certificate_file with api.tls.key_file")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Nobody who takes his time keeps others waiting.
async fn accept(
    mut listener: TcpListener,
    porter: Porter,
    tell: mpsc::Sender<(Stream, SocketAddr)>,
) {
    let mut coming = JoinSet::new();
    loop {
        tokio::select! {
            // Of `Listener`: after a failure, e.g. for want of file descriptors, it says so and pauses by itself.
            (connection, peer) = Listener::accept(&mut listener), if coming.len() < HANDSHAKES => {
                let (porter, tell) = (porter.clone(), tell.clone());
                coming.spawn(async move {
                    match timeout(HANDSHAKE, porter.receive(connection)).await {
                        // Nobody listens any more at the very end.
                        Ok(Ok(Some(stream))) => drop(tell.send((stream, peer)).await),
                        Ok(Ok(None)) => {}
                        Ok(Err(error)) => tracing::debug!(%peer, %error, "no handshake"),
                        Err(_) => tracing::debug!(%peer, "no handshake in time"),
                    }
                });
            }
            Some(_) = coming.join_next() => {}
        }
    }
}

impl Porter {
    /// A connection that can be served; nothing if it is not.
    async fn receive(&self, mut connection: TcpStream) -> io::Result<Option<Stream>> {
        connection.set_nodelay(true)?;
        let Some(acceptor) = &self.acceptor else { return Ok(Some(Either::Left(connection))) };
        let mut first = [0];
        match connection.peek(&mut first).await? {
            0 => Ok(None),
            _ if first[0] == TLS => {
                Ok(Some(Either::Right(Box::new(acceptor.accept(connection).await?))))
            }
            _ if self.serves_plaintext => Ok(Some(Either::Left(connection))),
            _ => {
                connection.write_all(SPEAK_TLS).await?;
                connection.shutdown().await?;
                Ok(None)
            }
        }
    }
}

impl Listener for Door {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        match self.ready.recv().await {
            Some(ready) => ready,
            // It accepts for as long as this is there.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
