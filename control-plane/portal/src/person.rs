//! Who looks at a page.

use crate::{
    Portal,
    frame::{Look, cookie},
    links::Url,
    refusal::Refusal,
};
use application::{
    App, IdempotencyKey,
    account::{self, SignedIn},
};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, Method, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use domain::{Action, Actor, Scope, authorize};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

/// The cookie that says who somebody is. The prefix lets browsers take it only from this very host, over TLS.
pub(crate) const COOKIE: &str = "__Host-warren";

/// Somebody who is signed in, and what serves them. A handler without it is public.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) app: App,
    /// What they may.
    pub(crate) actor: Actor,
    /// As the frame shows it.
    pub(crate) name: String,
    /// Who they are, and in which browser.
    pub(crate) account: SignedIn,
    pub(crate) look: Look,
    /// Ends streams.
    pub(crate) shutdown: CancellationToken,
}

/// Nobody is signed in, or it could not be found out.
#[derive(Debug)]
pub(crate) enum NobodyOr {
    /// What to look at after signing in.
    Nobody(String),
    Refused(Refusal),
}

/// Whose cookie this is; nothing if it is nobody's.
pub(crate) async fn of(
    app: &App,
    headers: &HeaderMap,
    request_id: String,
) -> Result<Option<SignedIn>, Refusal> {
    let Some(secret) = cookie(headers, COOKIE) else { return Ok(None) };
    Ok(account::signed_in(app, secret, request_id).await?)
}

/// What the request is called in the log.
pub(crate) fn request_id(headers: &HeaderMap) -> String {
    let id = headers.get("x-request-id").and_then(|value| value.to_str().ok());
    id.unwrap_or_default().to_owned()
}

impl Person {
    /// Whether they run the platform.
    pub(crate) fn is_operator(&self) -> bool {
        self.actor.is_operator()
    }

    /// Whether something is shown that leads to `A`. Use cases ask again: what is hidden is not refused by that.
    pub(crate) fn may<A: Action>(&self, scope: Scope) -> bool {
        authorize::<A>(&self.actor, scope).is_ok()
    }

    /// Until they are not signed in here any more, may something else, or the server shuts down.
    pub(crate) fn leaves(&self) -> impl Future<Output = ()> + Send + 'static {
        let (app, account, shutdown) =
            (self.app.clone(), self.account.clone(), self.shutdown.clone());
        async move {
            shutdown.run_until_cancelled(account::changed(&app, &account)).await;
        }
    }

    /// What a repetition of a form is known by: `key` came with it, `request` is what it says.
    pub(crate) fn key(&self, key: &str, request: &str) -> Option<IdempotencyKey> {
        let is_fit =
            (16..=64).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_alphanumeric());
        let (actor, request_digest) = (self.actor.subject, Sha256::digest(request).into());
        is_fit.then(|| IdempotencyKey { actor, key: format!("form-{key}"), request_digest })
    }
}

impl FromRequestParts<Portal> for Person {
    type Rejection = NobodyOr;

    async fn from_request_parts(parts: &mut Parts, portal: &Portal) -> Result<Self, NobodyOr> {
        let look = Look::of(&parts.headers, &parts.uri);
        let found = of(&portal.app, &parts.headers, request_id(&parts.headers)).await;
        match found.map_err(NobodyOr::Refused)? {
            Some(account) => {
                let (app, shutdown) = (portal.app.clone(), portal.stop.clone());
                let (actor, name) = (account.actor.clone(), account.account.name.clone());
                Ok(Self { app, actor, name, account, look, shutdown })
            }
            // What was sent is lost; the page that sent it may be another one.
            None if parts.method != Method::GET => Err(NobodyOr::Nobody(Url::Home.to_string())),
            None => Err(NobodyOr::Nobody(look.here)),
        }
    }
}

impl IntoResponse for NobodyOr {
    fn into_response(self) -> Response {
        match self {
            Self::Nobody(next) => Redirect::to(&Url::SignIn(&next).to_string()).into_response(),
            Self::Refused(refusal) => refusal.into_response(),
        }
    }
}
