use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use jiff::Timestamp;
use std::fmt;
use tower::{BoxError, ServiceExt as _, util::BoxCloneSyncService};

use crate::stack::{self, Connector};

/// What passes towards an API server.
pub type PassingBody = UnsyncBoxBody<Bytes, BoxError>;

/// An open way to a tenant's API server as somebody: what is sent arrives as it is, and so does the answer.
#[derive(Clone)]
pub struct Passage {
    service: BoxCloneSyncService<Request<PassingBody>, Response<Incoming>, legacy::Error>,
    /// When another one should be opened.
    pub valid_until: Timestamp,
}

impl Passage {
    pub(crate) fn new(
        config: &kube::Config,
        connector: impl Connector,
        valid_until: Timestamp,
    ) -> Result<Self, kube::Error> {
        let service = stack::passing(config, connector)?;
        Ok(Self { service: BoxCloneSyncService::new(service), valid_until })
    }

    /// Sends a request, whose address is a path with its query; gives the head of the answer, for which there is no limit
    /// of time.
    ///
    /// # Errors
    /// If the API server cannot be reached, or the connection ends before it answers.
    pub fn send(
        &self,
        request: Request<PassingBody>,
    ) -> BoxFuture<'static, Result<Response<Incoming>, legacy::Error>> {
        self.service.clone().oneshot(request).boxed()
    }
}

impl fmt::Debug for Passage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passage").field("valid_until", &self.valid_until).finish_non_exhaustive()
    }
}
