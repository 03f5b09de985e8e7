use crate::clock::TestClock;
use clusters::{HostCluster, ReachError, TenantClusters, TenantEntry, TenantSource};
use domain::{Clock, TenantId};
use futures::future::BoxFuture;
use http::{Request, Response};
use jiff::SignedDuration;
use kube::client::Body;
use std::{
    convert::Infallible,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

#[derive(Debug)]
struct Nobody;

impl TenantSource for Nobody {
    fn entry(
        &self,
        _: TenantId,
    ) -> BoxFuture<'_, Result<Option<TenantEntry>, Box<dyn Error + Send + Sync>>> {
        Box::pin(async { Ok(None) })
    }
}

fn client() -> kube::Client {
    let service = tower::service_fn(async |_: Request<Body>| {
        Ok::<_, Infallible>(Response::new(Body::empty()))
    });
    kube::Client::new(service, "default")
}

fn tenant(number: u128) -> TenantId {
    TenantId::new(uuid::Uuid::from_u128(number))
}

#[tokio::test]
async fn a_way_is_kept_until_its_credential_is_old_or_it_is_forgotten() {
    let clock = Arc::new(TestClock::new());
    let opened = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&opened);
    let pool = TenantClusters::from_clients(
        HostCluster::from_client(client()),
        Arc::new(Nobody),
        Arc::clone(&clock) as Arc<dyn Clock>,
        move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Some(client())
        },
    );
    let times = || opened.load(Ordering::Relaxed);
    let first = pool.connection(tenant(1)).await.expect("a way");
    pool.connection(tenant(1)).await.expect("the same way");
    assert_eq!(times(), 1);
    pool.connection(tenant(2)).await.expect("another tenant's way");
    assert_eq!(times(), 2);

    assert!(first.valid_until > clock.now() + SignedDuration::from_mins(30));
    clock.advance(SignedDuration::from_mins(41));
    let renewed = pool.connection(tenant(1)).await.expect("a way with a new credential");
    assert_eq!(times(), 3);
    assert!(renewed.valid_until > first.valid_until);

    pool.forget(tenant(1));
    pool.connection(tenant(1)).await.expect("a new way");
    assert_eq!(times(), 4);
}

#[tokio::test]
async fn a_tenant_without_keys_cannot_be_reached_and_is_not_remembered() {
    let clock = Arc::new(TestClock::new());
    let host = HostCluster::from_client(client());
    let clock = clock as Arc<dyn Clock>;
    let pool = TenantClusters::new(host, clusters::Reach::ClusterIp, Arc::new(Nobody), clock);
    let error = pool.client(tenant(1)).await.err().expect("no way");
    assert!(matches!(error, ReachError::Unknown), "{error}");
    assert!(format!("{pool:?}").contains("open: 0"), "{pool:?}");
}
