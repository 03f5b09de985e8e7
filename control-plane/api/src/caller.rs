//! Who asks.

use crate::{
    observe::RequestId,
    problem::{Code, Problem},
    state::Api,
};
use application::{App, token};
use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use domain::Actor;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The holder of a valid API token, and what serves it. A handler without it is public.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) app: App,
    pub(crate) actor: Actor,
    /// Ends streams and waiting.
    pub(crate) shutdown: Arc<CancellationToken>,
}

impl Caller {
    /// What a caller waits for who prefers to; otherwise, and when the server begins to shut down
    /// first, what is there `now`.
    pub(crate) async fn wait_or<T>(
        &self,
        waiting: Option<impl Future<Output = T>>,
        now: impl Future<Output = T>,
    ) -> T {
        let waited = match waiting {
            Some(waiting) => self.shutdown.run_until_cancelled(waiting).await,
            None => None,
        };
        match waited {
            Some(waited) => waited,
            None => now.await,
        }
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let unknown = || Problem::new(Code::Unauthenticated);
        let value = parts.headers.get(header::AUTHORIZATION);
        let secret = value.and_then(|value| token::bearer(value.to_str().ok()?));
        let secret = secret.ok_or_else(unknown)?;
        let request_id = parts.extensions.get::<RequestId>().map(RequestId::as_str);
        let request_id = request_id.unwrap_or_default().to_owned();
        let actor = token::actor(&api.app, secret, request_id).await?;
        let actor = actor.ok_or_else(unknown)?;
        Ok(Self { app: api.app.clone(), actor, shutdown: Arc::clone(&api.shutdown) })
    }
}
