//! Requests to a tenant's API server whose answer does not begin.

use crate::world::{DEADLINE, World};
use axum::{
    body::Body,
    http::{Request, StatusCode, header::AUTHORIZATION},
    response::Response,
};
use clusters::{Authority, HostCluster, Reach, TenantClusters, TenantEntry, TenantSource};
use domain::{ClusterName, RevokeToken, Role, TenantId, TokenId};
use futures::future::{BoxFuture, pending};
use gateway::{Ways, kubernetes_router};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use std::{convert::Infallible, error::Error, sync::Arc};
use tokio::{sync::Notify, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tower::{ServiceExt as _, service_fn};

#[derive(Debug)]
struct OneTenant(TenantEntry);

impl TenantSource for OneTenant {
    fn entry(
        &self,
        _: TenantId,
    ) -> BoxFuture<'_, Result<Option<TenantEntry>, Box<dyn Error + Send + Sync>>> {
        Box::pin(async { Ok(Some(self.0.clone())) })
    }
}

/// Somebody who follows a log of which nothing comes, not even the head.
struct Follower {
    world: World,
    token: TokenId,
    stop: CancellationToken,
    answer: JoinHandle<Response>,
}

impl Follower {
    /// Waits already.
    async fn new() -> Self {
        let world = World::start().await;
        let (proof, store) = (world.proof(), &world.app.store);
        let token = store.token_create(Some(&proof), Role::Owner, Some(world.tenant), "t").await;
        let token = token.expect("a token can be made");
        let asked = Arc::new(Notify::new());
        let stop = CancellationToken::new();
        let request = Request::get(format!("/k8s/{}/api/v1/namespaces/a/pods/b/log", world.tenant))
            .header(AUTHORIZATION, format!("Bearer {}", token.secret.expose_secret()))
            .body(Body::empty())
            .expect("a request");
        let ways = Ways::new(silent(&world, Arc::clone(&asked)));
        let router = kubernetes_router(world.app.clone(), ways, stop.clone());
        let answer = tokio::spawn(async move {
            let Ok(answer) = router.oneshot(request).await;
            answer
        });
        timeout(DEADLINE, asked.notified()).await.expect("the request passes");
        Self { world, token: token.id, stop, answer }
    }

    async fn ends_unanswered(self) {
        let answer = timeout(DEADLINE, self.answer).await.expect("it is noticed");
        assert_eq!(answer.expect("no panic").status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}

/// A way through a host that tells when it is asked, and never answers.
fn silent(world: &World, asked: Arc<Notify>) -> TenantClusters {
    let host = service_fn(move |_: Request<kube::client::Body>| {
        asked.notify_one();
        pending::<Result<Response, Infallible>>()
    });
    let host = HostCluster::from_client(kube::Client::new(host, "default"));
    let authority = Authority::generate(Timestamp::now()).expect("keys");
    let cluster = ClusterName::from_random([7; 32]);
    let source = Arc::new(OneTenant(TenantEntry { cluster, authority }));
    TenantClusters::new(host, Reach::PortForward, source, Arc::clone(&world.app.clock))
}

#[tokio::test]
async fn a_token_that_is_taken_back_waits_for_no_answer() {
    let follower = Follower::new().await;
    let Follower { world, token, .. } = &follower;
    let revoked = world.app.store.token_revoke(&world.proof::<RevokeToken>(), *token).await;
    revoked.expect("it can be taken back");
    follower.ends_unanswered().await;
}

#[tokio::test]
async fn a_warren_that_ends_waits_for_no_answer() {
    let follower = Follower::new().await;
    follower.stop.cancel();
    follower.ends_unanswered().await;
}
