use futures::{FutureExt as _, future::BoxFuture};
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::Portforwarder};
use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::DuplexStream;
use tower::Service;

/// The port on which a tenant's control plane answers inside its pod.
const POD_PORT: u16 = 8443;

/// How tenants' API servers are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// By the address of the tenant's Service: Warren runs where those addresses lead somewhere.
    ClusterIp,
    /// Through a port that the host's API server forwards to the tenant's control-plane pod.
    PortForward,
}

/// Opens connections to a control-plane pod through the host's API server.
#[derive(Clone)]
pub(crate) struct PortForwardConnector {
    pub(crate) host: kube::Client,
    pub(crate) namespace: String,
    pub(crate) pod: String,
}

/// One forwarded connection; closing it ends the forwarding.
pub(crate) struct Forwarded {
    io: TokioIo<DuplexStream>,
    forwarder: Portforwarder,
}

/// Why a port could not be forwarded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    #[error("forward port {POD_PORT} of pod {pod}")]
    Open {
        pod: String,
        #[source]
        source: kube::Error,
    },
    #[error("the host's API server did not give the stream of port {POD_PORT}")]
    NoStream,
}

impl Service<Uri> for PortForwardConnector {
    type Response = Forwarded;
    type Error = ForwardError;
    type Future = BoxFuture<'static, Result<Forwarded, ForwardError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ForwardError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { host, namespace, pod } = self.clone();
        async move {
            let pods: Api<Pod> = Api::namespaced(host, &namespace);
            let mut forwarder = pods
                .portforward(&pod, &[POD_PORT])
                .await
                .map_err(|source| ForwardError::Open { pod, source })?;
            let stream = forwarder.take_stream(POD_PORT).ok_or(ForwardError::NoStream)?;
            Ok(Forwarded { io: TokioIo::new(stream), forwarder })
        }
        .boxed()
    }
}

impl fmt::Debug for Forwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Forwarded")
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        self.forwarder.abort();
    }
}

impl Connection for Forwarded {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Forwarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Forwarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
