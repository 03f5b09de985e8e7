//! `/k8s/{tenant}`: requests to a tenant's API server that pass through Warren. Who somebody is at Warren decides who they
//! are inside: a request arrives with a client certificate of the caller's own, minted for its role, and the tenant's API
//! server decides what it may do. Nothing is kept of what passes, and nothing is read of it but the head.

mod head;
mod refusal;
mod ways;

pub use ways::Ways;

use application::{
    App,
    tenant::{self, TenantRef},
    token,
};
use axum::{
    BoxError, Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderName, StatusCode, header::AUTHORIZATION, request::Parts},
    response::{IntoResponse, Response},
    routing::any,
};
use clusters::PassingBody;
use domain::{Acting, Actor, TenantId};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use refusal::Refusal;
use std::time::Duration;
use tokio::{io::copy_bidirectional, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// What a request is called in the log; the API's layer has seen to it that each has one.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How long an API server may take for the head of its answer: more than it takes itself for any request that is no watch
/// (`--request-timeout`, 60 s).
const ANSWER: Duration = Duration::from_secs(65);

/// Ends when what goes on has to.
type Enough = BoxFuture<'static, ()>;

/// What handlers share.
#[derive(Debug, Clone)]
struct Gateway {
    app: App,
    ways: Ways,
    /// Ends what goes on until somebody has enough.
    stop: CancellationToken,
}

/// The routes. `stop` ends watches, and streams of bytes in both directions.
pub fn kubernetes_router(app: App, ways: Ways, stop: CancellationToken) -> Router {
    let gateway = Gateway { app, ways, stop };
    Router::new()
        .route("/k8s/{tenant}", any(pass))
        .route("/k8s/{tenant}/", any(pass))
        .route("/k8s/{tenant}/{*path}", any(pass))
        .with_state(gateway)
}

/// Any request of `kubectl` and of other clients.
#[tracing::instrument(name = "k8s", skip_all, fields(tenant.id))]
async fn pass(State(gateway): State<Gateway>, request: Request) -> Response {
    gateway.pass(request).await.unwrap_or_else(IntoResponse::into_response)
}

impl Gateway {
    async fn pass(&self, request: Request) -> Result<Response, Refusal> {
        let (mut parts, body) = request.into_parts();
        let (tenant, target) = head::target(&parts.uri).ok_or_else(Refusal::no_tenant)?;
        let actor = self.actor(&parts).await?;
        let tenant: TenantRef = tenant.parse().map_err(|_| Refusal::no_tenant())?;
        let (tenant, acting) = tenant::reach(&self.app, &actor, &tenant).await?;

        let ours = parts.extensions.remove::<OnUpgrade>();
        let upgrade = head::upgrade(&parts.headers).filter(|_| ours.is_some());
        let is_long = upgrade.is_some() || head::is_long_running(&target);
        let mut enough = is_long.then(|| self.enough(&actor));
        let mut passing = http::Request::new(body.map_err(Into::into).boxed_unsync());
        *passing.method_mut() = parts.method;
        *passing.headers_mut() = head::towards(&parts.headers, upgrade);
        *passing.uri_mut() = target;

        let mut answer = self.send(tenant, &acting, passing, enough.as_mut()).await?;
        let (status, headers) = (answer.status(), head::back(&answer));
        let body = if status != StatusCode::SWITCHING_PROTOCOLS {
            passed(answer.into_body(), enough)
        } else if let (Some(ours), Some(enough)) = (ours, enough) {
            join(ours, hyper::upgrade::on(&mut answer), enough);
            Body::empty()
        } else {
            return Err(Refusal::no_upgrade());
        };
        let mut response = Response::new(body);
        (*response.status_mut(), *response.headers_mut()) = (status, headers);
        Ok(response)
    }

    async fn actor(&self, parts: &Parts) -> Result<Actor, Refusal> {
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let secret =
            text(&AUTHORIZATION).and_then(token::bearer).ok_or_else(Refusal::unauthorized)?;
        let request = text(&REQUEST_ID).unwrap_or_default().to_owned();
        let actor = token::actor(&self.app, secret, request).await?;
        actor.ok_or_else(Refusal::unauthorized)
    }

    /// The head of the API server's answer. What may go on until there is `enough` may also begin that late.
    async fn send(
        &self,
        tenant: TenantId,
        acting: &Acting,
        request: http::Request<PassingBody>,
        enough: Option<&mut Enough>,
    ) -> Result<http::Response<Incoming>, Refusal> {
        let way = self.ways.open(tenant, acting, self.app.clock.now()).await?;
        let answer = way.send(request);
        let answer = match enough {
            Some(enough) => tokio::select! {
                answer = answer => answer,
                () = enough => return Err(Refusal::cut_short()),
            },
            None => timeout(ANSWER, answer).await.map_err(|_| Refusal::late())?,
        };
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) => {
                if error.is_connect() {
                    // It may answer at another address by now.
                    self.ways.forget(tenant, acting).await;
                }
                let error: &dyn std::error::Error = &error;
                tracing::info!(error, "a tenant's API server does not answer");
                Err(Refusal::unreachable())
            }
        }
    }

    /// Until this process ends, or the caller's token is nobody's any more.
    fn enough(&self, actor: &Actor) -> Enough {
        let Self { app, ways: _, stop } = self.clone();
        let actor = actor.clone();
        async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = token::revoked(&app, &actor) => {}
            }
        }
        .boxed()
    }
}

/// What comes is passed on as it comes, for as long as it may. A watch that ends is begun anew by whoever watches.
fn passed(body: Incoming, enough: Option<Enough>) -> Body {
    match enough {
        None => Body::new(body),
        Some(enough) => Body::from_stream(Body::new(body).into_data_stream().take_until(enough)),
    }
}

/// Lets bytes pass in both directions until one side has enough, or for as long as it may.
fn join(ours: OnUpgrade, theirs: OnUpgrade, enough: Enough) {
    let joined = async move {
        let (ours, theirs) = tokio::try_join!(ours, theirs)?;
        let (mut ours, mut theirs) = (TokioIo::new(ours), TokioIo::new(theirs));
        copy_bidirectional(&mut ours, &mut theirs).await?;
        Ok::<(), BoxError>(())
    };
    let joined = async move {
        tokio::select! {
            joined = joined => if let Err(error) = joined {
                tracing::debug!(error, "a stream of a tenant's API server broke off");
            },
            () = enough => {}
        }
    };
    tokio::spawn(joined.in_current_span());
}
